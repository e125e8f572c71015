"""Drawing rooms off screen: colour, depth and ids, each pixel by what lies at its middle."""

from __future__ import annotations

import importlib
import importlib.util
import threading
from types import TracebackType
from typing import Any, Self

import numpy as np
from jaxtyping import Float32, Float64

from groundplane.core.errors import InputError, PluginBrokenError
from groundplane.core.hub import need_library
from groundplane.testing.rooms.room import Mesh, RenderedFrame, Room, intrinsics
from groundplane.testing.rooms.shaders import PLAIN_FRAGMENT, TEXTURED_FRAGMENT, VERTEX

__all__ = ["Renderer"]

_WHO = "test rooms"
_NEAREST, _FARTHEST = 0.05, 60.0
_LARGEST = 4096
_CURE = (
    "install EGL and a driver that draws without a screen, on Debian and Ubuntu: "
    "apt-get install libegl1 libegl-mesa0 libgl1-mesa-dri"
)


class _Contexts(threading.local):
    """The context of each thread: one takes up to half a second to make."""

    context: Any = None


_contexts = _Contexts()


class Renderer:
    """Draws one room; use it in a `with` statement, in one thread.

    On one machine the same call gives the same bytes. Depths are those of ideal rays to a
    millimetre; ids are never mixed.

    Args:
        room: What to draw.
        size: Width and height of the pictures, pixels.
        colour: Whether pictures are wanted; without, they are black and cost less.

    Raises:
        InputError: If the size is less than 1 or more than 4096.
        PluginBrokenError: If moderngl or EGL is missing; the message says what to install.
    """

    def __init__(
        self, room: Room, *, size: tuple[int, int] = (320, 240), colour: bool = True
    ) -> None:
        if not all(1 <= side <= _LARGEST for side in size):
            raise InputError(
                f"{_WHO}: expected pictures of 1 to {_LARGEST} pixels a side, got {size}"
            )
        self._room, self._size, self._colour = room, size, colour
        self._held: list[Any] = []
        context = _context()
        self._program = self._hold(
            context.program(
                vertex_shader=VERTEX,
                fragment_shader=TEXTURED_FRAGMENT if colour else PLAIN_FRAGMENT,
            )
        )
        self._truth = self._hold(context.texture(size, 2, dtype="f4"))
        self._shown = self._hold(context.texture(size, 4)) if colour else None
        self._buffer = self._hold(
            context.framebuffer(
                color_attachments=[self._truth, self._shown] if colour else [self._truth],
                depth_attachment=self._hold(context.depth_renderbuffer(size)),
            )
        )
        self._scene = self._upload(context)
        self._set("frame", (*size, _NEAREST, _FARTHEST))
        along = room.outline[1] - room.outline[0]
        self._set("along", tuple((along / np.linalg.norm(along)).tolist()))
        self._set("lowest", room.floor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give back what the graphics card holds; calling it again does nothing."""
        while self._held:
            self._held.pop().release()

    def draw(self, index: int) -> RenderedFrame:
        """What the camera sees at one pose of the walk.

        Raises:
            InputError: If the walk has no such pose.
        """
        walk = self._room.walk
        if not 0 <= index < len(walk):
            raise InputError(f"{_WHO}: expected a pose from 0 to {len(walk) - 1}, got {index}")
        return self.look(walk.poses[index], index=index, time=float(walk.times[index]))

    def look(
        self, T_world_cam: Float64[np.ndarray, "4 4"], *, index: int = 0, time: float = 0.0
    ) -> RenderedFrame:
        """What a camera sees from any pose."""
        context = _context()
        K = intrinsics(self._size)
        self._set("cam_world", tuple(np.linalg.inv(T_world_cam).T.ravel().tolist()))
        self._set("pinhole", (K[0, 0], K[1, 1], K[0, 2], K[1, 2]))
        self._buffer.use()
        self._buffer.clear(0.0, 0.0, 0.0, 0.0, depth=1.0)
        context.enable_only(context.DEPTH_TEST)
        self._scene.render()
        width, height = self._size
        truth = np.frombuffer(self._truth.read(alignment=1), dtype=np.float32)
        truth = truth.reshape(height, width, 2)
        return RenderedFrame(
            colour=self._picture(),
            depth=np.ascontiguousarray(truth[..., 0]),
            ids=truth[..., 1].astype(np.int32),
            K=K,
            T_world_cam=np.array(T_world_cam, dtype=np.float64),
            index=index,
            time=time,
            room=self._room.name,
        )

    def _picture(self) -> np.ndarray:
        width, height = self._size
        if self._shown is None:
            return np.zeros((height, width, 3), dtype=np.uint8)
        shown = np.frombuffer(self._shown.read(alignment=1), dtype=np.uint8)
        return np.ascontiguousarray(shown.reshape(height, width, 4)[..., :3])

    def _hold(self, thing: Any) -> Any:
        self._held.append(thing)
        return thing

    def _set(self, name: str, value: Any) -> None:
        # A program that does not use a value has not got it either.
        if name in self._program:
            self._program[name].value = value

    def _upload(self, context: Any) -> Any:
        # Things before walls: what is hidden behind them need not be painted.
        meshes = [(thing.mesh, thing.id) for thing in self._room.objects]
        meshes += [(surface.mesh, 0) for surface in self._room.surfaces]
        corners = np.concatenate([_corners(mesh, id) for mesh, id in meshes])
        buffer = self._hold(context.buffer(np.ascontiguousarray(corners).tobytes()))
        layout = "3f 3f 3f 1f" if self._colour else "3f 24x 1f"
        names = ("in_place", "in_normal", "in_colour", "in_id")
        kept = names if self._colour else (names[0], names[3])
        return self._hold(context.vertex_array(self._program, [(buffer, layout, *kept)]))


def _corners(mesh: Mesh, id: int) -> Float32[np.ndarray, "c 10"]:
    """Place, normal, colour and id of each corner of each triangle."""
    places = mesh.vertices[mesh.faces]
    normals = np.cross(places[:, 1] - places[:, 0], places[:, 2] - places[:, 0])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    flat = np.concatenate(
        [normals, mesh.colours / 255.0, np.full((len(normals), 1), float(id))], axis=1
    )
    columns = np.concatenate([places, np.repeat(flat[:, None], 3, axis=1)], axis=2)
    return columns.reshape(-1, 10).astype(np.float32)


def _context() -> Any:
    """This thread's context, made at its first use."""
    if _contexts.context is None:
        moderngl = need_library("moderngl", who=_WHO, extra="render")
        _load_compiler()
        try:
            _contexts.context = moderngl.create_standalone_context(backend="egl")
        except Exception as error:
            # moderngl and glcontext raise plain Exception where a library or a driver is missing.
            said = " ".join(str(error).split())[:200]
            raise PluginBrokenError(
                f"{_WHO} cannot be drawn: EGL gives no context ({said}). Try: {_CURE}"
            ) from error
    _contexts.context.__enter__()
    return _contexts.context


def _load_compiler() -> None:
    """Load triton, where it is installed, before a driver is.

    Both bring an LLVM of their own. Mesa's, loaded first, ends the process with a segmentation
    fault when triton is imported later, as `torch.compile` does (seen with Mesa's LLVM 15 and
    triton 3.9); the other way round both work.
    """
    if importlib.util.find_spec("triton") is not None:
        importlib.import_module("triton")
