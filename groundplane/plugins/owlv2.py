"""OWLv2: any phrase, or a box around one such thing, through the class of transformers.

A picture is encoded once, whatever is asked of it: phrases and exemplars are compared with what
the cache of encodings keeps. Each phrase is judged by itself, so what is found for one does not
depend on what else was asked.

Sources: Minderer et al., Scaling Open-Vocabulary Object Detection, 2023; the choice of the
exemplar's embedding is that of OWL-ViT's authors (Minderer et al., Simple Open-Vocabulary Object
Detection with Vision Transformers, 2022, section 4.4 and their code).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor
from torch.nn.functional import pad

from groundplane.core.boxes import from_cxcywh, iou
from groundplane.core.capabilities import Capabilities
from groundplane.core.checkpoints import read_settings
from groundplane.core.detection import DetectRequest, DetectResult
from groundplane.core.errors import InputError
from groundplane.core.feature_cache import image_key, shared_cache
from groundplane.core.feature_packing import pack_fields, pack_tensor
from groundplane.core.image import Image
from groundplane.core.pixels import resize_pixels
from groundplane.core.weights import (
    default_dtype,
    find_weights,
    load_model,
    load_processor,
    need_library,
    weights_key,
)
from groundplane.grounding.candidates import Scored, result_of, to_device

__all__ = ["Owlv2Detector", "Owlv2Encoding", "Owlv2Options"]


_WHO = "detector 'owlv2'"
# Of CLIP, in shares of full brightness, red, green, blue; used where a checkpoint says nothing.
_MEAN = (0.48145466, 0.4578275, 0.40821073)
_STD = (0.26862954, 0.26130258, 0.27577711)
# A longer side is first brought to this, pixels: the padded square must fit into memory.
_LONGEST = 4096
# Phrases that are compared with a picture at a time.
_PHRASES = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Owlv2Options:
    """Options of `Owlv2Detector`.

    Attributes:
        weights: A folder with `config.json` and `model.safetensors`, or a hub id.
        revision: Commit of the hub id, 40 hexadecimal digits.
        offline: Whether to take fetched weights only.
        threshold: Least score where a request states none of its own.
        floor: Least score of a candidate.
        overlap: Boxes of a phrase with a larger intersection over union are one thing; 1: none.
        most: Most candidates a phrase.
        template: The sentence that a phrase is put in, at `{}`; the network was trained on
            captions.
        batch: Pictures that are encoded at a time.

    Raises:
        InputError: If a value is out of range.
    """

    weights: str
    revision: str = ""
    offline: bool = False
    threshold: float = 0.1
    floor: float = 0.02
    overlap: float = 0.5
    most: int = 100
    template: str = "a photo of a {}"
    batch: int = 8

    def __post_init__(self) -> None:
        limits = {"threshold": (0, 1), "floor": (0, 1), "overlap": (0, 1)}
        for name, (least, most) in (limits | {"most": (1, 10_000), "batch": (1, 1024)}).items():
            value = getattr(self, name)
            if not least <= value <= most:
                raise InputError(f"{_WHO}: option {name}: expected {least} to {most}, got {value}")
        if self.template.count("{}") != 1:
            raise InputError(
                f"{_WHO}: option template: expected a text with one '{{}}' for the phrase, got "
                f"{self.template!r}"
            )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Owlv2Encoding:
    """A picture as the network sees it; only to be given back to the detector that made it.

    Attributes:
        features: Of each patch.
        embeddings: Of each patch, as phrases are compared with.
        boxes: The box that each patch proposes, `xyxy`, in shares of the padded square.
    """

    features: Float[Tensor, "p d"]
    embeddings: Float[Tensor, "p e"]
    boxes: Float[Tensor, "p 4"]


class Owlv2Detector:
    """Finds any phrase, or whatever is like what an exemplar's box holds.

    The score is the network's own, in [0, 1], and is no probability; 0.1 to 0.3 are usual
    thresholds. Safe to use from several threads.

    Args:
        options: See `Owlv2Options`.
        device: Where the network runs and the regions' tensors are put.
        dtype: Number type of the network; None: float32 on a CPU, bfloat16 on CUDA.

    Raises:
        PluginBrokenError: If transformers is not installed.
        WeightsError: If the weights are not there, or are refused.
    """

    Options = Owlv2Options
    # OWLv2-B/16 at 960 pixels, counted.
    capabilities = Capabilities(
        prompts=frozenset({"text", "exemplar"}), cost=648.0, licence="Apache-2.0"
    )

    def __init__(
        self, options: Owlv2Options, *, device: str = "cpu", dtype: torch.dtype | None = None
    ) -> None:
        library = need_library("transformers", who=_WHO, extra="owlv2")
        folder = find_weights(
            options.weights, revision=options.revision, offline=options.offline, who=_WHO
        )
        self._options = options
        self._device = torch.device(device)
        self._dtype = default_dtype(device, dtype)
        self._model = load_model(
            library.Owlv2ForObjectDetection, folder, who=_WHO, device=device, dtype=self._dtype
        )
        self._tokenizer = load_processor(library.AutoTokenizer, folder, who=_WHO)
        self._mean, self._std = _colours(folder)
        self._key = ("owlv2", weights_key(folder), str(self._device), str(self._dtype))

    @property
    def vocabulary(self) -> None:
        """None: it takes any text."""
        return None

    def detect(self, requests: Sequence[DetectRequest]) -> list[DetectResult]:
        """Answer each request, in order.

        A phrase that has an exemplar is looked for by the exemplar alone. A phrase of more
        tokens than the network reads ends in `cannot`.
        """
        step = self._options.batch
        groups = (requests[start : start + step] for start in range(0, len(requests), step))
        return [result for group in groups for result in self._answer(group)]

    @torch.no_grad()
    def encode(self, images: Sequence[Image]) -> list[Owlv2Encoding]:
        """Encode pictures, those that the shared cache does not hold, some at a time."""
        keys = [(*self._key, "image", image_key(image)) for image in images]
        step = self._options.batch

        def make(missing: Sequence[int]) -> list[Owlv2Encoding]:
            parts = (missing[i : i + step] for i in range(0, len(missing), step))
            return [one for part in parts for one in self._encoded([images[i] for i in part])]

        packing = pack_fields(Owlv2Encoding, self._device)
        return shared_cache().get_or_make_all(keys, make, packing=packing)

    @torch.no_grad()
    def _answer(self, requests: Sequence[DetectRequest]) -> list[DetectResult]:
        asked = [request for request in requests if request.phrases]
        encodings = iter(self.encode([request.image for request in asked]))
        looks = [
            self._look(request, next(encodings)) if request.phrases else _Look(tables=[], cannot={})
            for request in requests
        ]
        # One transfer for all: what follows runs on the host.
        tables = [table for look in looks for table in look.tables]
        host = (torch.cat(tables) if tables else torch.zeros(0, 6)).cpu()
        ends = np.cumsum([look.rows for look in looks]).tolist()
        return [
            self._result(request, look, host[end - look.rows : end])
            for request, look, end in zip(requests, looks, ends, strict=True)
        ]

    def _result(self, request: DetectRequest, look: _Look, host: Tensor) -> DetectResult:
        # NaN is not below the floor either: it must be seen.
        rows = host[~(host[:, 4] < self._options.floor)]
        scored = Scored(
            boxes=rows[:, :4],
            scores=rows[:, 4],
            phrase_ids=rows[:, 5].round().long(),
            cannot=look.cannot,
        )
        result = result_of(
            request,
            scored,
            source="owlv2",
            thresholds=request.thresholds or (self._options.threshold,) * len(request.phrases),
            iou=self._options.overlap,
        )
        return to_device(result, self._device)

    def _look(self, request: DetectRequest, encoding: Owlv2Encoding) -> _Look:
        """Score every patch for every phrase; nothing is copied to the host."""
        exemplars = request.exemplars or (None,) * len(request.phrases)
        cannot: dict[int, str] = {}
        queries: dict[int, Tensor] = {}
        side = max(request.image.size)
        by_text = [i for i, box in enumerate(exemplars) if box is None]
        said = self._texts([request.phrases[i] for i in by_text])
        for index, text in zip(by_text, said, strict=True):
            if isinstance(text, str):
                cannot[index] = text
            else:
                queries[index] = text
        for index, box in enumerate(exemplars):
            if box is not None and not (fault := _exemplar_fault(box, request.image.size)):
                queries[index] = _exemplar_query(encoding, torch.tensor(box) / side)
            elif box is not None:
                cannot[index] = fault
        indices = sorted(queries)
        tables = [
            self._scored(encoding, queries, indices[start : start + _PHRASES], side)
            for start in range(0, len(indices), _PHRASES)
        ]
        return _Look(tables=tables, cannot=cannot)

    def _scored(
        self, encoding: Owlv2Encoding, queries: dict[int, Tensor], indices: list[int], side: int
    ) -> Float[Tensor, "k 6"]:
        """The best patches of each phrase: box in pixels, score, and the phrase's index."""
        asked = torch.stack([queries[i] for i in indices])
        logits = self._model.class_predictor(encoding.features[None], asked[None])[0][0]
        scores = logits.float().sigmoid()
        best, patches = scores.topk(min(self._options.most, len(scores)), dim=0)
        ids = torch.tensor(indices, dtype=torch.float32, device=best.device).expand_as(best)
        boxes = encoding.boxes[patches] * side
        return torch.cat([boxes, best[..., None], ids[..., None]], dim=2).flatten(0, 1)

    def prefetch(self, images: Sequence[Image]) -> None:
        """Encode pictures before anything is asked of them."""
        self.encode(images)

    def _encoded(self, images: Sequence[Image]) -> list[Owlv2Encoding]:
        """Encode pictures at once; where the memory does not do, half of them at a time."""
        try:
            return self._encoded_at_once(images)
        except torch.OutOfMemoryError:
            if len(images) == 1:
                raise
        half = len(images) // 2
        return [*self._encoded(images[:half]), *self._encoded(images[half:])]

    def _encoded_at_once(self, images: Sequence[Image]) -> list[Owlv2Encoding]:
        size = self._model.config.vision_config.image_size
        mean, std = (
            torch.tensor(v, device=self._device)[:, None, None] for v in (self._mean, self._std)
        )
        squares = [_square(image, size, self._device) for image in images]
        pixels = ((torch.stack(squares) - mean) / std).to(self._dtype)
        grids = self._model.image_embedder(pixel_values=pixels)[0]
        features = grids.flatten(1, 2)
        embeddings = self._model.class_predictor(features)[1]
        boxes = self._model.box_predictor(features, grids).float()
        # Copies: a view would keep the whole batch alive in the cache.
        return [
            Owlv2Encoding(
                features=features[i].clone(),
                embeddings=embeddings[i].clone(),
                boxes=from_cxcywh(boxes[i]),
            )
            for i in range(len(images))
        ]

    def _texts(self, phrases: Sequence[str]) -> list[Tensor | str]:
        """What phrases are compared as, or why the network cannot read one."""
        limit = self._model.config.text_config.max_position_embeddings
        sentences = [self._options.template.format(phrase.strip()) for phrase in phrases]
        ids: list[list[int]] = self._tokenizer(sentences)["input_ids"] if sentences else []
        faults = [
            "an empty phrase names nothing"
            if not phrase.strip()
            else f"{phrase[:80]!r} has {len(row)} tokens with its sentence; owlv2 reads {limit}"
            if len(row) > limit
            else ""
            for phrase, row in zip(phrases, ids, strict=True)
        ]
        good = [i for i, fault in enumerate(faults) if not fault]
        keys = [(*self._key, "text", sentences[i]) for i in good]
        made = shared_cache().get_or_make_all(
            keys,
            lambda missing: self._read([ids[good[i]] for i in missing]),
            packing=pack_tensor(self._device),
        )
        queries = dict(zip(good, made, strict=True))
        return [faults[i] or queries[i] for i in range(len(phrases))]

    def _read(self, ids: Sequence[Sequence[int]]) -> list[Tensor]:
        """Embeddings of texts, given as tokens."""
        limit = self._model.config.text_config.max_position_embeddings
        filler = self._model.config.text_config.pad_token_id or 0
        made: list[Tensor] = []
        for start in range(0, len(ids), _PHRASES):
            part = ids[start : start + _PHRASES]
            # Always of one length, so that a phrase has one embedding whatever it is read with.
            rows = [[*row, *[filler] * (limit - len(row))] for row in part]
            mask = [[1] * len(row) + [0] * (limit - len(row)) for row in part]
            features = self._model.owlv2.get_text_features(
                input_ids=torch.tensor(rows, device=self._device),
                attention_mask=torch.tensor(mask, device=self._device),
            ).pooler_output
            made += [row.clone() for row in features]
        return made


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Look:
    """What was scored in a picture, still on the device, and what cannot be looked for."""

    tables: list[Tensor]
    cannot: dict[int, str]

    @property
    def rows(self) -> int:
        return sum(map(len, self.tables))


def _exemplar_fault(box: tuple[float, float, float, float], size: tuple[int, int]) -> str:
    """Why a box is no exemplar in a picture of a size, or nothing."""
    x0, y0, x1, y1 = box
    inside = min(x1, size[0]) > max(x0, 0) and min(y1, size[1]) > max(y0, 0)
    if all(map(math.isfinite, box)) and inside:
        return ""
    return f"the exemplar {box} holds nothing of the picture of {size[0]} by {size[1]} pixels"


def _exemplar_query(encoding: Owlv2Encoding, box: Float[Tensor, "4"]) -> Float[Tensor, " e"]:
    """The embedding that stands for what a box holds.

    Of the patches whose boxes fit the box nearly as well as the best one, that which is least
    like all others: the rest mostly show what is around the thing.
    """
    asked = box.to(encoding.boxes.device)[None]
    fit = iou(asked, encoding.boxes)[0]
    # Where no proposal overlaps the box, those with the nearest middle are taken.
    away = ((encoding.boxes - asked)[:, :2] + (encoding.boxes - asked)[:, 2:]).norm(dim=1)
    fit = torch.where(fit.max() > 0, fit, 1 / (1 + away))
    mean = encoding.embeddings.mean(dim=0)
    likeness = (encoding.embeddings @ mean).float()
    likeness = likeness.masked_fill(fit < 0.8 * fit.max(), math.inf)
    # An index that is a tensor would be read by the host.
    return encoding.embeddings.index_select(0, likeness.argmin()[None])[0]


def _square(image: Image, side: int, device: torch.device) -> Float[Tensor, "3 s s"]:
    """A picture on a black square, its top left corner, smoothed and resized; in [0, 1].

    As the authors prepare pictures: a Gaussian of half the shrinking factor, then bilinear. Of
    pictures with a side above 4096 pixels, which are brought there first, it is close to that.
    """
    width, height = image.size
    shrink = min(1.0, _LONGEST / max(width, height))
    size = max(1, round(width * shrink)), max(1, round(height * shrink))
    pixels = resize_pixels(image.pixels, size, device=device)
    index, weights = _taps(max(size), side, device)
    rows = _weighed(pixels, index, weights / 255)
    # Whole rows are picked several times as fast as columns.
    return _weighed(rows.transpose(1, 2).contiguous(), index, weights).transpose(1, 2)


def _taps(
    length: int, side: int, device: torch.device
) -> tuple[Int[Tensor, "k s"], Float[Tensor, "k s"]]:
    """Which pixels of a line make each pixel of a shorter or longer one, and by how much.

    A Gaussian whose line goes on mirrored at its ends, then linear between two of its pixels; both
    at once, since only few pixels count.
    """
    factor = length / side
    sigma = (factor - 1) / 2
    radius = math.ceil(3 * sigma) if sigma > 0 else 0
    steps = torch.arange(-radius, radius + 1, device=device, dtype=torch.float32)
    kernel = (-0.5 * (steps / max(sigma, 1e-9)) ** 2).exp()
    kernel = kernel / kernel.sum()
    places = (torch.arange(side, device=device, dtype=torch.float32) + 0.5) * factor - 0.5
    places = places.clamp(0, length - 1)
    first = places.floor()
    share = places - first
    near, far = pad(kernel, (0, 1))[:, None], pad(kernel, (1, 0))[:, None]
    index = first.long() + torch.arange(-radius, radius + 2, device=device)[:, None]
    index = index.abs()
    index = torch.where(index < length, index, 2 * (length - 1) - index).clamp(min=0)
    return index, (1 - share) * near + share * far


def _weighed(
    planes: Shaped[Tensor, "3 h w"], index: Int[Tensor, "k s"], weights: Float[Tensor, "k s"]
) -> Float[Tensor, "3 s w"]:
    """New rows, each a sum of some of the rows; beyond the last one it is black."""
    height = planes.shape[1]
    shares = weights * (index < height)
    total = torch.zeros(3, index.shape[1], planes.shape[2], device=planes.device)
    for places, share in zip(index.clamp(max=height - 1), shares, strict=True):
        total.addcmul_(planes.index_select(1, places).float(), share[:, None])
    return total


def _colours(folder: Any) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of the colours that a checkpoint states."""
    stated: dict[str, Any] = {}
    for name in ("preprocessor_config.json", "processor_config.json"):
        if (folder / name).is_file():
            settings = read_settings(folder / name, who=_WHO)
            stated = settings.get("image_processor") or settings
            break
    found = (stated.get("image_mean") or _MEAN, stated.get("image_std") or _STD)
    proper = all(
        isinstance(v, Sequence) and len(v) == 3 and all(isinstance(x, int | float) for x in v)
        for v in found
    )
    if not proper or not all(x > 0 for x in found[1]):
        raise InputError(f"{_WHO}: {folder}: expected 3 numbers as image_mean and image_std")
    return tuple(found[0]), tuple(found[1])
