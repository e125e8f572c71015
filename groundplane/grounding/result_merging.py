"""One result of several about the same request: of several experts, or of several views."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from groundplane.core.detection import DetectResult, Outcome
from groundplane.core.errors import InputError, ShapeError
from groundplane.core.regions import Regions
from groundplane.grounding.box_fusion import fuse
from groundplane.grounding.merging import Overlap, merge_regions

__all__ = ["MergeMethod", "Merging", "join_notes", "merge_results"]

MergeMethod = Literal["nms", "containment", "fuse"]

# Longer notes help nobody, and are refused where results are checked.
_MAX_NOTE = 5000


@dataclass(frozen=True, slots=True, kw_only=True)
class Merging:
    """How regions of a phrase that overlap become one.

    Attributes:
        method: `nms` keeps the best of those that overlap; `containment` also drops what lies
            within a better one, or around it; `fuse` makes their weighted mean.
        iou: Intersection over union above which regions are one thing.
        containment: For its method: intersection over the smaller area above which they are.

    Raises:
        InputError: If a limit is not in [0, 1].
    """

    method: MergeMethod = "nms"
    iou: float = 0.5
    containment: float = 0.8

    def __post_init__(self) -> None:
        Overlap(iou=self.iou, containment=self.containment)

    @property
    def overlap(self) -> Overlap:
        """When two regions are one thing."""
        within = self.containment if self.method == "containment" else None
        return Overlap(iou=self.iou, containment=within)


def merge_results(
    results: Sequence[DetectResult],
    *,
    merging: Merging,
    names: Sequence[str],
    weights: Sequence[float] | None = None,
    thresholds: Sequence[float] | None = None,
) -> DetectResult:
    """Merge what several found for one request.

    A phrase is found if a region of it is left, `cannot` if nobody could look for it, else none.
    Regions compete within their phrase only, so that no phrase is lost to another one.

    Candidates are merged as regions are, and kept where everybody keeps them. Suppression drops
    a region only for a better one, so suppressing and then thresholding is thresholding and then
    suppressing, and `at` gives what merging at these thresholds gives. Fusion does not commute:
    what is fused is all that was scored, then the thresholds apply to the fused scores. Without
    thresholds each expert's own decide which regions are merged.

    Args:
        results: One an expert, about the same phrases and image.
        merging: How.
        names: What the experts are called; ids and notes begin with it.
        weights: How much each expert's scores count, above 0; the heaviest one's stay as they
            are, the others' are lowered in proportion. None: alike.
        thresholds: The least score of each phrase, as the request states them.

    Raises:
        InputError: If there is no result, two have one name, or a weight is not above 0.
        ShapeError: If they are about other phrases or images, or there is not one name and
            weight a result.

    Examples:
        >>> regions = Regions(
        ...     ids=("r",),
        ...     boxes=torch.tensor([[0.0, 0, 8, 8]]),
        ...     scores=torch.tensor([0.75]),
        ...     phrases=("cup",),
        ...     phrase_ids=torch.tensor([0]),
        ...     image_size=(20, 20),
        ... )
        >>> seen = DetectResult(regions=regions, outcomes=(Outcome.FOUND,))
        >>> nothing = Regions.empty(phrases=("cup",), image_size=(20, 20))
        >>> unseen = DetectResult(regions=nothing, outcomes=(Outcome.NONE,), note="dark")
        >>> both = merge_results([seen, unseen], merging=Merging(), names=("a", "b"))
        >>> both.regions.ids, both.outcomes[0].value, both.note
        (('a/r',), 'found', 'b: dark')
        >>> merge_results([unseen], merging=Merging(), names=("b",)).outcomes[0].value
        'none'
    """
    panel = _Panel.of(results, merging=merging, names=names, weights=weights)
    kept = [_candidates(result) for result in results]
    whole = [part for part in kept if part is not None]
    candidates = panel.merged(whole) if len(whole) == len(results) else None
    cannot = [not any(column) for column in zip(*panel.looked, strict=True)]
    plain = tuple(Outcome.CANNOT if blind else Outcome.NONE for blind in cannot)
    if thresholds is not None:
        base = panel.merged([r.regions for r in results]) if candidates is None else candidates
        looked = DetectResult(regions=base, outcomes=plain, candidates=base).at(thresholds)
        regions, outcomes = looked.regions, looked.outcomes
    else:
        regions = panel.merged([result.regions for result in results])
        found = set(regions.phrase_ids.tolist())
        outcomes = tuple(Outcome.FOUND if i in found else each for i, each in enumerate(plain))
    return DetectResult(
        regions=regions,
        outcomes=outcomes,
        note=panel.note(regions),
        candidates=candidates,
        presence=_presence(results),
        uncounted=tuple(sorted({i for result in results for i in result.uncounted})),
        steps=tuple(step for result in results for step in result.steps),
    )


def join_notes(notes: Iterable[str]) -> str:
    """Notes as one, each said once; cut where there is no end of them.

    Examples:
        >>> join_notes(["dark", "", "far", "dark"])
        'dark; far'
        >>> join_notes([])
        ''
    """
    text = "; ".join(dict.fromkeys(note for note in notes if note))
    return text if len(text) <= _MAX_NOTE else f"{text[:_MAX_NOTE]} ..."


def _candidates(result: DetectResult) -> Regions | None:
    """What an expert scored; nothing where it could not look at all."""
    if result.candidates is None and set(result.outcomes) <= {Outcome.CANNOT}:
        return result.regions
    return result.candidates


def _presence(results: Sequence[DetectResult]) -> tuple[float, ...] | None:
    """The highest that anyone says of each phrase."""
    told = [result.presence for result in results if result.presence is not None]
    return tuple(max(column) for column in zip(*told, strict=True)) if told else None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Panel:
    """Experts that looked at one image; `looked` says of each for which phrases it could."""

    results: tuple[DetectResult, ...]
    merging: Merging
    names: tuple[str, ...]
    weights: tuple[float, ...]
    looked: tuple[tuple[bool, ...], ...]

    @classmethod
    def of(
        cls,
        results: Sequence[DetectResult],
        *,
        merging: Merging,
        names: Sequence[str],
        weights: Sequence[float] | None,
    ) -> _Panel:
        if not results:
            raise InputError("merging: expected one result or more, got none")
        weights = (1.0,) * len(results) if weights is None else weights
        if len(names) != len(results) or len(weights) != len(results):
            raise ShapeError(
                f"merging: {len(results)} results but {len(names)} names and {len(weights)} weights"
            )
        if len(set(names)) != len(names):
            raise InputError(f"merging: expected names that differ, got {tuple(names)}")
        if not all(0 < weight < float("inf") for weight in weights):
            raise InputError(f"merging: expected weights above 0, got {tuple(weights)}")
        first = results[0].regions
        for other in (result.regions for result in results):
            if (other.phrases, other.image_size) != (first.phrases, first.image_size):
                raise ShapeError(
                    f"merging: expected results about one request, got phrases {first.phrases} "
                    f"in {first.image_size} and {other.phrases} in {other.image_size}"
                )
        heaviest = max(weights)
        return cls(
            results=tuple(results),
            merging=merging,
            names=tuple(names),
            weights=tuple(weight / heaviest for weight in weights),
            looked=tuple(
                tuple(outcome is not Outcome.CANNOT for outcome in result.outcomes)
                for result in results
            ),
        )

    def merged(self, parts: Sequence[Regions]) -> Regions:
        """The experts' regions as one, best first."""
        stacked = self._stacked(parts)
        if self.merging.method == "fuse":
            return self._fused(stacked)
        return merge_regions(stacked, overlap=self.merging.overlap).regions

    def note(self, regions: Regions) -> str:
        """What the experts say, each after its name."""
        said = [
            f"{name}: {r.note}" for name, r in zip(self.names, self.results, strict=True) if r.note
        ]
        with_masks = [r.regions.masks is not None for r in self.results if len(r.regions)]
        if regions.masks is None and any(with_masks):
            fused = self.merging.method == "fuse"
            why = "regions are means of boxes" if fused else "not every expert gave them"
            said.append(f"no masks: {why}")
        return join_notes(said)

    def _stacked(self, parts: Sequence[Regions]) -> Regions:
        """All regions below each other, scores weighted."""
        first = parts[0]
        device = first.boxes.device
        rows = list(zip(self.names, self.weights, parts, strict=True))
        masked = all(part.masks is not None for part in parts if len(part))
        masks = tuple(mask for part in parts for mask in part.masks or ()) if masked else None
        ids = [f"{name}/{i}" for name, _, part in rows for i in part.ids]
        return Regions(
            ids=tuple(ids),
            boxes=torch.cat([part.boxes.to(device, torch.float32) for part in parts]),
            scores=torch.cat([p.scores.to(device, torch.float32) * w for _, w, p in rows]),
            phrases=first.phrases,
            phrase_ids=torch.cat([part.phrase_ids.to(device).long() for part in parts]),
            image_size=first.image_size,
            masks=masks or None,
            sources=tuple(
                source for name, _, part in rows for source in part.sources or (name,) * len(part)
            ),
        )

    def _fused(self, stacked: Regions) -> Regions:
        """Means, phrases that the same experts looked for together: the others do not vote."""
        voters: dict[tuple[bool, ...], list[int]] = {(True,) * len(self.names): [-1]}
        for phrase, column in enumerate(zip(*self.looked, strict=True)):
            voters.setdefault(column, []).append(phrase)
        made = []
        for column, phrases in voters.items():
            mine = torch.isin(
                stacked.phrase_ids, torch.tensor(phrases, device=stacked.phrase_ids.device)
            )
            weights = [w for w, votes in zip(self.weights, column, strict=True) if votes]
            if weights:
                made.append(_means(stacked.select(mine), iou=self.merging.iou, weights=weights))
        boxes, scores = (
            torch.cat([getattr(part, name) for part in made]) for name in ("boxes", "scores")
        )
        whole = Regions(
            ids=tuple(i for part in made for i in part.ids),
            boxes=boxes,
            scores=scores,
            phrases=stacked.phrases,
            phrase_ids=torch.cat([part.phrase_ids for part in made]),
            image_size=stacked.image_size,
            sources=tuple(source for part in made for source in part.sources),
        )
        return whole.select(torch.argsort(scores, descending=True, stable=True))


def _means(regions: Regions, *, iou: float, weights: Sequence[float]) -> Regions:
    """Fused regions; each has the id of its best member and the sources of all."""
    fused = fuse(regions.boxes, regions.scores, groups=regions.phrase_ids, iou=iou, weights=weights)
    best: dict[int, int] = {}
    sources: dict[int, dict[str, None]] = {}
    scores = regions.scores.tolist()
    for row, cluster in enumerate(fused.members.tolist()):
        if cluster not in best or scores[row] > scores[best[cluster]]:
            best[cluster] = row
        sources.setdefault(cluster, {})[regions.sources[row]] = None
    order = [best[cluster] for cluster in range(len(best))]
    return Regions(
        ids=tuple(regions.ids[row] for row in order),
        boxes=fused.boxes,
        scores=fused.scores,
        phrases=regions.phrases,
        phrase_ids=regions.phrase_ids[
            torch.tensor(order, dtype=torch.long, device=regions.boxes.device)
        ],
        image_size=regions.image_size,
        sources=tuple("+".join(sources[cluster]) for cluster in range(len(best))),
    )
