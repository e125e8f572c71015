"""CLEVR scenes: plain solids on a ground plane, as the generator of the data set writes them.

Source: Johnson et al., CLEVR, CVPR 2017, and the scene files of its generator. Things rest on the
ground at z = 0 and are as wide as they are high, so the height of a centre is half the size of its
box. `relationships` and `pixel_coords` are not read: relations follow from the coordinates, and
`directions` says which way the camera looks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float

from groundplane.spatial.map import CognitiveMap
from groundplane.spatial.scenes.fields import (
    Field,
    Rows,
    array,
    boxes,
    check_keys,
    check_size,
    direction,
    make_ids,
    mapping,
    numbers,
    shown,
    text,
    vectors,
)

__all__ = ["ATTRIBUTES", "SHAPES", "is_file", "is_scene", "names_of", "parse"]

ATTRIBUTES = ("size", "color", "material", "shape")
# A scene that has none of a shape says so: it was made without, and a count of it is 0.
SHAPES = ("cube", "sphere", "cylinder")
# Directions are unit vectors that the generator writes with single precision.
_SKEW = 1e-3


def is_scene(value: object) -> bool:
    """Whether this looks like one CLEVR scene."""
    objects = value.get("objects") if isinstance(value, dict) else None
    return (
        isinstance(objects, list)
        and bool(objects)
        and isinstance(objects[0], dict)
        and "3d_coords" in objects[0]
    )


def is_file(document: Mapping[str, object]) -> bool:
    """Whether this looks like a file of CLEVR scenes."""
    rows = document.get("scenes")
    return isinstance(rows, list) and any(map(is_scene, rows))


def names_of(rows: Sequence[object], at: Field) -> tuple[str, ...]:
    """What the scenes of a file are called: their `image_index`, else their place in the file.

    Raises:
        SceneError: If two are called the same.
    """
    names: dict[str, int] = {}
    for i, row in enumerate(rows):
        record = mapping(row, at[i], "a scene")
        index = record.get("image_index", i)
        if isinstance(index, bool) or not isinstance(index, int | str):
            raise at[i]["image_index"].error("a whole number", index)
        if str(index) in names:
            first = at[names[str(index)]].path
            raise at[i]["image_index"].error(f"an index that {first} has not", index)
        names[str(index)] = i
    return tuple(names)


def parse(record: object, at: Field, name: str) -> CognitiveMap:
    """A CLEVR scene as a map; its unit is no metre, so the scale is relative.

    Raises:
        SceneError: If the record is malformed.
    """
    record = mapping(record, at, "a scene")
    check_keys(record, at, allowed=record.keys(), required=("objects", "directions"))
    row = at["objects"].__getitem__
    stated = array(record["objects"], at["objects"], None)
    check_size(stated, at["objects"])
    items = [mapping(item, row(i), "an object") for i, item in enumerate(stated)]
    for i, item in enumerate(items):
        check_keys(item, row(i), allowed=item.keys(), required=("3d_coords", *ATTRIBUTES))
    attributes = tuple(
        {key: text(item[key], row(i)[key]) for key in ATTRIBUTES} for i, item in enumerate(items)
    )
    labels = tuple(told["shape"] for told in attributes)
    centers = vectors([item["3d_coords"] for item in items], lambda i: row(i)["3d_coords"], 3)
    unknown = torch.full((len(items), 3), float("nan"), dtype=torch.float64)
    return CognitiveMap(
        name=name,
        ids=make_ids(labels, {}),
        objects=boxes(centers, _sizes(centers, row), _axes(items, row), at=row),
        labels=labels,
        scores=torch.ones(len(items), dtype=torch.float64),
        attributes=attributes,
        fronts=unknown,
        counts={**dict.fromkeys(SHAPES, 0), **Counter(labels)},
        first_seen=unknown[:, 0].clone(),
        floor=0.0,
        scale="relative",
        view=_view(record["directions"], at["directions"]),
    )


def _sizes(centers: Float[np.ndarray, "n 3"], row: Rows) -> Float[np.ndarray, "n 3"]:
    for i in np.flatnonzero(centers[:, 2] <= 0)[:1].tolist():
        place = row(i)["3d_coords"]
        raise place.error("a centre above the ground at z = 0", shown(float(centers[i, 2])))
    return np.repeat(2 * centers[:, 2:], 3, axis=1)


def _axes(items: Sequence[Mapping[str, object]], row: Rows) -> Float[np.ndarray, "n 3 3"]:
    """Turned about z by `rotation`, degrees."""
    turns = numbers([item.get("rotation", 0.0) for item in items], lambda i: row(i)["rotation"])
    yaw = np.radians(turns)
    axes = np.tile(np.eye(3), (len(items), 1, 1))
    axes[:, 0, 0] = axes[:, 1, 1] = np.cos(yaw)
    axes[:, 0, 1], axes[:, 1, 0] = np.sin(yaw), -np.sin(yaw)
    return axes


def _view(value: object, at: Field) -> Float[torch.Tensor, " 3"]:
    """Where the camera looks along the ground; the four directions must say the same."""
    told = mapping(value, at, "an object of directions")
    check_keys(told, at, allowed=told.keys(), required=("behind", "front", "left", "right"))
    behind = direction(told["behind"], at["behind"])
    left = torch.stack([-behind[1], behind[0], torch.zeros_like(behind[0])])
    for key, wanted in (("left", left), ("right", -left), ("front", -behind)):
        flat = direction(told[key], at[key])
        if float((flat - wanted).abs().max()) > _SKEW:
            raise at[key].error(f"the direction that follows from 'behind', {wanted.tolist()}",
                                told[key])  # fmt: skip
    return behind
