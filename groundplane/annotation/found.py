"""What experts found, as records keep it: rounded, in an order of its own, candidates too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64

from groundplane.core.annotation import (
    AnnotatedRegions,
    Attribute,
    ClassTable,
    rounded_boxes,
    rounded_scores,
)
from groundplane.core.detection import DetectResult, Outcome
from groundplane.core.masks import RleMask, area
from groundplane.core.regions import Regions

__all__ = ["Answered", "Rows", "outcomes_of", "rows_of"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answered:
    """An expert's answer about some of the prompts of a picture.

    Attributes:
        result: The answer, which was checked.
        prompts: Of each of its phrases the index of the prompt.
        least: Of each of its phrases the score from which on a region is kept; None where the
            expert itself decided.
    """

    result: DetectResult
    prompts: tuple[int, ...]
    least: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rows:
    """The regions of a picture in their final order, on the host.

    Attributes:
        boxes, scores, prompt_ids, kept, sources: As in `AnnotatedRegions`.
        masks: One a region, None for a region without.
    """

    boxes: Float64[np.ndarray, "n 4"]
    scores: Float64[np.ndarray, " n"]
    prompt_ids: Int64[np.ndarray, " n"]
    kept: Bool[np.ndarray, " n"]
    masks: tuple[RleMask | None, ...]
    sources: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.scores)

    def bare(self) -> list[int]:
        """Which regions have no mask."""
        return [row for row, mask in enumerate(self.masks) if mask is None]

    def with_masks(self, rows: Sequence[int], masks: Sequence[RleMask]) -> Rows:
        """The same with masks for some of them."""
        new = list(self.masks)
        for row, mask in zip(rows, masks, strict=True):
            new[row] = mask
        return replace(self, masks=tuple(new))

    def check_masks(self) -> None:
        """Read the runs of all masks, which nobody did yet.

        Raises:
            InputError, ShapeError: If runs are malformed.
        """
        for mask in self.masks:
            if mask is not None:
                area(mask)

    def regions(
        self, classes: ClassTable, *, attributes: tuple[Mapping[str, Attribute], ...] = ()
    ) -> AnnotatedRegions:
        """As a record holds them, called `r0`, `r1` and so on."""
        table = np.array([*(prompt.class_id for prompt in classes.prompts), -1], dtype=np.int64)
        masked = any(mask is not None for mask in self.masks)
        return AnnotatedRegions(
            ids=tuple(f"r{row}" for row in range(len(self))),
            boxes=self.boxes,
            scores=self.scores,
            prompt_ids=self.prompt_ids,
            class_ids=table[self.prompt_ids],
            kept=self.kept,
            masks=self.masks if masked else None,
            attributes=attributes,
            sources=self.sources if any(self.sources) else (),
        )


def rows_of(
    answers: Sequence[Answered], *, size: tuple[int, int], floor: float, source: str = ""
) -> Rows:
    """All that answers hold: their regions, and their candidates down to a floor.

    Everything is rounded first, and sorted by what was rounded: by score, the highest first, then
    by box and prompt. So neither the expert's order nor the last bits of its numbers, which
    depend on the pictures beside this one, show.

    Args:
        answers: What was found, no prompt in two of them.
        size: Width and height of the picture, pixels.
        floor: A candidate below this score is left out.
        source: Who found what comes without a name.

    Raises:
        InputError, ShapeError: If a mask's runs are malformed.

    Examples:
        >>> regions = Regions.empty(phrases=("cup",), image_size=(4, 4))
        >>> nothing = DetectResult(regions=regions, outcomes=(Outcome.NONE,))
        >>> len(rows_of([Answered(result=nothing, prompts=(0,))], size=(4, 4), floor=0.1))
        0
        >>> len(rows_of([], size=(4, 4), floor=0.1))
        0
    """
    parts = [part for one in answers for part in _parts(one, size=size, floor=floor)]
    whole = Rows(
        boxes=np.concatenate([np.zeros((0, 4)), *(part.boxes for part in parts)]),
        scores=np.concatenate([np.zeros(0), *(part.scores for part in parts)]),
        prompt_ids=np.concatenate([_none(), *(part.prompt_ids for part in parts)]),
        kept=np.concatenate([np.zeros(0, dtype=np.bool_), *(part.kept for part in parts)]),
        masks=tuple(mask for part in parts for mask in part.masks),
        sources=tuple(name or source for part in parts for name in part.sources),
    )
    whole.check_masks()
    return _picked(whole, _order(whole))


def outcomes_of(answers: Sequence[Answered], rows: Rows, *, prompts: int) -> tuple[str, ...]:
    """How each of so many prompts ended: `cannot`, or whether a kept region answers it."""
    ended = [Outcome.CANNOT.value] * prompts
    found = set(rows.prompt_ids[rows.kept].tolist())
    for one in answers:
        for prompt, outcome in zip(one.prompts, one.result.outcomes, strict=True):
            if outcome is not Outcome.CANNOT:
                ended[prompt] = (Outcome.FOUND if prompt in found else Outcome.NONE).value
    return tuple(ended)


def _parts(one: Answered, *, size: tuple[int, int], floor: float) -> list[Rows]:
    """An answer's regions, and those of its candidates that are none of them."""
    given = _rows(one.result.regions, one.prompts, size=size)
    if one.least is not None:
        least = np.array([*one.least, 0.0])[given.phrases]
        given.rows.kept[:] = given.rows.scores >= least
    wanted = given.rows.kept | (given.rows.scores >= floor)
    parts = [_picked(given.rows, np.flatnonzero(wanted))]
    if one.result.candidates is None:
        return parts
    low = _rows(one.result.candidates, one.prompts, size=size).rows
    low.kept[:] = False
    known = set(_values(given.rows))
    fresh = [
        row
        for row, (value, score) in enumerate(zip(_values(low), low.scores.tolist(), strict=True))
        if score >= floor and value not in known
    ]
    return [*parts, _picked(low, np.array(fresh, dtype=np.int64))]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Given:
    """Regions as rows, and which of the answer's phrases each answers."""

    rows: Rows
    phrases: Int64[np.ndarray, " n"]


def _rows(regions: Regions, prompts: tuple[int, ...], *, size: tuple[int, int]) -> _Given:
    n, (width, height) = len(regions), size
    columns = [regions.boxes, regions.scores[:, None], regions.phrase_ids[:, None]]
    # One copy to the host for all; what a number of a phrase is fits in a float64 exactly.
    table = torch.cat([column.double() for column in columns], dim=1).cpu().numpy()
    phrases = table[:, 5].astype(np.int64)
    edges = np.array([width, height, width, height], dtype=np.float64)
    rows = Rows(
        boxes=rounded_boxes(table[:, :4]).clip(0.0, edges),
        scores=rounded_scores(table[:, 4]),
        prompt_ids=np.array([*prompts, -1], dtype=np.int64)[phrases],
        kept=np.ones(n, dtype=np.bool_),
        masks=(None,) * n if regions.masks is None else regions.masks,
        sources=regions.sources or ("",) * n,
    )
    return _Given(rows=rows, phrases=phrases)


def _values(rows: Rows) -> list[tuple[float, ...]]:
    """Box, score and prompt of each region, by which one is known again."""
    table = np.column_stack([rows.boxes, rows.scores, rows.prompt_ids])
    return [tuple(row) for row in table.tolist()]


def _order(rows: Rows) -> Int64[np.ndarray, " n"]:
    sources = np.unique(np.array(rows.sources, dtype=np.str_), return_inverse=True)[1]
    runs = np.array([b"" if mask is None else mask.counts for mask in rows.masks], dtype=object)
    ranks = {text: rank for rank, text in enumerate(sorted(set(runs.tolist())))}
    masks = np.array([ranks[text] for text in runs], dtype=np.int64)
    left, top, right, bottom = rows.boxes.T
    keys = (masks, sources, ~rows.kept, rows.prompt_ids, bottom, right, top, left, -rows.scores)
    return np.lexsort(keys)


def _picked(rows: Rows, index: Int64[np.ndarray, " m"]) -> Rows:
    chosen: list[int] = index.tolist()
    return Rows(
        boxes=rows.boxes[index],
        scores=rows.scores[index],
        prompt_ids=rows.prompt_ids[index],
        kept=rows.kept[index],
        masks=tuple(rows.masks[row] for row in chosen),
        sources=tuple(rows.sources[row] for row in chosen),
    )


def _none() -> Int64[np.ndarray, " 0"]:
    return np.zeros(0, dtype=np.int64)
