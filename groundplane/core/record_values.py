"""Events, results and queries as plain JSON values, and back: what a record is made of.

Every value of a run is a frozen dataclass of a known name. One is written as its name and its
fields, so that what is read is built by its own class and checked by it; no other class is ever
made of what a file says.
"""

from __future__ import annotations

import dataclasses
import importlib
import math
from collections.abc import Callable, Mapping
from enum import Enum
from functools import cache
from typing import Any

import numpy as np

from groundplane.core.errors import GroundplaneError, InputError

__all__ = ["pack", "unpack"]

# Module: the classes of it that a record may hold.
_KNOWN = {
    "answer": (
        "Answer", "FrameOfReference", "GroundedText", "Mention", "RunnerUp", "Status", "Step",
    ),
    "detection": ("DetectResult", "Outcome"),
    "expressions": (
        "And", "Except", "Extreme", "Filter", "Measured", "Or", "Relate", "Same", "Select",
        "Unique", "Viewpoint",
    ),
    "image": ("FrameMap", "Source"),
    "locations": ("Located", "ModelBox3D", "Problem", "ProblemKind"),
    "masks": ("RleMask",),
    "pair_queries": ("Identity", "Pair", "Sight"),
    "progress": ("Finished",),
    "queries": (
        "Attribute", "Compare", "Count", "Difference", "Direction", "Exists", "Measure", "Order",
        "Quantity", "Route", "Way",
    ),
    "regions": ("Regions",),
    "session": ("Done", "Failed", "Ground", "Locate", "Need", "Query", "Resolved", "Text"),
    "session_notes": ("Injected", "Note"),
}  # fmt: skip

_TYPE, _DEPTH = "type", 64


def pack(value: object) -> Any:
    """A value of a run as JSON values.

    Raises:
        InputError: If a record cannot hold it.

    Examples:
        >>> from groundplane.core.session import Text
        >>> pack(Text(sequence=0, text="a cup"))
        {'type': 'Text', 'sequence': 0, 'text': 'a cup', 'refers': [], 'tokens': 0}
        >>> pack(())
        []
    """
    if value is None or (isinstance(value, bool | str | int) and not isinstance(value, Enum)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {_TYPE: "float", "value": str(value)}
    if isinstance(value, tuple | list):
        return [pack(item) for item in value]
    return _packed(value)


def _packed(value: object) -> dict[str, Any]:
    name = type(value).__name__
    if isinstance(value, np.generic):
        return {_TYPE: "array", "dtype": str(value.dtype), "shape": [], "values": [value.item()]}
    if isinstance(value, np.ndarray):
        return _array("array", value)
    if name == "Tensor":
        tensor: Any = value
        return _array("tensor", tensor.detach().cpu().float().numpy() if tensor.is_floating_point()
                      else tensor.detach().cpu().numpy())  # fmt: skip
    if isinstance(value, bytes):
        return {_TYPE: "bytes", "value": value.decode("latin-1")}
    if name not in _homes():
        raise InputError(f"record: a {name} cannot be written")
    if isinstance(value, Enum):
        return {_TYPE: name, "value": value.value}
    fields = dataclasses.fields(value)  # type: ignore[arg-type]
    return {_TYPE: name, **{f.name: _field(f.name, getattr(value, f.name)) for f in fields}}


def _field(name: str, value: object) -> Any:
    if name == "candidates":
        return None  # a record keeps what was found, not the many that were not
    if name == "embedding" and value is not None:
        return {_TYPE: "state", "shape": list(getattr(value, "shape", ()))}
    return pack(value)


def _array(kind: str, values: np.ndarray) -> dict[str, Any]:
    return {
        _TYPE: kind,
        "dtype": str(values.dtype),
        "shape": list(values.shape),
        "values": pack(values.reshape(-1).tolist()),
    }


@cache
def _homes() -> Mapping[str, str]:
    return {name: module for module, names in _KNOWN.items() for name in names}


def unpack(packed: object, *, depth: int = 0) -> Any:
    """A value of a run from its JSON values.

    Raises:
        InputError: If it is none.

    Examples:
        >>> unpack({"type": "Text", "sequence": 0, "text": "a cup"}).text
        'a cup'
        >>> unpack([])
        ()
    """
    if depth > _DEPTH:
        raise InputError(f"record: values nested more than {_DEPTH} deep")
    if isinstance(packed, list):
        return tuple(unpack(item, depth=depth + 1) for item in packed)
    if not isinstance(packed, Mapping):
        return packed
    name = packed.get(_TYPE)
    make = _MAKERS.get(name) if isinstance(name, str) else None
    try:
        if make is not None:
            return make(packed)
        if not isinstance(name, str) or name not in _homes():
            raise InputError(f"record: {str(name)[:40]!r} is no kind of value that it may hold")
        return _built(name, packed, depth=depth)
    except GroundplaneError as error:
        raise InputError(f"record: {error}".replace("record: record: ", "record: ")) from error
    except (TypeError, ValueError, KeyError, AttributeError, ArithmeticError) as error:
        raise InputError(f"record: a {name} that cannot be read: {error}") from error


def _built(name: str, packed: Mapping[str, Any], *, depth: int) -> Any:
    kind = getattr(importlib.import_module(f"groundplane.core.{_homes()[name]}"), name)
    if issubclass(kind, Enum):
        return kind(packed["value"])
    given = {key: value for key, value in packed.items() if key != _TYPE}
    return kind(**{key: unpack(value, depth=depth + 1) for key, value in given.items()})


def _numbers(packed: Mapping[str, Any]) -> np.ndarray:
    dtype = np.dtype(packed["dtype"])
    if dtype.kind not in "biuf":
        raise InputError(f"record: expected an array of numbers, got {dtype}")
    values = [unpack(value) for value in packed["values"]]
    with np.errstate(over="raise"):  # a number that the type cannot hold is no number of a run
        array = np.array(values, dtype=dtype)
    return array.reshape([int(side) for side in packed["shape"]])


def _tensor(packed: Mapping[str, Any]) -> Any:
    import torch

    return torch.from_numpy(_numbers(packed))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _State:
    """Stands for a hidden state, which a record does not keep."""

    shape: tuple[int, ...]


_MAKERS: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "float": lambda packed: float(packed["value"]),
    "array": _numbers,
    "tensor": _tensor,
    "bytes": lambda packed: packed["value"].encode("latin-1"),
    "state": lambda packed: _State(shape=tuple(packed["shape"])),
}
