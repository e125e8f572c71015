"""VSI-Bench scenes, as the benchmark's meta files hold them."""

from __future__ import annotations

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
    counts,
    make_ids,
    mapping,
    optional,
    positive,
    text,
    vectors,
)

__all__ = ["is_scene", "parse"]

BOX_KEYS = ("object_bbox", "object_bboxes")  # as released, and as the reproductions write it


def is_scene(value: object) -> bool:
    """Whether this looks like a scene of a VSI-Bench meta file."""
    return isinstance(value, dict) and any(key in value for key in BOX_KEYS)


def parse(record: object, at: Field, name: str) -> CognitiveMap:
    """A scene of a VSI-Bench meta file; other keys than those used here are left alone.

    Raises:
        SceneError: If the record is malformed.
    """
    record = mapping(record, at, "a scene")
    named = [key for key in BOX_KEYS if key in record]
    if len(named) != 1:
        raise at[BOX_KEYS[0]].error("the boxes by label under one key", *named[:1])
    items, labels, places = _flatten(record[named[0]], at[named[0]])

    def column(key: str, width: int) -> Float[np.ndarray, "n width"]:
        return vectors([item[key] for item in items], lambda i: places(i)[key], width)

    check_keys(record, at, allowed=record.keys(), required=("object_counts", "room_size"))
    return CognitiveMap(
        name=name,
        ids=make_ids(labels, {}),
        objects=boxes(
            column("centroid", 3),
            column("axesLengths", 3),
            column("normalizedAxes", 9).reshape(-1, 3, 3),
            at=places,
            names=("axesLengths", "normalizedAxes"),
        ),
        labels=labels,
        scores=torch.ones(len(items), dtype=torch.float64),
        attributes=({},) * len(items),
        fronts=torch.full((len(items), 3), float("nan"), dtype=torch.float64),
        counts=counts(record["object_counts"], at["object_counts"]),
        first_seen=_first_seen(record, at, labels, (items, places)),
        room_area=positive(record["room_size"], at["room_size"]),
    )


def _flatten(value: object, at: Field) -> tuple[list[Mapping[str, object]], tuple[str, ...], Rows]:
    """The boxes of all labels in the file's order, their labels, and where each stands."""
    items: list[Mapping[str, object]] = []
    labels: list[str] = []
    numbers_within: list[int] = []
    for label, rows in mapping(value, at, "an object of lists of boxes").items():
        text(label, at)
        for k, item in enumerate(array(rows, at[label], None)):
            items.append(mapping(item, at[label][k], "a box"))
            labels.append(label)
            numbers_within.append(k)

    def place(i: int) -> Field:
        return at[labels[i]][numbers_within[i]]

    check_size(items, at)
    for i, item in enumerate(items):
        check_keys(
            item,
            place(i),
            allowed=item.keys(),
            required=("centroid", "axesLengths", "normalizedAxes"),
        )
    return items, tuple(labels), place


def _first_seen(
    record: Mapping[str, object],
    at: Field,
    labels: Sequence[str],
    boxes_at: tuple[Sequence[Mapping[str, object]], Rows],
) -> Float[torch.Tensor, " n"]:
    """Seconds by box where a box states them, else by label; the benchmark states neither."""
    items, places = boxes_at
    at = at["first_seen"]
    by_label = mapping(record.get("first_seen", {}), at, "seconds by label")
    check_keys(by_label, at, allowed=set(labels))
    given = [
        {"first_seen": by_label[label], **item} if label in by_label else item
        for label, item in zip(labels, items, strict=True)
    ]
    return optional(given, places, "first_seen", fill=float("nan"))
