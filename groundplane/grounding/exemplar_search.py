"""Where in a picture is something like this? Windows of cells compared with exemplars."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from groundplane.core.boxes import area, clip
from groundplane.core.capabilities import Capabilities, PromptKind
from groundplane.core.detection import DetectRequest, DetectResult
from groundplane.core.errors import InputError
from groundplane.core.features import Encoder, FeatureGrid
from groundplane.grounding.candidates import Scored, result_of, to_device
from groundplane.grounding.region_features import region_features
from groundplane.grounding.region_verifier import Exemplars, nearest
from groundplane.grounding.vocabulary import look_up

__all__ = ["ExemplarDetector", "Windows", "find_like"]

# A thing may stand nearer or farther than the exemplar.
_SCALES = (0.7, 1.0, 1.4)
# What a window's score loses where it is twice or half as large a side as every exemplar: a part
# of a thing is often as alike as the whole.
_SIZE_LOSS = 0.05

# What a phrase is looked for by: a known word, or a box in the picture.
_Look = str | tuple[float, float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Windows:
    """Windows of cells of a picture and how alike they are to exemplars, best first.

    Attributes:
        boxes: `xyxy`, pixels of the picture.
        alike: Greatest cosine to a positive exemplar.
        other: Greatest cosine to a negative one; -1 where there is none.
        off: By how many doublings of a side the window's size is off the nearest exemplar's.
    """

    boxes: Float[Tensor, "k 4"]
    alike: Float[Tensor, " k"]
    other: Float[Tensor, " k"]
    off: Float[Tensor, " k"]


def find_like(
    grid: FeatureGrid, exemplars: Exemplars, *, picture: int = 0, scales: Sequence[float] = _SCALES
) -> Windows:
    """Compare every window of about the size of an exemplar with all exemplars.

    A window is a rectangle of whole cells; its features are the mean of theirs, as those of a box
    in `region_features`. Sums over all windows of a size come from one table of running sums, so
    the cost does not grow with their size. Windows beside the picture, in padding, are left out.

    Args:
        grid: Of the encoder of the exemplars.
        exemplars: What to look for.
        picture: Index into the grid's batch.
        scales: Sizes of the windows as multiples of the exemplars' own.

    Returns:
        All windows, overlapping ones too: `groundplane.grounding.merging.suppress` thins them.

    Raises:
        InputError: If the exemplars are of another encoder, or a scale is not above 0.
    """
    if exemplars.encoder != grid.encoder or exemplars.positive.shape[1] != grid.width:
        raise InputError(
            f"exemplar search: the exemplars are of {exemplars.encoder!r}, the picture was encoded "
            f"by {grid.encoder!r}. Try: learn them anew"
        )
    if not scales or not all(0 < scale < float("inf") for scale in scales):
        raise InputError(f"exemplar search: expected scales above 0, got {tuple(scales)}")
    sums = _running_sums(grid.tokens[picture].double().reshape(*grid.grid, grid.width))
    places, alike, other = [], [], []
    for size in _sizes(exemplars, grid.grid, scales):
        vectors, where = _windows(sums, size)
        places.append(where)
        alike.append(nearest(vectors, exemplars.positive))
        other.append(nearest(vectors, exemplars.negative))
    where = torch.cat(places)
    columns = torch.stack([torch.cat(alike), torch.cat(other), _off(where, exemplars, grid.grid)])
    return _sorted(grid, picture, where, columns)


def _sizes(
    exemplars: Exemplars, grid: tuple[int, int], scales: Sequence[float]
) -> list[tuple[int, int]]:
    """Rows and columns of the windows, each size once."""
    rows, columns = grid
    shares: list[list[float]] = exemplars.sizes.tolist()
    return sorted(
        {
            (
                min(rows, max(1, round(high * rows * scale))),
                min(columns, max(1, round(wide * columns * scale))),
            )
            for wide, high in shares
            for scale in scales
        }
    )


def _running_sums(cells: Float[Tensor, "r c d"]) -> Float[Tensor, "r1 c1 d"]:
    """Of each cell the sum of all above and to the left of it."""
    return functional.pad(cells, (0, 0, 1, 0, 1, 0)).cumsum(0).cumsum(1)


def _windows(
    sums: Float[Tensor, "r c d"], size: tuple[int, int]
) -> tuple[Float[Tensor, "k d"], Int[Tensor, "k 4"]]:
    """Features of length 1 of all windows of a size, and their left, top, right, bottom cells."""
    high, wide = size
    whole = sums[high:, wide:] - sums[:-high, wide:] - sums[high:, :-wide] + sums[:-high, :-wide]
    rows, columns = whole.shape[:2]
    top, left = torch.meshgrid(
        torch.arange(rows, device=sums.device), torch.arange(columns, device=sums.device),
        indexing="ij",
    )  # fmt: skip
    where = torch.stack([left, top, left + wide, top + high], dim=-1).flatten(0, 1)
    return functional.normalize(whole.flatten(0, 1), dim=1).float(), where


def _off(
    cells: Int[Tensor, "k 4"], exemplars: Exemplars, grid: tuple[int, int]
) -> Float[Tensor, " k"]:
    size = (cells[:, 2:] - cells[:, :2]).float()
    shares = exemplars.sizes.to(size.device)
    own = shares.new_tensor([grid[1], grid[0]]) * shares
    doublings = (size.prod(1)[:, None] / own.prod(1).clamp(min=1e-12)).log2().abs() / 2
    return doublings.amin(1)


def _sorted(
    grid: FeatureGrid, picture: int, cells: Int[Tensor, "k 4"], columns: Float[Tensor, "3 k"]
) -> Windows:
    """The windows that show the picture, the most alike first."""
    frame, (rows, across) = grid.frames[picture], grid.grid
    width, height = frame.canvas
    size = np.array([width / across, height / rows] * 2)
    boxes = torch.from_numpy(frame.to_image(cells.cpu().numpy() * size))
    inside = clip(boxes, frame.image_size)
    shown = torch.nonzero(area(inside) >= 0.5 * area(boxes)).flatten().to(columns.device)
    shown = shown[columns[0, shown].argsort(descending=True, stable=True)]
    return Windows(
        boxes=inside.to(columns.device, torch.float32)[shown],
        alike=columns[0, shown],
        other=columns[1, shown],
        off=columns[2, shown],
    )


class ExemplarDetector:
    """Finds what is like the exemplars of a phrase, by an encoder's features alone.

    Satisfies `Detector` for phrases that have an exemplar in the request, and for those of which
    exemplars are known beforehand; of all others it knows nothing. A window's score is its
    likeness, 0 where a cosine is below 0, less a little where its size is another than the
    exemplar's; a window that is nearer to a negative exemplar is none. The exemplar's own box is
    among what is found.

    Args:
        encoder: What sees.
        known: Exemplars of phrases, learnt with the same encoder.
        threshold: Least score where a request states none of its own.
        overlap: Boxes with a larger intersection over union are one thing.
        name: The expert's name; ids are made of it.

    Raises:
        InputError: If a number is not in [0, 1].
    """

    def __init__(
        self, encoder: Encoder, *, known: Mapping[str, Exemplars] | None = None,
        threshold: float = 0.7, overlap: float = 0.3, name: str = "exemplar",
    ) -> None:  # fmt: skip
        if not (0 <= threshold <= 1 and 0 <= overlap <= 1):
            raise InputError(
                f"exemplar detector: expected threshold and overlap from 0 to 1, got {threshold} "
                f"and {overlap}"
            )
        self._encoder, self._known = encoder, dict(known or {})
        self._threshold, self._overlap, self._name = threshold, overlap, name
        kinds: tuple[PromptKind, ...] = ("exemplar", "vocabulary") if self._known else ("exemplar",)
        # What a look costs is the encoder's, which does not say.
        self.capabilities = Capabilities(prompts=frozenset(kinds), cost=math.inf)

    @property
    def vocabulary(self) -> tuple[str, ...] | None:
        """The phrases of which exemplars are known."""
        return tuple(self._known)

    def detect(self, requests: Sequence[DetectRequest]) -> list[DetectResult]:
        """Answer each request, in order; the pictures are encoded in one call."""
        sought = [self._sought(request) for request in requests]
        asked = [i for i, looks in enumerate(sought) if any(looks)]
        grid = self._encoder.encode([requests[i].image for i in asked]) if asked else None
        place = {i: picture for picture, i in enumerate(asked)}
        return [
            self._answer(request, sought[i], grid, place.get(i, -1))
            for i, request in enumerate(requests)
        ]

    def _sought(self, request: DetectRequest) -> list[tuple[_Look, ...]]:
        """For each phrase the boxes, or the known words, that it is looked for by."""
        boxes = request.exemplars or (None,) * len(request.phrases)
        return [
            (box,) if box is not None else look_up(phrase, self.vocabulary or ())[0]
            for phrase, box in zip(request.phrases, boxes, strict=True)
        ]

    def _answer(
        self,
        request: DetectRequest,
        sought: Sequence[tuple[_Look, ...]],
        grid: FeatureGrid | None,
        picture: int,
    ) -> DetectResult:
        """Look for each phrase that has an exemplar."""
        cannot: dict[int, str] = {}
        found: list[tuple[int, Windows]] = []
        for index, looks in enumerate(sought):
            if not looks or grid is None:
                cannot[index] = self._why_not(request.phrases[index])
                continue
            try:
                found += [
                    (index, find_like(grid, self._shown(look, grid, picture), picture=picture))
                    for look in looks
                ]
            except InputError as error:
                cannot[index] = f"{self._name}: {error}"
        result = result_of(
            request,
            _scored(found, cannot),
            source=self._name,
            thresholds=request.thresholds or (self._threshold,) * len(request.phrases),
            iou=self._overlap,
        )
        return result if grid is None else to_device(result, grid.tokens.device)

    def _shown(self, look: _Look, grid: FeatureGrid, picture: int) -> Exemplars:
        """The exemplars of a known word, or the one in a box of the picture itself."""
        if isinstance(look, str):
            return self._known[look]
        found = region_features(grid, torch.tensor([look]).float(), picture=picture)
        return Exemplars.of([found], encoder=grid.encoder)

    def _why_not(self, phrase: str) -> str:
        if self._known:
            return look_up(phrase, tuple(self._known))[1]
        return f"{self._name} looks for what an exemplar shows, not for words"


def _scored(found: Sequence[tuple[int, Windows]], cannot: dict[int, str]) -> Scored:
    """All windows of all phrases that no negative exemplar is nearer to, on the host."""
    boxes, scores, owners = [torch.zeros(0, 4)], [torch.zeros(0)], [torch.zeros(0).long()]
    for index, windows in found:
        mine = windows.other <= windows.alike
        score = (windows.alike - _SIZE_LOSS * windows.off).clamp(0, 1)[mine]
        boxes.append(windows.boxes[mine].cpu())
        scores.append(score.cpu())
        owners.append(torch.full((len(scores[-1]),), index))
    return Scored(
        boxes=torch.cat(boxes), scores=torch.cat(scores), phrase_ids=torch.cat(owners),
        cannot=cannot,
    )  # fmt: skip
