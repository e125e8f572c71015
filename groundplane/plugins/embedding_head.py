"""Things that a language model names by a hidden state, found by queries over the picture.

LLaVA-Grounding's way: behind a phrase the model writes `<seg>`, whose state is compared with what
a grounding head saw. The softmax runs over the queries: they share one state among them, so none
of them above the threshold means that the phrase is to be dropped, and several above it are
several things.

Source: Zhang et al., LLaVA-Grounding, 2023, and its evaluator (threshold 0.2, an all-zero box for
a phrase that is dropped, the best query where there is no threshold).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from groundplane.core.boxes import from_cxcywh
from groundplane.core.capabilities import Capabilities
from groundplane.core.checkpoints import check_folder, read_settings
from groundplane.core.detection import DetectRequest, DetectResult
from groundplane.core.errors import InputError, WeightsError, listing
from groundplane.core.feature_cache import image_key, shared_cache
from groundplane.core.feature_packing import pack_fields
from groundplane.core.image import Image
from groundplane.core.mask_tensors import encode_logits
from groundplane.core.masks import RleMask
from groundplane.core.pixels import PixelRule, prepare_pixels
from groundplane.core.weights import (
    default_dtype,
    find_weights,
    load_strict,
    read_state,
    weights_key,
)
from groundplane.grounding.batching import in_halves
from groundplane.grounding.candidates import Scored, result_of, to_device
from groundplane.grounding.embedding_network import EmbeddingNetwork, HeadShape, Looked

__all__ = ["EmbeddingHeadDetector", "EmbeddingHeadOptions"]

_NAME = "embedding-head"
_WHO = f"detector {_NAME!r}"
_WORDS = "this expert takes a hidden state of a language model, no words"


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingHeadOptions:
    """Options of `EmbeddingHeadDetector`.

    Attributes:
        weights: A folder with `config.json` and `model.safetensors`, or a hub id.
        revision: Commit of the hub id, 40 hexadecimal digits.
        offline: Whether to take fetched weights only.
        threshold: Least share of a state that a query must have where a request states none of
            its own; none: the best query alone.
        floor: Least share of a candidate.
        masks: Whether regions carry masks.
        batch: Pictures that are looked at at a time.

    Raises:
        InputError: If a value is out of range.
    """

    weights: str
    revision: str = ""
    offline: bool = False
    threshold: float | None = 0.2
    floor: float = 0.05
    masks: bool = True
    batch: int = 4

    def __post_init__(self) -> None:
        for name in ("threshold", "floor"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise InputError(f"{_WHO}: option {name}: expected 0 to 1, got {value}")
        if not 1 <= self.batch <= 1024:
            raise InputError(f"{_WHO}: option batch: expected 1 to 1024, got {self.batch}")


class EmbeddingHeadDetector:
    """Finds what the hidden state of a language model means.

    A phrase without a state, or with one of another width, ends in `cannot`; a state of which no
    query has enough in `none`. The score is the query's share of the state, in [0, 1]; all shares
    of a state sum to 1, so a score says nothing of whether the thing is there at all. A box
    without area, such as an all-zero one, is no region. Safe to use from several threads.

    Args:
        options: See `EmbeddingHeadOptions`.
        device: Where the network runs and the regions' tensors are put.
        dtype: Number type of the network; None: float32 on a CPU, bfloat16 on CUDA.

    Raises:
        WeightsError: If the weights are not there, are not those of such a head, or do not fit.
    """

    Options = EmbeddingHeadOptions
    # Of the default shape (300 queries, 9 layers) at 1024 pixels, counted.
    capabilities = Capabilities(prompts=frozenset({"embedding"}), masks=True, cost=130.0)

    def __init__(
        self,
        options: EmbeddingHeadOptions,
        *,
        device: str = "cpu",
        dtype: torch.dtype | None = None,
    ) -> None:
        folder = find_weights(
            options.weights, revision=options.revision, offline=options.offline, who=_WHO
        )
        check_folder(folder, who=_WHO)
        shape = _shape(folder)
        self._options = options
        self._device = torch.device(device)
        self._dtype = default_dtype(device, dtype)
        network: Any = load_strict(
            EmbeddingNetwork(shape),
            read_state(folder, who=_WHO),
            who=_WHO,
            device=device,
            dtype=self._dtype,
        )
        self._network: EmbeddingNetwork = network
        self._rule = PixelRule(fit="longest", size=shape.canvas, square=True)
        self._key = (_NAME, weights_key(folder), str(self._device), str(self._dtype))
        self.capabilities = Capabilities(
            prompts=frozenset({"embedding"}),
            masks=options.masks,
            cost=type(self).capabilities.cost,
            embedding_width=shape.embedding_width,
        )

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """Empty: it knows no words."""
        return ()

    @torch.no_grad()
    def detect(self, requests: Sequence[DetectRequest]) -> list[DetectResult]:
        """Answer each request, in order."""
        asked = [_asked(request, self._network.shape.embedding_width) for request in requests]
        looking = [i for i, one in enumerate(asked) if one.states]
        looks = dict(zip(looking, self._look([requests[i].image for i in looking]), strict=True))
        return [
            self._answer(request, one, looks.get(i))
            for i, (request, one) in enumerate(zip(requests, asked, strict=True))
        ]

    def _look(self, images: Sequence[Image]) -> list[Looked]:
        """What the queries make of pictures, those that the shared cache does not hold."""
        keys = [(*self._key, image_key(image)) for image in images]
        step = self._options.batch

        def make(missing: Sequence[int]) -> list[Looked]:
            parts = (missing[i : i + step] for i in range(0, len(missing), step))
            look = partial(in_halves, self._looked, who=_WHO)
            return [one for part in parts for one in look([images[i] for i in part])]

        packing = pack_fields(Looked, self._device)
        return shared_cache().get_or_make_all(keys, make, packing=packing)

    @torch.no_grad()
    def _looked(self, images: Sequence[Image]) -> list[Looked]:
        batch = prepare_pixels(
            [image.pixels for image in images],
            self._rule,
            device=self._device,
            dtype=self._dtype,
        )
        return self._network.look(batch.values, batch.mask)

    def _answer(self, request: DetectRequest, asked: _Asked, look: Looked | None) -> DetectResult:
        least = _least(request, self._options.threshold)
        rows = _no_rows(self._device) if look is None else self._rows(asked, look, least)
        phrases = rows.states
        if look is not None:
            phrases = torch.tensor(list(asked.states), device=self._device)[rows.states]
        masks = None
        if self._options.masks:
            masks = () if look is None else self._masks(request.image, look, rows.queries)
        # One transfer for all: what follows runs on the host.
        table = torch.cat(
            [self._boxes(request.image, rows.boxes), rows.scores[:, None], phrases[:, None]], dim=1
        ).cpu()
        scored = Scored(
            boxes=table[:, :4],
            scores=table[:, 4],
            phrase_ids=table[:, 5].round().long(),
            masks=masks,
            cannot=asked.cannot,
        )
        bounds = [0.0 if value is None else value for value in least]
        result = result_of(request, scored, source=_NAME, thresholds=bounds)
        return to_device(result, self._device)

    def _rows(self, asked: _Asked, look: Looked, least: Sequence[float | None]) -> _Rows:
        states = torch.stack([state.to(self._device).float() for state in asked.states.values()])
        shares = self._network.logits(look, states).softmax(dim=0)
        best = shares == shares.amax(dim=0, keepdim=True)
        alone = [least[index] is None for index in asked.states]
        floor = [min(self._options.floor, least[index] or 0.0) for index in asked.states]
        keep = torch.where(
            torch.tensor(alone, device=self._device),
            best & (best.cumsum(dim=0) == 1),
            shares >= torch.tensor(floor, device=self._device),
        )
        # NaN is not above the floor: it must be seen, not passed over.
        queries, columns = torch.nonzero(keep | shares.isnan(), as_tuple=True)
        return _Rows(
            queries=queries,
            states=columns,
            scores=shares[queries, columns],
            boxes=look.boxes[queries],
        )

    def _boxes(self, image: Image, boxes: Float[Tensor, "k 4"]) -> Float[Tensor, "k 4"]:
        """From shares of the canvas to pixels of the image."""
        side = self._network.shape.canvas
        width, height = image.size
        wide, high = self._rule.content(image.size)
        scale = torch.tensor([width / wide, height / high] * 2, device=boxes.device)
        return from_cxcywh(boxes * side) * scale

    def _masks(self, image: Image, look: Looked, queries: Int[Tensor, " k"]) -> tuple[RleMask, ...]:
        side = self._network.shape.canvas
        wide, high = self._rule.content(image.size)

        def enlarge(part: Tensor, size: tuple[int, int]) -> Tensor:
            whole = _resized(part, (side, side))[:, :high, :wide]
            return _resized(whole, size)

        logits = self._network.mask_logits(look, queries)
        return encode_logits(logits, image.size, enlarge=enlarge).masks


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Asked:
    """Phrases of a request by index: the states of those that have one, and why others fail."""

    states: Mapping[int, Tensor]
    cannot: Mapping[int, str]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Rows:
    """Queries that have a part of a state."""

    queries: Int[Tensor, " k"]
    states: Int[Tensor, " k"]
    scores: Float[Tensor, " k"]
    boxes: Float[Tensor, "k 4"]


def _no_rows(device: torch.device) -> _Rows:
    none = torch.zeros(0, dtype=torch.long, device=device)
    return _Rows(
        queries=none,
        states=none,
        scores=torch.zeros(0, device=device),
        boxes=torch.zeros(0, 4, device=device),
    )


def _asked(request: DetectRequest, width: int) -> _Asked:
    states: dict[int, Tensor] = {}
    cannot: dict[int, str] = {}
    given = request.embeddings or (None,) * len(request.phrases)
    for index, state in enumerate(given):
        if state is None:
            cannot[index] = _WORDS
        elif len(state) != width:
            cannot[index] = f"this expert takes states of {width} numbers, not of {len(state)}"
        else:
            states[index] = state
    return _Asked(states=states, cannot=cannot)


def _least(request: DetectRequest, threshold: float | None) -> tuple[float | None, ...]:
    return request.thresholds or (threshold,) * len(request.phrases)


def _resized(planes: Float[Tensor, "k _ _"], size: tuple[int, int]) -> Float[Tensor, "k _ _"]:
    width, height = size
    return functional.interpolate(
        planes[None], size=(height, width), mode="bilinear", align_corners=False
    )[0]


def _shape(folder: Path) -> HeadShape:
    path = folder / "config.json"
    if not path.is_file():
        raise WeightsError(f"{_WHO}: {folder} has no config.json, which says what the head is")
    settings = read_settings(path, who=_WHO)
    kind = settings.pop("model_type", None)
    if kind != _NAME:
        raise WeightsError(f"{_WHO}: expected model_type {_NAME!r} in {path}, got {kind!r}")
    known = {field.name for field in fields(HeadShape)}
    strange = sorted(settings.keys() - known)
    if strange or "embedding_width" not in settings:
        raise WeightsError(
            f"{_WHO}: {path}: expected embedding_width and, if at all, others of "
            f"{listing(sorted(known))}; got {listing(strange or sorted(settings))}"
        )
    try:
        return HeadShape(**settings)
    except InputError as error:
        raise WeightsError(f"{_WHO}: {path}: {error}") from error
