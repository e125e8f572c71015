"""How a geometry expert is asked over HTTP: the JSON that goes there and comes back.

Described for those who write the other side in docs/geometry.md. Both sides trust nothing that
they read. Depth goes as raw little-endian numbers or as a PNG of 16 bits, never as a pickle.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, cast, get_args

import numpy as np
import torch
from jaxtyping import Float, Float32
from PIL import Image as PILImage
from torch import Tensor

from groundplane.core.camera import Camera, DepthNoise, Frame, Scale
from groundplane.core.errors import GroundplaneError, InputError
from groundplane.core.geometry import GeometryCapabilities, Known
from groundplane.grounding.checking import BreachError
from groundplane.grounding.remote_parts import (
    VERSION,
    Fields,
    pack_image,
    printable,
    unpack_image,
)

__all__ = [
    "GeometryInfo",
    "GeometryRequest",
    "read_geometry_info",
    "read_geometry_request",
    "read_geometry_results",
    "write_geometry_info",
    "write_geometry_request",
    "write_geometry_results",
]

_MAX_NOTES, _MAX_NOTE = 20, 500
_TYPES = {"float16": "<f2", "float32": "<f4"}


@dataclass(frozen=True, slots=True, kw_only=True)
class GeometryInfo:
    """What a server says of its geometry expert.

    Attributes:
        name: What it calls it.
        capabilities: What it needs and gives.
    """

    name: str
    capabilities: GeometryCapabilities


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GeometryRequest:
    """A few frames of one capture, as a server reads them.

    Attributes:
        capture: Which capture they are of: a word that the client made up for it.
        begin: Whether they are its first ones.
        frames: In order.
    """

    capture: str
    begin: bool
    frames: tuple[Frame, ...]


# Info ----------------------------------------------------------------------------------------


def write_geometry_info(info: GeometryInfo) -> bytes:
    """What a server's expert needs and gives, as a body."""
    can = info.capabilities
    told = {
        "gives": sorted(can.gives),
        "needs": sorted(can.needs),
        "scale": can.scale,
        "sequential": can.sequential,
        "cost": can.cost if math.isfinite(can.cost) else None,
        "licence": can.licence,
    }
    document = {"protocol": VERSION, "name": info.name, "geometry": told}
    return json.dumps(document, allow_nan=False).encode()


def read_geometry_info(data: bytes) -> GeometryInfo:
    """What a server's expert needs and gives.

    Raises:
        BreachError: If the body is not as the protocol says, or is of a detector.
    """
    document = Fields.of(data, what="the reply")
    document.version()
    if not document.has("geometry"):
        raise BreachError("the reply: expected the field geometry; is it a detector's server?")
    fields = Fields(document.values["geometry"], "geometry")
    sequential = fields.values.get("sequential", False)
    if not isinstance(sequential, bool):
        raise BreachError("geometry: expected sequential as true or false")
    try:
        able = GeometryCapabilities(
            gives=_parts(fields, "gives"),
            needs=_parts(fields, "needs") if fields.has("needs") else frozenset(),
            scale=_scale(fields),
            sequential=sequential,
            cost=fields.numbers("cost", many=False)[0] if fields.has("cost") else math.inf,
            licence=printable(fields.text("licence")) if fields.has("licence") else "",
        )
    except InputError as error:
        raise BreachError(printable(error)) from error
    return GeometryInfo(name=printable(document.text("name")), capabilities=able)


def _parts(fields: Fields, name: str) -> frozenset[Known]:
    words = fields.words(name)
    if not set(words) <= set(get_args(Known)):
        raise BreachError(
            f"geometry: expected {name} among {get_args(Known)}, got {printable(words)}"
        )
    return frozenset(cast("tuple[Known, ...]", words))


# Requests ------------------------------------------------------------------------------------


def write_geometry_request(
    request: GeometryRequest,
    *,
    needs: frozenset[Known] = frozenset(),
    picture: Literal["png", "jpeg"] = "png",
) -> bytes:
    """Frames as a body; of what is known of them only what is needed is sent.

    Args:
        request: What is asked.
        needs: What the server's expert needs.
        picture: How pictures are packed; `jpeg` is smaller and loses a little.
    """
    document = {
        "protocol": VERSION,
        "capture": request.capture,
        "begin": request.begin,
        "frames": [_asked(frame, needs, picture) for frame in request.frames],
    }
    return json.dumps(document, allow_nan=False).encode()


def _asked(
    frame: Frame, needs: frozenset[Known], picture: Literal["png", "jpeg"]
) -> dict[str, object]:
    packed = base64.b64encode(pack_image(frame.image, picture)).decode("ascii")
    camera = frame.camera
    pose = None if camera is None else camera.T_world_cam
    return {
        "image": {"name": frame.image.source.name, "data": packed},
        "index": frame.index,
        "time": frame.time,
        "scale": frame.scale,
        "depth": _packed_depth(frame.depth) if "depth" in needs else None,
        "K": _numbers(camera.K) if camera is not None and "intrinsics" in needs else None,
        "pose": _numbers(pose) if pose is not None and "pose" in needs else None,
    }


def read_geometry_request(data: bytes) -> GeometryRequest:
    """The frames of a body.

    Raises:
        InputError: If it is not as the protocol says, or a picture cannot be read.
    """
    try:
        document = Fields.of(data, what="the body")
        document.version()
        frames = [_frame(Fields(entry, "a frame")) for entry in document.items("frames")]
        return GeometryRequest(
            capture=printable(document.text("capture")) if document.has("capture") else "",
            begin=document.values.get("begin", True) is True,
            frames=tuple(frames),
        )
    except BreachError as breach:
        raise InputError(str(breach)) from breach


def _frame(fields: Fields) -> Frame:
    image = unpack_image(Fields(fields.values.get("image"), "an image"))
    index = fields.values.get("index", 0)
    if type(index) is not int or not 0 <= index < 2**53:
        raise BreachError(f"a frame: expected a number as its index, got {printable(index)}")
    known = _read_depth(fields, image.size)
    return Frame(
        image=image,
        index=index,
        time=fields.numbers("time", many=False)[0] if fields.has("time") else 0.0,
        camera=_read_camera(fields, None),
        depth=None if known is None else known[0],
        scale=_scale(fields),
    )


# Results -------------------------------------------------------------------------------------


def write_geometry_results(
    results: Sequence[Frame | GroundplaneError], asked: Sequence[Frame]
) -> bytes:
    """Results as a body; an error stands in the place of a frame that could not be told.

    Raises:
        InputError: If there are not as many as were asked for.
    """
    if len(results) != len(asked):
        raise InputError(f"the expert gave {len(results)} frames for {len(asked)}")
    told = [
        {"error": str(result)} if isinstance(result, GroundplaneError) else _told(result, before)
        for result, before in zip(results, asked, strict=True)
    ]
    return json.dumps({"protocol": VERSION, "results": told}, allow_nan=False).encode()


def _told(frame: Frame, before: Frame) -> dict[str, object]:
    camera, noise = frame.camera, frame.noise
    pose = None if camera is None else camera.T_world_cam
    return {
        "size": frame.image.size,
        "scale": frame.scale,
        "depth": _packed_depth(frame.depth),
        "K": None if camera is None else _numbers(camera.K),
        "pose": None if pose is None else _numbers(pose),
        "noise": {
            "base": noise.base,
            "linear": noise.linear,
            "quadratic": noise.quadratic,
            "common": noise.common,
        },
        "notes": [note for note in frame.notes if note not in before.notes],
    }


def read_geometry_results(
    data: bytes, asked: Sequence[Frame], *, gives: frozenset[Known], device: str
) -> list[Frame]:
    """The frames that were asked for, with what a body says of them.

    Args:
        data: The body.
        asked: The frames.
        gives: What is taken of it.
        device: Where depth is put.

    Raises:
        BreachError: If it is not as the protocol says, or does not answer the frames.
    """
    document = Fields.of(data, what="the reply")
    document.version()
    given = document.items("results")
    if len(given) != len(asked):
        raise BreachError(f"expected {len(asked)} results, got {len(given)}")
    return [
        _filled(Fields(entry, "a result"), frame, gives=gives, device=device)
        for entry, frame in zip(given, asked, strict=True)
    ]


def _filled(fields: Fields, frame: Frame, *, gives: frozenset[Known], device: str) -> Frame:
    if fields.has("error"):
        said = f"the geometry server could not tell: {printable(fields.values['error'])}"
        return replace(frame, notes=(*frame.notes, said))
    size = tuple(fields.items("size"))
    if size != frame.image.size:
        raise BreachError(f"expected the size {frame.image.size}, got {printable(size)}")
    notes = [printable(note, limit=_MAX_NOTE) for note in _notes(fields)]
    told = frame
    if gives & {"intrinsics", "pose"}:
        told = replace(told, camera=_read_camera(fields, frame.camera, gives=gives))
        if "pose" in gives and fields.has("pose") and told.camera is None:
            notes.append("its pose was left out: no intrinsics are known")
    known = _read_depth(fields, frame.image.size) if "depth" in gives else None
    if known is not None:
        depth, bad = known
        if bad:
            notes.append(f"{bad} of {depth.numel()} pixels had no usable depth")
        told = replace(told, depth=depth.to(device), noise=_noise(fields), scale=_scale(fields))
    elif "pose" in gives and fields.has("pose"):
        told = replace(told, scale=_scale(fields))
    silent = [what for what in sorted(gives) if not _is_known(told, what)]
    if silent and not notes:
        notes.append(f"the geometry server told no {' and no '.join(silent)}")
    return replace(told, notes=tuple(dict.fromkeys((*frame.notes, *notes))))


def _is_known(frame: Frame, what: Known) -> bool:
    camera = frame.camera
    known: dict[Known, object] = {
        "depth": frame.depth,
        "intrinsics": camera,
        "pose": None if camera is None else camera.T_world_cam,
    }
    return known[what] is not None


# Parts ---------------------------------------------------------------------------------------


def _scale(fields: Fields) -> Scale:
    scale = fields.values.get("scale", "metric")
    if scale not in ("metric", "relative"):
        raise BreachError(f"expected a scale of metric or relative, got {printable(scale)}")
    return cast(Scale, scale)


def _notes(fields: Fields) -> tuple[str, ...]:
    notes = fields.words("notes") if fields.has("notes") else ()
    if len(notes) > _MAX_NOTES:
        raise BreachError(f"a result: expected at most {_MAX_NOTES} notes, got {len(notes)}")
    return notes


def _noise(fields: Fields) -> DepthNoise:
    if not fields.has("noise"):
        return DepthNoise()
    told = Fields(fields.values["noise"], "noise")
    names = ("base", "linear", "quadratic", "common")
    numbers = {name: told.numbers(name, many=False)[0] for name in names if told.has(name)}
    try:
        return DepthNoise(**numbers)
    except InputError as error:
        raise BreachError(printable(error)) from error


def _read_camera(
    fields: Fields,
    known: Camera | None,
    *,
    gives: frozenset[Known] = frozenset({"intrinsics", "pose"}),
) -> Camera | None:
    """The camera that was known, with what is told of it."""
    K = None if known is None else known.K
    pose = None if known is None else known.T_world_cam
    if "intrinsics" in gives and fields.has("K"):
        K = _matrix(fields, "K", 3)
    if "pose" in gives and fields.has("pose"):
        pose = _matrix(fields, "pose", 4)
    if K is None or (known is not None and K is known.K and pose is known.T_world_cam):
        return known
    try:
        return Camera(K=K, T_world_cam=pose)
    except GroundplaneError as error:
        raise BreachError(printable(error)) from error


def _matrix(fields: Fields, name: str, side: int) -> Float[np.ndarray, "n n"]:
    numbers = fields.numbers(name)
    if len(numbers) != side * side:
        raise BreachError(f"expected {name} as {side * side} numbers, got {len(numbers)}")
    return np.array(numbers, dtype=np.float64).reshape(side, side)


def _numbers(matrix: Float[np.ndarray, "n n"]) -> list[float]:
    return [float(value) for value in matrix.ravel()]


def _packed_depth(depth: Float[Tensor, "h w"] | None) -> dict[str, object] | None:
    if depth is None:
        return None
    raw = depth.detach().cpu().contiguous().numpy().astype("<f4").tobytes()
    return {
        "type": "float32",
        "shape": list(depth.shape),
        "data": base64.b64encode(raw).decode("ascii"),
    }


def _read_depth(fields: Fields, size: tuple[int, int]) -> tuple[Float[Tensor, "h w"], int] | None:
    """Depth in metres or its unit, unknown where it is not usable; and how often that is so."""
    if not fields.has("depth"):
        return None
    told = Fields(fields.values["depth"], "depth")
    kind = told.text("type")
    try:
        raw = base64.b64decode(told.text("data", limit=None), validate=True)
    except (binascii.Error, ValueError) as error:
        raise BreachError("depth: expected data in base64") from error
    if kind == "png16":
        values = _from_png(raw, size) * np.float32(_unit(told))
    elif kind in _TYPES:
        values = _from_raw(raw, told, size)
    else:
        raise BreachError(f"depth: expected type float16, float32 or png16, got {printable(kind)}")
    good = np.isfinite(values) & (values >= 0)
    return torch.from_numpy(np.where(good, values, np.float32(0))), int((~good).sum())


def _from_raw(raw: bytes, told: Fields, size: tuple[int, int]) -> Float32[np.ndarray, "h w"]:
    shape, kind = [size[1], size[0]], _TYPES[told.text("type")]
    if told.items("shape") != shape:
        raise BreachError(
            f"depth: expected the shape {shape}, got {printable(told.items('shape'))}"
        )
    expected = shape[0] * shape[1] * np.dtype(kind).itemsize
    if len(raw) != expected:
        raise BreachError(f"depth: expected {expected} bytes, got {len(raw)}")
    return np.frombuffer(raw, dtype=kind).reshape(shape).astype(np.float32)


def _from_png(raw: bytes, size: tuple[int, int]) -> Float32[np.ndarray, "h w"]:
    try:
        # Its header is looked at before its pixels are made.
        with PILImage.open(io.BytesIO(raw), formats=["PNG"]) as picture:
            if picture.size != size or not picture.mode.startswith("I"):
                raise BreachError(
                    f"depth: expected a grey PNG of 16 bits of {size} pixels, got mode "
                    f"{picture.mode} and {picture.size}"
                )
            return np.asarray(picture).astype(np.float32)
    except BreachError:
        raise
    except (OSError, SyntaxError, ValueError, PILImage.DecompressionBombError) as error:
        raise BreachError(f"depth: the PNG cannot be read: {printable(error)}") from error


def _unit(told: Fields) -> float:
    unit: Any = told.numbers("unit", many=False)[0]
    if not 0 < unit < 1e6:
        raise BreachError(f"depth: expected the unit of a step above 0, got {unit}")
    return float(unit)
