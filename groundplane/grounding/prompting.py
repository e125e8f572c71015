"""Masks of things that are pointed out by boxes, points or embeddings: what all segmenters share.

A segmenter plugin brings a `MaskModel`: its network, and the canvas on which the network sees a
picture. Everything else is here, so that SAM, SAM 2 and SAM 3 answer alike: an image is encoded
once for all that is asked of it, a padding point has no effect at all, a prompt that points at
nothing gives an empty mask, and the pixels of masks stay on their device.

Source: Kirillov et al., Segment Anything, 2023, section 3 (prompts, ambiguity, quality).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import interpolate

from groundplane.core.boxes import area, clip
from groundplane.core.checkpoints import read_settings
from groundplane.core.errors import DetectorError, InputError, WeightsError
from groundplane.core.feature_cache import FeatureCache, image_key, shared_cache
from groundplane.core.feature_packing import pack_nested
from groundplane.core.image import Image
from groundplane.core.mask_tensors import EncodedMasks, encode_logits
from groundplane.core.masks import RleMask, from_counts
from groundplane.core.pixels import PixelRule, prepare_pixels
from groundplane.core.regions import Regions
from groundplane.core.segmentation import SegmentRequest

__all__ = [
    "Colours",
    "Guesses",
    "MaskModel",
    "Prompting",
    "Prompts",
    "StretchedModel",
    "enlarge",
    "pyramid_model",
    "stretched",
]

Features = TypeVar("Features")

Colours = tuple[tuple[float, float, float], tuple[float, float, float]]
Guesses = tuple[Float[Tensor, "k c h w"], Float[Tensor, "k c"]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prompts:
    """k prompts in canvas pixels, on the network's device; each has the same number of points.

    Attributes:
        boxes: `xyxy`, or None.
        points: m real points each, x and y, or None.
        labels: 1 (on the thing) or 0 (not on it), one a point; None without points.
        embeddings: As the request gave them, or None.
    """

    boxes: Float[Tensor, "k 4"] | None
    points: Float[Tensor, "k m 2"] | None
    labels: Int[Tensor, "k m"] | None
    embeddings: Float[Tensor, "k t d"] | None


@runtime_checkable
class MaskModel(Protocol[Features]):
    """A network that encodes an image once and then answers prompts about it."""

    @property
    def rule(self) -> PixelRule:
        """How a picture lies on its canvas: stretched over it (SAM 2, SAM 3), or with its shape
        kept, at the top left of a square (SAM)."""
        ...

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        ...

    @property
    def embedding_width(self) -> int | None:
        """Numbers in a prompt embedding; None if it takes none."""
        ...

    def encode(self, image: Image) -> Features:
        """What it needs of an image to answer prompts; kept, and never written to.

        Tensors, in tuples, lists and dictionaries named by texts, so that a disk can hold them.
        """
        ...

    def decode(self, features: Features, prompts: Prompts) -> Guesses:
        """Answer prompts.

        Returns:
            c guesses a prompt: the logits of the masks over the canvas, at low resolution, and
            how good the network thinks each is.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StretchedModel(Generic[Features]):
    """A `MaskModel` of two functions, for networks that see a picture stretched over a square.

    Attributes:
        rule: How pictures are brought to the square.
        device: Where the network runs.
        dtype: Of the work of the encoder; weights, prompts and masks stay in float32, for half
            precision would move a point by pixels.
        encoder: From pixels to what is kept of an image.
        decoder: Answers prompts; see `MaskModel.decode`.
    """

    rule: PixelRule
    device: torch.device
    dtype: torch.dtype
    encoder: Callable[[Float[Tensor, "1 3 h w"]], Features]
    decoder: Callable[[Features, Prompts], Guesses]

    @property
    def embedding_width(self) -> None:
        """None: it takes no embeddings."""
        return None

    def encode(self, image: Image) -> Features:
        """See `MaskModel.encode`."""
        pixels = prepare_pixels([image.pixels], self.rule, device=self.device).values
        with torch.autocast(
            self.device.type, dtype=self.dtype, enabled=self.dtype != torch.float32
        ):
            return self.encoder(pixels)

    def decode(self, features: Features, prompts: Prompts) -> Guesses:
        """See `MaskModel.decode`."""
        return self.decoder(features, prompts)


def stretched(folder: Path, *, size: int | Sequence[int], colours: Colours, who: str) -> PixelRule:
    """The rule of a checkpoint whose pictures are stretched over a square.

    Args:
        folder: Holds the checkpoint; what its processor states of colours is kept to.
        size: Side of the square that the network takes, pixels, or both sides.
        colours: Mean and deviation where nothing is stated, in shares of full brightness.
        who: Whose checkpoint it is, for messages.

    Raises:
        WeightsError: If colours are stated that are not three numbers, a deviation is not above
            0, or the canvas is no square.

    Examples:
        >>> grey = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
        >>> stretched(Path("/nowhere"), size=64, colours=grey, who="segmenter 'x'").canvas((9, 4))
        (64, 64)
    """
    stated: object = {}
    for name in ("processor_config.json", "preprocessor_config.json"):
        if (folder / name).is_file():
            settings = read_settings(folder / name, who=who)
            stated = settings.get("image_processor") or settings
            break
    sides = {size} if isinstance(size, int) else set(size)
    if len(sides) != 1:
        raise WeightsError(f"{who}: {folder}: expected pictures on a square, got {size}")
    given = stated if isinstance(stated, dict) else {}
    mean, std = (
        _colour(given.get(name, usual), name=name, where=f"{who}: {folder}")
        for name, usual in zip(("image_mean", "image_std"), colours, strict=True)
    )
    return PixelRule(fit="stretch", size=sides.pop(), mean=mean, std=std)


def _colour(stated: object, *, name: str, where: str) -> tuple[float, float, float]:
    values = list(stated) if isinstance(stated, Sequence) else []
    numbers = [v for v in values if isinstance(v, int | float) and math.isfinite(v)]
    if len(values) != 3 or len(numbers) != 3 or (name == "image_std" and min(numbers) <= 0):
        raise WeightsError(
            f"{where}: {name}: expected three numbers{' above 0' * (name == 'image_std')}, "
            f"got {stated!r}"
        )
    red, green, blue = numbers
    return red, green, blue


class Prompting(Generic[Features]):
    """Answers segment requests with a network's best guess for each thing.

    A thing that points at nothing in the image has an empty mask, an empty box and a score of 0:
    one whose box holds no part of the image; one without a box, of which no point that is on it
    lies in the image; and so one with nothing but points that are not on it. Points outside of
    the image are left out, as padding is. A box is cut at the image's edges.

    Args:
        model: The network.
        who: The segmenter's name.
        identity: Tells this network's encodings from others in the cache: its weights, device
            and number type.
        prompts_a_pass: Most prompts that the network is given at once.
        cache: Where encodings are kept; None: the cache of this process.
    """

    def __init__(
        self,
        model: MaskModel[Features],
        *,
        who: str,
        identity: Hashable,
        prompts_a_pass: int = 64,
        cache: FeatureCache | None = None,
    ) -> None:
        self._model = model
        self._who = who
        self._most = prompts_a_pass
        self._cache = cache or shared_cache()
        self._identity = identity

    def segment(self, requests: Sequence[SegmentRequest]) -> list[Regions]:
        """Answer each request, in order; see `Segmenter.segment`.

        Raises:
            DetectorError: If the network's numbers are not finite.
            InputError: If a request has embeddings that the network does not take.
        """
        for request in requests:
            self._check_embeddings(request)
        with torch.no_grad():
            return [self._answer(request) for request in requests]

    def _check_embeddings(self, request: SegmentRequest) -> None:
        if request.embeddings is None:
            return
        width, got = self._model.embedding_width, request.embeddings.shape[-1]
        if width is None:
            raise InputError(f"segmenter {self._who!r} takes boxes and points, no embeddings")
        if got != width:
            raise InputError(
                f"segmenter {self._who!r}: expected embeddings of {width} numbers, the width of "
                f"its prompts, got {got}"
            )

    def _answer(self, request: SegmentRequest) -> Regions:
        model, image = self._model, request.image
        asked = _Asked(request)
        columns = _Columns(len(request), size=image.size, device=model.device)
        if bool(asked.named.any()):
            key = (self._who, self._identity, image_key(image))
            features = self._cache.get_or_make(
                key, lambda: model.encode(image), packing=pack_nested(model.device)
            )
            for index in asked.alike(self._most):
                self._fill(columns, index, asked, features)
        return columns.regions(self._who)

    def _fill(
        self, columns: _Columns, index: Int[Tensor, " k"], asked: _Asked, features: Features
    ) -> None:
        """Answer some things that are alike; where the memory does not do, half at a time."""
        model = self._model
        try:
            prompts = asked.prompts(index, model=model)
            logits, quality = _best(*model.decode(features, prompts))
            grown = partial(enlarge, rule=model.rule)
            found = encode_logits(logits, asked.size, enlarge=grown)
        except torch.OutOfMemoryError:
            if len(index) == 1:
                raise
        else:
            columns.put(index, found, quality, asked.boxes)
            return
        # Out of the handler, which would keep the tensors of the failed pass alive.
        for half in torch.split(index, (len(index) + 1) // 2):
            self._fill(columns, half, asked, features)


def enlarge(
    logits: Float[Tensor, "k h w"], size: tuple[int, int], *, rule: PixelRule
) -> Float[Tensor, "k height width"]:
    """Bring what covers a canvas to the picture's own pixels.

    Args:
        logits: Over the whole canvas, padding included, at any resolution.
        size: Width and height of the picture, pixels.
        rule: How the picture lies on the canvas.

    Examples:
        >>> rule = PixelRule(fit="longest", size=8, square=True)
        >>> enlarge(torch.zeros(2, 4, 4), (6, 3), rule=rule).shape
        torch.Size([2, 3, 6])
        >>> enlarge(torch.zeros(0, 4, 4), (6, 3), rule=rule).shape
        torch.Size([0, 3, 6])
    """
    if rule.fit != "stretch":
        (width, height), (wide, high) = rule.content(size), rule.canvas(size)
        whole = interpolate(logits[:, None], (high, wide), mode="bilinear")
        logits = whole[:, 0, :height, :width]
    return interpolate(logits[:, None], (size[1], size[0]), mode="bilinear")[:, 0]


def _best(
    logits: Float[Tensor, "k c h w"], quality: Float[Tensor, "k c"]
) -> tuple[Float[Tensor, "k h w"], Float[Tensor, " k"]]:
    """The guess that the network thinks best, the first where several are."""
    best = quality.argmax(dim=1)
    rows = torch.arange(len(best), device=best.device)
    return logits[rows, best], quality[rows, best]


class _Asked:
    """What a request points at, looked through on the host."""

    def __init__(self, request: SegmentRequest) -> None:
        size = request.image.size
        self.size = size
        self._embeddings = request.embeddings
        self.boxes = None if request.boxes is None else clip(request.boxes.float().cpu(), size)
        self._points, self._labels = _real_points(request)
        if self.boxes is not None:
            self.named = area(self.boxes) > 0
        elif self._embeddings is not None:
            self.named = torch.ones(len(request), dtype=torch.bool)
        else:
            self.named = (self._labels == 1).any(dim=1)

    def alike(self, most: int) -> Iterator[Int[Tensor, " k"]]:
        """Indices of things that have the same number of points, so many at a time at most."""
        counts = (self._labels >= 0).sum(dim=1)
        for count in sorted(set(counts[self.named].tolist())):
            index = torch.nonzero(self.named & (counts == count)).flatten()
            yield from torch.split(index, most)

    def prompts(self, index: Int[Tensor, " k"], *, model: MaskModel[Features]) -> Prompts:
        """The prompts of some things that are alike, as the model takes them."""
        (width, height), (wide, high) = self.size, model.rule.content(self.size)
        factor = torch.tensor([wide / width, high / height])
        num_points = int((self._labels[index[0]] >= 0).sum())
        boxes = None if self.boxes is None else self.boxes[index] * factor.repeat(2)
        points = labels = None
        if num_points:
            points = (self._points[index, :num_points] * factor).to(model.device)
            labels = self._labels[index, :num_points].to(model.device)
        given = self._embeddings
        return Prompts(
            boxes=None if boxes is None else boxes.to(model.device),
            points=points,
            labels=labels,
            embeddings=None if given is None else given[index.to(given.device)].to(model.device),
        )


def _real_points(
    request: SegmentRequest,
) -> tuple[Float[Tensor, "n m 2"], Int[Tensor, "n m"]]:
    """Points and labels, those in the image first, the others labelled as padding."""
    if request.points is None:
        num = len(request)
        return torch.zeros(num, 0, 2), torch.zeros(num, 0, dtype=torch.long)
    points = request.points.float().cpu()
    given = request.point_labels
    labels = torch.ones(points.shape[:2]) if given is None else given.cpu()
    edge = torch.tensor(request.image.size)
    inside = ((points >= 0) & (points <= edge)).all(dim=2)
    labels = torch.where(inside, labels.long(), -1)
    order = torch.argsort((labels < 0).long(), dim=1, stable=True)
    return points.gather(1, order[..., None].expand(-1, -1, 2)), labels.gather(1, order)


class _Columns:
    """The regions of one image while they are filled in, in the request's order."""

    def __init__(self, num: int, *, size: tuple[int, int], device: torch.device) -> None:
        width, height = size
        self._size = size
        empty = from_counts([width * height], (height, width))
        self._masks: list[RleMask] = [empty] * num
        self._boxes = torch.zeros(num, 4, device=device)
        self._scores = torch.zeros(num, device=device)

    def put(
        self,
        index: Int[Tensor, " k"],
        found: EncodedMasks,
        quality: Float[Tensor, " k"],
        asked: Float[Tensor, "n 4"] | None,
    ) -> None:
        for place, mask in zip(index.tolist(), found.masks, strict=True):
            self._masks[place] = mask
        boxes = found.boxes
        if asked is not None:
            seen: Bool[Tensor, "k 1"] = found.areas[:, None] > 0
            boxes = torch.where(seen, boxes, asked[index].to(boxes.device))
        where = index.to(boxes.device)
        self._boxes[where] = boxes
        self._scores[where] = quality.float().clamp(0, 1)

    def regions(self, who: str) -> Regions:
        num = len(self._masks)
        if not bool(self._scores.isfinite().all()):
            raise DetectorError(
                f"segmenter {who!r} gave scores that are not finite; its weights or its number "
                "type do not fit"
            )
        return Regions(
            ids=tuple(f"{who}-{i}" for i in range(num)),
            boxes=self._boxes,
            scores=self._scores,
            phrases=(),
            phrase_ids=torch.full((num,), -1, device=self._boxes.device),
            image_size=self._size,
            masks=tuple(self._masks),
            sources=(who,) * num,
        )


def pyramid_model(
    network: Any, folder: Path, *, who: str, colours: Colours, dtype: torch.dtype, multimask: bool
) -> StretchedModel[tuple[Tensor, ...]]:
    """A network of the interface that SAM 2 and the tracker of SAM 3 share in transformers.

    Args:
        network: Gives feature maps of a picture at three resolutions, and masks for prompts.
        folder: Its checkpoint, which states how pictures are prepared.
        who: Whose network it is, for messages.
        colours: Mean and deviation where the checkpoint states none.
        dtype: Of the work of the image encoder.
        multimask: Let it guess three masks a thing.
    """

    def encoded(pixels: Tensor) -> tuple[Tensor, ...]:
        return tuple(level.float() for level in network.get_image_embeddings(pixels))

    def decoded(features: tuple[Tensor, ...], prompts: Prompts) -> Guesses:
        boxes, points, labels = (
            None if given is None else given[None]
            for given in (prompts.boxes, prompts.points, prompts.labels)
        )
        out = network(
            image_embeddings=list(features),
            input_boxes=boxes,
            input_points=points,
            input_labels=labels,
            multimask_output=multimask,
        )
        return out.pred_masks[0], out.iou_scores[0]

    side = network.config.prompt_encoder_config.image_size
    return StretchedModel(
        rule=stretched(folder, size=side, colours=colours, who=who),
        device=next(network.parameters()).device,
        dtype=dtype,
        encoder=encoded,
        decoder=decoded,
    )
