"""Programs of the graphics card that draw rooms (GLSL 3.30)."""

__all__ = ["PLAIN_FRAGMENT", "TEXTURED_FRAGMENT", "VERTEX"]

# Pixels are read from the first row of the buffer up, so the picture is drawn upside down.
VERTEX = """
#version 330 core
in vec3 in_place;
in vec3 in_normal;
in vec3 in_colour;
in float in_id;
uniform mat4 cam_world;    // world to camera: x right, y down, z forward
uniform vec4 pinhole;      // fx, fy, cx, cy; pixels, the first one's middle at 0.5
uniform vec4 frame;        // width, height, nearest, farthest
out vec3 place;
out float depth;
flat out vec3 normal;
flat out vec3 colour;
flat out float id;
void main() {
    vec3 p = (cam_world * vec4(in_place, 1.0)).xyz;
    float near = frame.z, far = frame.w;
    gl_Position = vec4(
        2.0 * (pinhole.x * p.x + pinhole.z * p.z) / frame.x - p.z,
        2.0 * (pinhole.y * p.y + pinhole.w * p.z) / frame.y - p.z,
        ((far + near) * p.z - 2.0 * far * near) / (far - near),
        p.z);
    place = in_place;
    depth = p.z;
    normal = in_normal;
    colour = in_colour;
    id = in_id;
}
"""

PLAIN_FRAGMENT = """
#version 330 core
in float depth;
flat in float id;
layout(location = 0) out vec2 truth;
void main() {
    truth = vec2(depth, id);
}
"""

# Light from above and from the side, and a pattern of squares in the plane of the surface, so
# that there is something to see everywhere; squares that would be smaller than a pixel fade out.
TEXTURED_FRAGMENT = """
#version 330 core
in vec3 place;
in float depth;
flat in vec3 normal;
flat in vec3 colour;
flat in float id;
uniform vec4 pinhole;
uniform vec2 along;        // direction of the first wall
uniform float lowest;      // height of the floor
layout(location = 0) out vec2 truth;
layout(location = 1) out vec4 shown;

float mixed(ivec2 cell, uint seed) {
    uint h = uint(cell.x) * 0x9E3779B1u ^ uint(cell.y) * 0x85EBCA77u ^ seed * 0xC2B2AE3Du;
    h ^= h >> 15; h *= 0x2C1B3C6Du; h ^= h >> 12; h *= 0x297A2D39u; h ^= h >> 15;
    return float(h & 0xFFFFu) / 65535.0 - 0.5;
}

float squares(vec2 uv, vec2 side, uint seed) {
    float pixels = min(side.x, side.y) * pinhole.x / depth;
    float fade = clamp(pixels / 2.0 - 0.5, 0.0, 1.0);
    return fade > 0.0 ? fade * mixed(ivec2(floor(uv / side)), seed) : 0.0;
}

void main() {
    truth = vec2(depth, id);
    vec3 n = normal;
    vec2 turned = vec2(dot(place.xy, along), dot(place.xy, vec2(-along.y, along.x)));
    vec2 way = vec2(dot(n.xy, along), dot(n.xy, vec2(-along.y, along.x)));
    vec3 size = abs(vec3(way, n.z));
    vec2 uv = size.z > 0.7 ? turned : vec2(size.x > size.y ? turned.y : turned.x, place.z);
    uint seed = uint(id) + 1u;
    bool structure = id < 0.5;
    float grain;
    if (structure && size.z > 0.7 && place.z < lowest + 0.01) {
        float row = floor(uv.y / 0.14);
        grain = 0.34 * squares(uv + vec2(0.37 * row, 0.0), vec2(1.1, 0.14), seed)
              + 0.10 * squares(uv, vec2(0.16, 0.02), seed + 7u);
    } else if (structure) {
        grain = 0.06 * squares(uv, vec2(0.31), seed) + 0.09 * squares(uv, vec2(0.06), seed + 7u)
              + 0.09 * squares(uv, vec2(0.013), seed + 9u);
    } else {
        grain = 0.10 * squares(uv, vec2(0.09), seed) + 0.14 * squares(uv, vec2(0.025), seed + 7u);
    }
    float light = 0.58 + 0.24 * abs(n.z) + 0.14 * way.x + 0.08 * way.y;
    shown = vec4(clamp(colour * light * (1.0 + grain), 0.0, 1.0), 1.0);
}
"""
