"""The cognitive map: the objects of a scene in columns, and the room round them."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import shapely
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from groundplane.core.errors import InputError, ShapeError
from groundplane.spatial.boxes import Boxes3D
from groundplane.spatial.maps.views import Grid

__all__ = ["CognitiveMap"]

AXES_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CognitiveMap:
    """What is where in one scene; world frame, z up.

    Attributes:
        name: Name of the scene.
        ids: One id an object, unique: `chair-2`, or just `sofa` where there is one.
        objects: Boxes, metres; float64 on the CPU when loaded from a file.
        labels: One label an object.
        scores: In [0, 1].
        attributes: Such as colour or material, one mapping an object.
        fronts: Unit vector that the object's front looks along; NaN where unknown.
        counts: Objects of each label as stated. It may differ from the number of boxes;
            a label without a statement gets the number of its boxes.
        first_seen: Seconds; NaN where unknown.
        room: Outline of the room on the ground, metres, without holes; None where unknown.
        room_area: Square metres, as stated; else the outline's; None where neither is known.
        floor: z of the floor, metres; None where not stated.
        scale: Whether a unit is a metre or unknown.
        provenance: Object id to the ids of the regions that it was made from.
        view: Unit vector along which the scene's own camera looks, not straight up or down; None
            where it has none. It fixes left and right where a question names nobody who looks.
        notes: What a reader of an answer must know of how the map came about, in words: that its
            scale is taken from a known height, or why nothing is in it. Answers carry them.

    Raises:
        ShapeError: If the columns differ in length.
        InputError: If a value is out of range, or an id is used twice.
    """

    name: str = ""
    ids: tuple[str, ...]
    objects: Boxes3D
    labels: tuple[str, ...]
    scores: Float[Tensor, " n"]
    attributes: tuple[Mapping[str, str], ...]
    fronts: Float[Tensor, "n 3"]
    counts: Mapping[str, int] = field(default_factory=dict)
    first_seen: Float[Tensor, " n"]
    room: shapely.Polygon | None = None
    room_area: float | None = None
    floor: float | None = None
    scale: Literal["metric", "relative"] = "metric"
    provenance: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    view: Float[Tensor, " 3"] | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self._check_lengths()
        self._check_numbers()
        self._check_room()
        self._check_view()
        boxes = Counter(self.labels)
        if bad := [label for label, count in self.counts.items() if count < 0]:
            raise InputError(f"map {self.name!r}: the count of {bad[0]!r} is negative")
        if unknown := [key for key in self.provenance if key not in set(self.ids)]:
            raise InputError(f"map {self.name!r}: provenance of {unknown[0]!r}, which is no object")
        # The class is frozen, so what follows from the other columns is filled in here.
        object.__setattr__(self, "counts", {**boxes, **self.counts})
        if self.room_area is None and self.room is not None:
            object.__setattr__(self, "room_area", float(self.room.area))

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def load(cls, path: str | Path, *, scene: str | None = None) -> CognitiveMap:
        """Read a scene from a groundplane map or a VSI-Bench meta file.

        Args:
            path: The file; `file.json#id` names one of its scenes.
            scene: Which scene of the file; not needed where it holds just one.

        Raises:
            SceneError: If the file cannot be read, is malformed, or has no such scene.
        """
        from groundplane.spatial.scenes import files as scene_files

        return scene_files.load(path, scene=scene)

    @classmethod
    def scenes(cls, path: str | Path) -> tuple[str, ...]:
        """The ids of the scenes in a file.

        Raises:
            SceneError: If the file cannot be read or is no scene file.
        """
        from groundplane.spatial.scenes import files as scene_files

        return scene_files.scenes(path)

    @classmethod
    def from_record(cls, record: Mapping[str, object], *, source: str) -> CognitiveMap:
        """Make a map from one scene as JSON gives it, in either format.

        Args:
            record: The scene; see docs/scene-format.md.
            source: What error messages call it; also its name where it has none.

        Raises:
            SceneError: If the record is malformed.
        """
        from groundplane.spatial.scenes import files as scene_files

        return scene_files.from_record(record, source=source)

    def to_json(self) -> str:
        """The map in groundplane's own format, one object a line."""
        boxes = Counter(self.labels)
        room: dict[str, object] = {}
        if self.room is not None:
            room["polygon"] = [point[:2] for point in self.room.exterior.coords[:-1]]
        if self.room_area is not None:
            room["area"] = self.room_area
        head = {
            "format": "groundplane-map",
            "version": 1,
            "name": self.name or None,
            "scale": self.scale,
            "floor": self.floor,
            "view": None if self.view is None else self.view.tolist(),
            "room": room or None,
            "counts": {k: n for k, n in self.counts.items() if n != boxes.get(k)} or None,
            "notes": list(self.notes) or None,
        }
        stated = {key: value for key, value in head.items() if value is not None}
        lines = [f"{_dump(key)}: {_dump(value)}" for key, value in stated.items()]
        objects = ",\n    ".join(map(_dump, self._records()))
        lines.append(f'"objects": [\n    {objects}\n  ]')
        return "{\n  " + ",\n  ".join(lines) + "\n}\n"

    def save(self, path: str | Path) -> None:
        """Write the map in groundplane's own format; an old file stays whole until then.

        Raises:
            OutputError: If the file cannot be written.
        """
        from groundplane.spatial.scenes import files as scene_files

        scene_files.save(self, path)

    def to(self, device: str | torch.device) -> CognitiveMap:
        """The same map with its tensors on another device."""
        return replace(
            self,
            objects=self.objects.to(device),
            scores=self.scores.to(device),
            fronts=self.fronts.to(device),
            first_seen=self.first_seen.to(device),
            view=None if self.view is None else self.view.to(device),
        )

    def with_noise(self, sigma: float) -> CognitiveMap:
        """The same map, its boxes known only up to noise.

        Args:
            sigma: Standard deviation of every coordinate of every centre and of every side, in
                the map's unit. It adds to what the boxes carry already.

        Raises:
            InputError: If `sigma` is negative or not a number.
        """
        from groundplane.spatial.scenes.noise import isotropic

        if not 0 <= sigma < float("inf"):
            raise InputError(f"noise: expected a number of metres of at least 0, got {sigma}")
        if sigma == 0:
            return self
        noise = isotropic(sigma, len(self)).to(self.objects.centers)
        known = self.objects.covariance
        covariance = noise if known is None else known + noise
        return replace(self, objects=replace(self.objects, covariance=covariance))

    def grid(self, cells: int = 10) -> Grid:
        """The centres of the objects on a square grid; see `Grid`.

        The grid starts at the least x and y of the room, or of the boxes where there is no
        room, and spans the longer side.

        Raises:
            InputError: If `cells` is not positive.
        """
        if self.room is not None:
            bounds = self.room.bounds
        elif len(self):
            low, high = self.objects.hull()
            bounds = (*low.amin(dim=0)[:2].tolist(), *high.amax(dim=0)[:2].tolist())
        else:
            bounds = (0.0, 0.0, 1.0, 1.0)
        centers = self.objects.centers[:, :2].detach().cpu().numpy()
        return Grid.of(centers, labels=self.labels, bounds=bounds, cells=cells)

    def graph(
        self,
        *,
        limit: float | None = 2.0,
        relations: Sequence[str] = ("near",),
        view: Float[Tensor, " 3"] | None = None,
    ) -> Any:
        """The map as a `networkx.MultiDiGraph`; see `graphs.build_graph`.

        Args:
            limit: Join two objects whose axis-aligned hulls are at most so many metres apart;
                None joins all.
            relations: Kinds of edges, any of `graphs.EDGE_KINDS`.
            view: Where the viewer looks; the scene's own camera where it is not given.

        Raises:
            InputError: If `limit` is negative, a kind is unknown or needs a view that nobody has,
                or the graph would have too many edges.
        """
        from groundplane.spatial.maps.graphs import build_graph

        return build_graph(self, limit=limit, relations=relations, view=view)

    def to_text(self, *, budget: int | None = None, view: Float[Tensor, " 3"] | None = None) -> str:
        """The map in words for a language model's prompt; see `map_text.write_text`.

        Args:
            budget: Tokens at most, by a cautious estimate; None writes everything.
            view: Where the viewer looks; the scene's own camera where it is not given.

        Raises:
            InputError: If the budget does not hold even the heading.
        """
        from groundplane.spatial.maps.map_text import write_text

        return write_text(self, budget=budget, view=view)

    def _records(self) -> Iterator[dict[str, object]]:
        """Each object as JSON holds it."""
        from groundplane.spatial.scenes.noise import noise_record

        boxes = self.objects
        columns = (boxes.centers, boxes.sizes, boxes.axes, self.fronts, self.scores)
        rows = zip(*(column.tolist() for column in (*columns, self.first_seen)), strict=True)
        for i, (center, size, axes, front, score, seen) in enumerate(rows):
            record = {"id": self.ids[i], "label": self.labels[i], "center": center, "size": size}
            record |= {"axes": axes, "score": score}
            if not math.isnan(front[0]):
                record["front"] = front
            if not math.isnan(seen):
                record["first_seen"] = seen
            if boxes.covariance is not None:
                record |= noise_record(boxes.covariance[i])
            if self.attributes[i]:
                record["attributes"] = dict(self.attributes[i])
            if regions := self.provenance.get(self.ids[i]):
                record["regions"] = list(regions)
            yield record

    def _check_lengths(self) -> None:
        n = len(self.ids)
        if len(set(self.ids)) != n:
            twice = next(key for key, count in Counter(self.ids).items() if count > 1)
            raise InputError(f"map {self.name!r}: the id {twice!r} is used more than once")
        for name in ("objects", "labels", "scores", "attributes", "fronts", "first_seen"):
            if (got := len(getattr(self, name))) != n:
                raise ShapeError(f"map {self.name!r}: {n} ids but {got} {name}")
        if tuple(self.fronts.shape) != (n, 3):
            raise ShapeError(f"map {self.name!r}: fronts must have shape {(n, 3)}")

    def _check_numbers(self) -> None:
        """One look at the device for all columns together; the culprit is sought only if any."""
        checks = self._number_checks()
        good = torch.stack([rows.all() for rows in checks.values()])
        if bool(good.all()):
            return
        for what, rows in checks.items():
            for i in torch.nonzero(~rows).flatten().tolist():
                raise InputError(f"map {self.name!r}: object {self.ids[i]!r}: {what}")

    def _number_checks(self) -> dict[str, Bool[Tensor, " n"]]:
        """What must hold of each object, and where it does."""
        boxes = self.objects
        eye = torch.eye(3, dtype=boxes.axes.dtype, device=boxes.axes.device)
        skew = (boxes.axes @ boxes.axes.transpose(1, 2) - eye).abs().amax(dim=(1, 2))
        norm = self.fronts.norm(dim=1)
        noise = {} if boxes.covariance is None else _noise_checks(boxes.covariance)
        return noise | {
            "the center must be finite": boxes.centers.isfinite().all(dim=1),
            "sizes must be finite and positive": (boxes.sizes.isfinite() & (boxes.sizes > 0)).all(
                dim=1
            ),
            "the axes must be orthonormal rows": skew <= AXES_TOLERANCE,
            "the axes must be right-handed": _triple(boxes.axes) > 0,
            "the score must lie in [0, 1]": (self.scores >= 0) & (self.scores <= 1),
            "the front must be a unit vector, or NaN": (
                ((norm - 1).abs() <= AXES_TOLERANCE) | self.fronts.isnan().all(dim=1)
            ),
            "first_seen must be at least 0 seconds, or NaN": (
                self.first_seen.isnan() | (self.first_seen.isfinite() & (self.first_seen >= 0))
            ),
        }

    def _check_room(self) -> None:
        room, area, floor = self.room, self.room_area, self.floor
        if room is not None and not (room.is_valid and room.area > 0 and not room.interiors):
            raise InputError(
                f"map {self.name!r}: the room must be a polygon with an area, whose outline does "
                "not cross itself, without holes"
            )
        if area is not None and not 0 < area < float("inf"):
            raise InputError(f"map {self.name!r}: room_area must be positive, got {area}")
        if floor is not None and not abs(floor) < float("inf"):
            raise InputError(f"map {self.name!r}: floor must be finite, got {floor}")
        if self.scale not in ("metric", "relative"):
            raise InputError(
                f"map {self.name!r}: scale must be 'metric' or 'relative', got {self.scale!r}"
            )

    def _check_view(self) -> None:
        if self.view is None:
            return
        length, flat = float(self.view.norm()), float(self.view[:2].norm())
        if not (abs(length - 1) <= AXES_TOLERANCE and flat > AXES_TOLERANCE):
            raise InputError(
                f"map {self.name!r}: the view must be a unit vector with a horizontal part, got "
                f"{self.view.tolist()}"
            )


def _noise_checks(covariance: Float[Tensor, "n 6 6"]) -> dict[str, Bool[Tensor, " n"]]:
    finite = covariance.isfinite().all(dim=(1, 2))
    table = torch.where(finite[:, None, None], covariance, 0.0)
    least = 1e-5 * table.abs().amax(dim=(1, 2))
    skew = (table - table.transpose(1, 2)).abs().amax(dim=(1, 2))
    lowest = torch.linalg.eigvalsh(table).amin(dim=1)
    return {
        "the covariance must be finite": finite,
        "the covariance must be symmetric, without negative variances": (
            (skew <= least) & (lowest >= -least)
        ),
    }


def _dump(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _triple(axes: Float[Tensor, "n 3 3"]) -> Float[Tensor, " n"]:
    """The triple product of the rows: 1 for right-handed axes, -1 for left-handed ones."""
    up: Tensor = torch.linalg.cross(axes[:, 0], axes[:, 1])
    return (up * axes[:, 2]).sum(dim=1)
