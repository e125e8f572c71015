"""Several detectors as one: asked side by side, their regions merged.

Members are plugins by name. Where one is there twice, or with options, write
`--option detectors=owlv2@small,owlv2@large --option options=members.json`, and in the file
`{"owlv2@small": {"weights": "..."}, ...}`: what follows the `@` only tells them apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from groundplane.core.capabilities import Capabilities
from groundplane.core.detection import DetectRequest, DetectResult
from groundplane.core.errors import InputError, did_you_mean, listing
from groundplane.core.host import Prepared, prepare
from groundplane.core.options import read_options
from groundplane.grounding.ensembles import Ensemble
from groundplane.grounding.experts import Expert
from groundplane.grounding.result_merging import MergeMethod, Merging
from groundplane.grounding.slicing import SlicedDetector, tiles

__all__ = ["EnsembleDetector", "EnsembleOptions"]

_WHO = "detector 'ensemble'"


@dataclass(frozen=True, slots=True, kw_only=True)
class EnsembleOptions:
    """Options of `EnsembleDetector`.

    Attributes:
        detectors: The members' names, two or more as a rule; `name@label` where one plugin is
            there twice.
        options: A JSON file of the members' own options: `{"name": {"option": value}}`.
        merge: `nms` keeps the best of regions that overlap, `containment` also drops what lies
            within a better one or around it, `fuse` makes their weighted mean.
        iou: Intersection over union above which regions of a phrase are one thing.
        containment: Intersection over the smaller area above which they are, for its method.
        weights: How much each member's scores count, in the order of `detectors`; none: alike.
        deadline: Seconds that a member may take for a batch.
        tile: Side of the tiles that larger pictures are cut into, pixels; 0 for no tiles.
        overlap: Share of its side that a tile has in common with the next one, at least.

    Raises:
        InputError: If a value is out of range.
    """

    detectors: tuple[str, ...]
    options: Path | None = None
    merge: MergeMethod = "nms"
    iou: float = 0.5
    containment: float = 0.8
    weights: tuple[float, ...] = ()
    deadline: float = 60.0
    tile: int = 0
    overlap: float = 0.2

    def __post_init__(self) -> None:
        if not self.detectors or not all(self.detectors):
            raise InputError(
                f"{_WHO}: option detectors: expected names of detectors, got {self.detectors}. "
                "Try: --option detectors=opencv,owlv2"
            )
        twice = sorted({name for name in self.detectors if self.detectors.count(name) > 1})
        if twice:
            raise InputError(
                f"{_WHO}: option detectors: {twice[0]!r} is there twice. Tell them apart: "
                f"{twice[0]}@a,{twice[0]}@b"
            )
        if any(name.partition("@")[0] == "ensemble" for name in self.detectors):
            raise InputError(f"{_WHO}: option detectors: an ensemble cannot be its own member")
        if self.weights and len(self.weights) != len(self.detectors):
            raise InputError(
                f"{_WHO}: option weights: expected one for each of {len(self.detectors)} "
                f"detectors, got {len(self.weights)}"
            )
        if not all(0 < weight < math.inf for weight in self.weights):
            raise InputError(f"{_WHO}: option weights: expected numbers above 0")
        if not 0 < self.deadline < math.inf:
            raise InputError(f"{_WHO}: option deadline: expected seconds above 0")
        if self.tile < 0:
            raise InputError(f"{_WHO}: option tile: expected 0 or more pixels, got {self.tile}")
        tiles((1, 1), tile=self.tile or 1, overlap=self.overlap)
        Merging(method=self.merge, iou=self.iou, containment=self.containment)


class EnsembleDetector:
    """Asks other detectors side by side and merges what they find.

    What it answers, and what happens when a member fails, is told at `Ensemble`.

    Args:
        options: See `EnsembleOptions`.
        device: Where the members run.
        dtype: The number type of members that have a choice.

    Raises:
        InputError: If the file of options cannot be read, names somebody who is no member, or
            an option is malformed.
        PluginNotFoundError: If a member is not installed.
        PluginBrokenError: If a member cannot be made: who is named is wanted.
    """

    Options = EnsembleOptions
    # What the members take is known once they are; until then others are asked first.
    capabilities = Capabilities(prompts=frozenset({"text", "vocabulary"}), cost=math.inf)

    def __init__(
        self, options: EnsembleOptions, *, device: str = "cpu", dtype: torch.dtype | None = None
    ) -> None:
        given = _members_options(options.options, options.detectors)
        members = []
        for name in options.detectors:
            plugin = prepare("detectors", name.partition("@")[0], given.get(name, {}))
            make = partial(_make, plugin, options, device=device, dtype=dtype)
            members.append(Expert(name, make))
            members[-1].load()
        self._ensemble = Ensemble(
            members,
            merging=Merging(method=options.merge, iou=options.iou, containment=options.containment),
            weights=options.weights or None,
            deadline=options.deadline,
        )
        self.capabilities = self._ensemble.capabilities

    @property
    def vocabulary(self) -> tuple[str, ...] | None:
        """All words of the members; None if one takes any text."""
        return self._ensemble.vocabulary

    def detect(self, requests: Sequence[DetectRequest]) -> list[DetectResult]:
        """Answer each request, in order.

        Raises:
            DetectorError: If all members fail on a request.
        """
        return self._ensemble.detect(requests)


def _make(
    plugin: Prepared, options: EnsembleOptions, *, device: str, dtype: torch.dtype | None
) -> object:
    made = plugin.make(device=device, dtype=dtype)
    if not options.tile:
        return made
    return SlicedDetector(made, tile=options.tile, overlap=options.overlap)


def _members_options(path: Path | None, members: Sequence[str]) -> dict[str, dict[str, object]]:
    """The options of each member that the file names.

    Raises:
        InputError: If the file cannot be read, or names somebody who is no member.
    """
    document = {} if path is None else read_options(path, plugin=_WHO)
    options: dict[str, dict[str, object]] = {}
    for name, given in document.items():
        if name not in members:
            raise InputError(
                f"{_WHO}, option 'options': {name!r} is no member; the members: "
                f"{listing(members)}.{did_you_mean(name, members)}"
            )
        if not isinstance(given, dict):
            raise InputError(
                f"{_WHO}, option 'options': {name!r}: expected an object, option to value"
            )
        options[name] = given
    return options
