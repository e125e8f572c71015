"""The image plane as a scene: regions of one photo, pixels, the photographer's left and right.

A photo alone has no depth. What is answered here holds in the picture: left and right as the
photographer saw them, sizes and gaps in pixels. In front and behind are refused.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from groundplane.core import boxes as flat
from groundplane.core.regions import Regions
from groundplane.spatial.scene import UnsupportedError

__all__ = ["PlaneScene"]

# Relations in the picture compare centres only when they differ by this share of the smaller
# box's side: boxes drawn by people differ by a few per cent.
_LEAST_OFFSET = 0.05
_NO_DEPTH = (
    "{name!r} needs depth and a single photo has none; ask for left, right, above or below, "
    "or give a scene with 3-D boxes"
)


class PlaneScene:
    """Regions of one image as a scene.

    Args:
        regions: The regions; several of one object (the same id) are not expected.
    """

    kind: Literal["map", "image"] = "image"

    def __init__(self, regions: Regions) -> None:
        keep = torch.nonzero(regions.phrase_ids >= 0).flatten()
        self.regions = regions.select(keep)
        self.ids = self.regions.ids
        self.labels = self.regions.labels()
        self.counts: Mapping[str, int] = Counter(self.labels)
        self.unit = "px"
        self.method = "gap between the two boxes in the picture"
        self._boxes = self.regions.boxes.double()
        rows: dict[str, list[int]] = defaultdict(list)
        for i, label in enumerate(self.labels):
            rows[label].append(i)
        self._rows = {label: tuple(found) for label, found in rows.items()}
        place = {i: k for found in rows.values() for k, i in enumerate(found, start=1)}
        self.names = tuple(
            label if len(rows[label]) == 1 else f"{label}-{place[i]}"
            for i, label in enumerate(self.labels)
        )

    def vocabulary(self) -> tuple[str, ...]:
        """Every phrase that was looked for, found or not."""
        return self.regions.phrases

    def rows(self, label: str) -> tuple[int, ...]:
        """The regions of a phrase."""
        return self._rows.get(label, ())

    def attributes(self, row: int) -> Mapping[str, str]:
        """Nothing is stated of a region."""
        del row
        return {}

    def gaps(self, a: Int[Tensor, " a"], b: Int[Tensor, " b"]) -> Float[Tensor, "a b"]:
        """Shortest distances between boxes in the picture, pixels."""
        return flat.gap(self._boxes[a], self._boxes[b])

    def distance(self, a: int, b: int) -> float:
        """The gap between two boxes in the picture, pixels."""
        return float(self.gaps(torch.tensor([a]), torch.tensor([b]))[0, 0])

    def center_distances(self, a: Int[Tensor, " a"], b: Int[Tensor, " b"]) -> Float[Tensor, "a b"]:
        """Distances between centres in the picture, pixels."""
        centers = flat.centers(self._boxes)
        return torch.cdist(centers[a], centers[b], compute_mode="donot_use_mm_for_euclid_dist")

    def measure(self, name: str, index: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
        """A measure in the picture: pixels or square pixels."""
        sides = self._boxes[index, 2:] - self._boxes[index, :2]
        if name in ("size", "length"):
            return sides.amax(dim=1)
        if name == "width":
            return sides[:, 0]
        if name == "height":
            return sides[:, 1]
        if name in ("floor_area", "volume"):
            # `bigger` in a picture is the larger area: a photo shows no volume.
            return sides.prod(dim=1)
        if name == "top":
            return -self._boxes[index, 1]
        if name == "elevation":
            return -self._boxes[index, 3]
        raise UnsupportedError(_NO_DEPTH.format(name=name))

    def sides(self, row: int) -> tuple[float, ...]:
        """The two sides of one box, pixels, the longer first."""
        sides = self._boxes[row, 2:] - self._boxes[row, :2]
        return tuple(sorted(sides.tolist(), reverse=True))

    def room_area(self) -> float | None:
        """A photo shows no room area."""
        return None

    def relation(
        self, name: str, subjects: Int[Tensor, " a"], anchors: Int[Tensor, " b"],
        limit: float | None = None,
    ) -> Bool[Tensor, "a b"]:  # fmt: skip
        """A relation in the picture that needs no viewer."""
        if name in ("within", "beyond"):
            raise UnsupportedError(f"a photo alone has no metres, so {limit} m cannot be checked")
        if name in ("supports", "contains"):
            return self.relation("on" if name == "supports" else "inside", anchors, subjects).T
        a, b = self._boxes[subjects][:, None], self._boxes[anchors][None]
        if name == "under":
            return self._on(b, a) | self._below(a, b)
        if name in ("below", "above", "on"):
            return {"below": self._below(a, b), "above": self._below(b, a), "on": self._on(a, b)}[
                name
            ]
        if name == "inside":
            common = flat.intersection(self._boxes[subjects], self._boxes[anchors])
            return common >= 0.9 * flat.area(self._boxes[subjects])[:, None]
        gaps = self.gaps(subjects, anchors)
        reach = torch.minimum(self._longest(a), self._longest(b))
        if name == "touches":
            return gaps <= 0
        if name == "next_to":
            return gaps <= reach / 2
        if name == "near":
            return gaps <= torch.maximum(self._longest(a), self._longest(b))
        raise UnsupportedError(_NO_DEPTH.format(name=name))

    def undecided(self, name: str, index: Int[Tensor, " n"]) -> Bool[Tensor, " n"]:
        """None: what the picture has no relation for is refused outright."""
        del name
        return torch.zeros_like(index, dtype=torch.bool)

    @staticmethod
    def _longest(boxes: Float[Tensor, "*b 4"]) -> Float[Tensor, "*b"]:
        return (boxes[..., 2:] - boxes[..., :2]).amax(dim=-1)

    @staticmethod
    def _share_columns(a: Float[Tensor, "*a 4"], b: Float[Tensor, "*b 4"]) -> Bool[Tensor, "*c"]:
        """Whether one stands over the other: at least half of the narrower one's columns."""
        common = torch.minimum(a[..., 2], b[..., 2]) - torch.maximum(a[..., 0], b[..., 0])
        return common >= 0.5 * torch.minimum(a[..., 2] - a[..., 0], b[..., 2] - b[..., 0])

    def _below(self, a: Float[Tensor, "*a 4"], b: Float[Tensor, "*b 4"]) -> Bool[Tensor, "*c"]:
        """Whether `a` begins where `b` ends or lower, in the same columns."""
        slack = 0.1 * torch.minimum(a[..., 3] - a[..., 1], b[..., 3] - b[..., 1])
        return self._share_columns(a, b) & (a[..., 1] >= b[..., 3] - slack)

    def _on(self, a: Float[Tensor, "*a 4"], b: Float[Tensor, "*b 4"]) -> Bool[Tensor, "*c"]:
        """Whether `a` ends inside `b` and reaches above it."""
        slack = 0.1 * (b[..., 3] - b[..., 1])
        ends = (a[..., 3] >= b[..., 1] - slack) & (a[..., 3] <= b[..., 3] + slack)
        higher = (a[..., 1] + a[..., 3]) / 2 < (b[..., 1] + b[..., 3]) / 2
        return self._share_columns(a, b) & ends & higher & (a[..., 1] < b[..., 1])

    def side(
        self, name: str, subjects: Int[Tensor, " a"], anchors: Int[Tensor, " b"],
        view: Float[Tensor, " d"],
    ) -> Bool[Tensor, "a b"]:  # fmt: skip
        """Left and right in the picture; depth is refused."""
        del view
        if name not in ("left_of", "right_of"):
            raise UnsupportedError(_NO_DEPTH.format(name=name.replace("_", " ")))
        a, b = self._boxes[subjects][:, None], self._boxes[anchors][None]
        least = _LEAST_OFFSET * torch.minimum(a[..., 2] - a[..., 0], b[..., 2] - b[..., 0])
        offset = (a[..., 0] + a[..., 2] - b[..., 0] - b[..., 2]) / 2
        return offset < -least if name == "left_of" else offset > least

    def ground(self, index: Int[Tensor, " n"]) -> Float[Tensor, "n 2"]:
        """Centres in the picture, pixels, y down."""
        return flat.centers(self._boxes[index])

    def fronts(self, index: Int[Tensor, " n"]) -> Float[Tensor, "n 2"]:
        """Nothing is known of fronts."""
        return self._boxes.new_full((len(index), 2), torch.nan)

    def middle(self) -> Float[Tensor, " 2"]:
        """The middle of the picture, pixels."""
        width, height = self.regions.image_size
        return self._boxes.new_tensor([width / 2, height / 2])

    def view(self) -> Float[Tensor, " 2"] | None:
        """A photo is the view itself: nothing in it looks along the ground."""
        return None

    def first_seen(self, index: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
        """A photo has no time."""
        return self._boxes.new_full((len(index),), torch.nan)
