"""Checks of a scene file's fields, which every scene format is read with."""

from __future__ import annotations

import contextlib
import json
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from groundplane.core.errors import SceneError, did_you_mean, listing
from groundplane.spatial.boxes import Boxes3D
from groundplane.spatial.map import AXES_TOLERANCE

__all__ = [
    "Field",
    "array",
    "boxes",
    "check_keys",
    "check_size",
    "counts",
    "direction",
    "make_ids",
    "mapping",
    "number",
    "numbers",
    "optional",
    "positive",
    "shown",
    "text",
    "vectors",
]

OBJECT_LIMIT = 100_000
TEXT_LIMIT = 200
# Far beyond any scene, and small enough that squares and products stay finite.
NUMBER_LIMIT = 1e6


@dataclass(frozen=True, slots=True)
class Field:
    """A place in a scene file, for messages."""

    source: str
    path: str = ""

    def __getitem__(self, part: str | int) -> Field:
        if isinstance(part, str) and part.replace("_", "").replace("-", "").isalnum():
            return Field(self.source, f"{self.path}.{part}" if self.path else part)
        return Field(self.source, f"{self.path}[{shown(part)}]")

    def error(self, expected: str, *got: object) -> SceneError:
        """What was expected here; and what was found, where anything was."""
        where = f"{self.source}: {self.path}" if self.path else self.source
        found = f"got {shown(got[0])}" if got else "but it is missing"
        return SceneError(f"{where}: expected {expected}, {found}")


Rows = Callable[[int], Field]


def make_ids(labels: Sequence[str], given: Mapping[int, str]) -> tuple[str, ...]:
    """Ids for the rows without one: the label, numbered from 1 where there are several."""
    totals, taken = Counter(labels), set(given.values())
    running: Counter[str] = Counter()
    ids: list[str] = []
    for i, label in enumerate(labels):
        running[label] += 1
        key = given.get(i, label if totals[label] == 1 else f"{label}-{running[label]}")
        while i not in given and key in taken:
            running[label] += 1
            key = f"{label}-{running[label]}"
        taken.add(key)
        ids.append(key)
    return tuple(ids)


def shown(value: object) -> str:
    """A JSON value in a message: short, on one line."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, str):
        return repr(value if len(value) <= 60 else f"{value[:57]}...")
    if isinstance(value, int) and value.bit_length() > 200:
        return f"a whole number of {value.bit_length()} bits"
    if isinstance(value, float):
        return json.dumps(value)
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return "an object" if value else "an empty object"
    return repr(value)[:60]


def check_keys(
    record: Mapping[str, object],
    at: Field,
    *,
    allowed: Set[str],
    required: Iterable[str] = (),
) -> None:
    """Refuse a key that has no meaning here, and the lack of one that must be there."""
    if unknown := [key for key in record if key not in allowed]:
        key = str(unknown[0])
        raise SceneError(
            f"{at[key].source}: {at[key].path}: expected one of {listing(sorted(allowed))}, "
            f"got the unknown key {shown(key)}.{did_you_mean(key, allowed)}"
        )
    for key in required:
        if key not in record:
            raise at[key].error("a value")


def mapping(value: object, at: Field, expected: str) -> Mapping[str, object]:
    """The value, which must be a JSON object."""
    if not isinstance(value, Mapping):
        raise at.error(expected, value)
    return value


def array(value: object, at: Field, length: int | None) -> Sequence[object]:
    """The value, which must be a list, and of this length where one is given."""
    if not isinstance(value, list | tuple) or length not in (None, len(value)):
        raise at.error("a list" if length is None else f"a list of {length}", value)
    return value


def check_size(items: Sequence[object], at: Field) -> None:
    """Refuse a scene without objects, and one with too many."""
    if not items:
        raise at.error("at least one object", items)
    if len(items) > OBJECT_LIMIT:
        raise at.error(f"at most {OBJECT_LIMIT} objects in a scene", items)


def text(value: object, at: Field, *, most: int = TEXT_LIMIT) -> str:
    """The value, which must be text that can be shown: short, not blank, on one line."""
    if not isinstance(value, str):
        raise at.error("a text", value)
    if not value.strip() or len(value) > most:
        raise at.error(f"a text of 1 to {most} characters", value)
    # Control characters, surrogates, line and paragraph separators.
    if not value.isprintable() and {"Cc", "Cs", "Zl", "Zp"} & set(map(unicodedata.category, value)):
        raise at.error("a text without control characters or lone surrogates", value)
    return value


def number(value: object, at: Field) -> float:
    """The value, which must be a finite number, and no truth value."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise at.error("a number", value)
    if not abs(value) <= NUMBER_LIMIT:
        raise at.error(f"a finite number of at most {NUMBER_LIMIT:.0f} in size", value)
    return float(value)


def positive(value: object, at: Field) -> float:
    """The value, which must be a positive number."""
    if number(value, at) <= 0:
        raise at.error("a positive number", value)
    return number(value, at)


def numbers(values: Sequence[object], at: Rows) -> Float[np.ndarray, " n"]:
    """The values, which must be finite numbers; one by one only where one is none."""
    if {*map(type, values)} <= {int, float}:
        # A whole number may be too large for a float; the loop below says which.
        with contextlib.suppress(OverflowError):
            column = np.array(values, dtype=np.float64)
            if (np.abs(column) <= NUMBER_LIMIT).all():
                return column
    return np.array([number(value, at(i)) for i, value in enumerate(values)], dtype=np.float64)


def vectors(values: Sequence[object], at: Rows, width: int) -> Float[np.ndarray, "n width"]:
    """The values, which must be lists of `width` finite numbers."""
    flat: list[object] = []
    for i, value in enumerate(values):
        if not isinstance(value, list | tuple) or len(value) != width:
            raise at(i).error(f"a list of {width} numbers", value)
        flat += value
    return numbers(flat, lambda k: at(k // width)[k % width]).reshape(-1, width)


def direction(value: object, at: Field) -> Float[torch.Tensor, " 3"]:
    """The value as a unit vector; it must point neither nowhere nor straight up or down."""
    vector = torch.from_numpy(vectors([value], lambda _: at, 3)[0])
    if float(vector[:2].norm()) <= AXES_TOLERANCE * float(vector.norm()):
        raise at.error("a direction [x, y, z] that is not straight up or down", value)
    unit: Float[torch.Tensor, " 3"] = vector / vector.norm()
    return unit


def optional(
    items: Sequence[Mapping[str, object]], at: Rows, key: str, *, fill: float, most: float = np.inf
) -> Float[torch.Tensor, " n"]:
    """A column of numbers from 0 to `most`, with `fill` where an item has none."""
    column = np.full(len(items), fill)
    given = [i for i, item in enumerate(items) if key in item]
    column[given] = numbers([items[i][key] for i in given], lambda k: at(given[k])[key])
    for i in np.flatnonzero((column < 0) | (column > most))[:1].tolist():
        expected = "a number of at least 0" if np.isinf(most) else f"a number from 0 to {most:g}"
        raise at(i)[key].error(expected, items[i][key])
    return torch.from_numpy(column)


def counts(value: object, at: Field) -> dict[str, int]:
    """Stated numbers of objects by label."""
    stated = {}
    for label, count in mapping(value, at, "an object of counts by label").items():
        place = at[text(label, at)]
        if not number(count, place).is_integer() or number(count, place) < 0:
            raise place.error("a whole number of at least 0", count)
        stated[label] = int(number(count, place))
    return stated


def boxes(
    centers: Float[np.ndarray, "n 3"],
    sizes: Float[np.ndarray, "n 3"],
    axes: Float[np.ndarray, "n 3 3"],
    *,
    at: Rows,
    names: tuple[str, str] = ("size", "axes"),
) -> Boxes3D:
    """Boxes whose sizes are positive and whose axes are orthonormal and right-handed."""
    for i in np.flatnonzero((sizes <= 0).any(axis=1))[:1].tolist():
        raise at(i)[names[0]].error("three positive numbers", tuple(sizes[i].tolist()))
    skew = np.abs(axes @ axes.transpose(0, 2, 1) - np.eye(3)).max(axis=(1, 2), initial=0)
    for i in np.flatnonzero(skew > AXES_TOLERANCE)[:1].tolist():
        raise at(i)[names[1]].error(
            f"orthonormal rows within {AXES_TOLERANCE:g}", f"rows off by {skew[i]:.3g}"
        )
    for i in np.flatnonzero(np.linalg.det(axes) <= 0)[:1].tolist():
        raise at(i)[names[1]].error("right-handed axes", "left-handed ones")
    return Boxes3D(
        centers=torch.from_numpy(centers),
        sizes=torch.from_numpy(sizes),
        axes=torch.from_numpy(np.ascontiguousarray(axes)),
    )
