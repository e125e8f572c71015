"""SAM 3 on single images, through transformers: a detector with masks, and a segmenter.

The detector finds everything that a short phrase names, or that is like what an exemplar's box
holds, and says how probable it is that there is such a thing at all. Each phrase is asked by
itself, so what is found for one does not depend on the others. The segmenter gives the mask of
what a box or points point out. The published checkpoint holds both.

Source: Carion et al., SAM 3: Segment Anything with Concepts, 2025.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from groundplane.core.boxes import area, clip, to_cxcywh
from groundplane.core.capabilities import Capabilities
from groundplane.core.detection import DetectRequest, DetectResult
from groundplane.core.errors import InputError
from groundplane.core.feature_cache import image_key, shared_cache
from groundplane.core.feature_packing import pack_nested
from groundplane.core.image import Image
from groundplane.core.mask_tensors import encode_logits
from groundplane.core.masks import RleMask
from groundplane.core.pixels import prepare_pixels
from groundplane.core.regions import Regions
from groundplane.core.segmentation import SegmentRequest
from groundplane.core.weights import (
    default_dtype,
    find_weights,
    load_model,
    load_processor,
    need_library,
    weights_key,
)
from groundplane.grounding.candidates import Scored, result_of, to_device
from groundplane.grounding.prompting import Prompting, pyramid_model, stretched

__all__ = ["Sam3Detector", "Sam3DetectorOptions", "Sam3Segmenter", "Sam3SegmenterOptions"]

_NAME = "sam3"
_DETECTOR = "detector 'sam3'"
_SEGMENTER = "segmenter 'sam3'"
# Both halves of one published checkpoint.
_KINDS = ("sam3_video",)
# In shares of full brightness, red, green, blue; used where a checkpoint says nothing.
_COLOURS = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
# What transformers asks for where an exemplar comes without words.
_WORDLESS = "visual"
_LICENCE = "SAM License"
# The image encoder at 1008 pixels, counted by hand: 32 layers of width 1024 over 5,184 patches.
_COST = 5400.0


# Detector --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Sam3DetectorOptions:
    """Options of `Sam3Detector`.

    Attributes:
        weights: A folder with `config.json` and `model.safetensors`, or a hub id.
        revision: The commit of a hub id, 40 hexadecimal digits.
        offline: Fetch nothing.
        threshold: Least score where a request states none of its own.
        floor: Least score of a candidate.
        overlap: Boxes of a phrase with a larger intersection over union are one thing; 1 keeps
            all, as the network is trained to give each thing once.
        phrases_a_pass: Most phrases that the network is given at once.

    Raises:
        InputError: If a value is out of range.
    """

    weights: str
    revision: str = ""
    offline: bool = False
    threshold: float = 0.3
    floor: float = 0.05
    overlap: float = 1.0
    phrases_a_pass: int = 4

    def __post_init__(self) -> None:
        limits = {"threshold": (0, 1), "floor": (0, 1), "overlap": (0, 1)}
        for name, (least, most) in (limits | {"phrases_a_pass": (1, 1024)}).items():
            value = getattr(self, name)
            if not least <= value <= most:
                raise InputError(
                    f"{_DETECTOR}: option {name}: expected {least} to {most}, got {value}"
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """A phrase that can be looked for: its place in the request, its tokens, its exemplar."""

    index: int
    text: str
    exemplar: tuple[float, float, float, float] | None


class Sam3Detector:
    """Finds and outlines all that a short phrase names, or that is like an exemplar.

    The score is the query's probability times the presence: how probable it is that such a thing
    is in the image at all, which `DetectResult.presence` gives for each phrase (0 for one that
    cannot be looked for). A phrase with an exemplar is looked for by both together. Safe to use
    from several threads.

    Args:
        options: See `Sam3DetectorOptions`.
        device: Where the network runs and the regions' tensors are put.
        dtype: Of the network's work; weights stay in float32. See `core.weights.default_dtype`.

    Raises:
        PluginBrokenError: If transformers or torchvision is not installed.
        WeightsError: If the weights are not there, or are refused.
    """

    Options = Sam3DetectorOptions
    capabilities = Capabilities(
        prompts=frozenset({"text", "exemplar"}), masks=True, cost=_COST, licence=_LICENCE
    )

    def __init__(
        self, options: Sam3DetectorOptions, *, device: str = "cpu", dtype: torch.dtype | None = None
    ) -> None:
        need_library("torchvision", who=_DETECTOR, extra="sam3")
        library = need_library("transformers", who=_DETECTOR, extra="sam3")
        folder = find_weights(
            options.weights, who=_DETECTOR, revision=options.revision, offline=options.offline
        )
        self._options = options
        self._device = torch.device(device)
        self._dtype = default_dtype(device, dtype)
        self._network = load_model(
            library.Sam3Model,
            folder,
            who=_DETECTOR,
            device=device,
            dtype=torch.float32,
            model_types=_KINDS,
        )
        self._tokenizer = load_processor(library.AutoTokenizer, folder, who=_DETECTOR)
        self._tokens = self._network.config.text_config.max_position_embeddings
        side = self._network.config.vision_config.backbone_config.image_size
        self._rule = stretched(folder, size=side, colours=_COLOURS, who=_DETECTOR)
        self._key = ("sam3", weights_key(folder), device, self._dtype)

    @property
    def vocabulary(self) -> None:
        """None: it takes any text."""
        return None

    def detect(self, requests: Sequence[DetectRequest]) -> list[DetectResult]:
        """Answer each request, in order.

        An empty phrase without an exemplar, a phrase of more tokens than the network reads, and
        an exemplar that holds no part of the image end in `cannot`.
        """
        with torch.no_grad():
            return [self._answer(request) for request in requests]

    def _answer(self, request: DetectRequest) -> DetectResult:
        asked, cannot = self._look_through(request)
        found = _Found(len(request.phrases))
        if asked:
            vision = self._vision(request.image)
            step = self._options.phrases_a_pass
            for kind in (False, True):
                alike = [one for one in asked if (one.exemplar is not None) is kind]
                for start in range(0, len(alike), step):
                    self._pass(request.image, vision, alike[start : start + step], found)
        result = result_of(
            request,
            found.scored(cannot),
            source=_NAME,
            thresholds=request.thresholds or (self._options.threshold,) * len(request.phrases),
            iou=self._options.overlap,
        )
        return replace(to_device(result, self._device), presence=tuple(found.presence))

    def _look_through(self, request: DetectRequest) -> tuple[list[_Asked], dict[int, str]]:
        exemplars = request.exemplars or (None,) * len(request.phrases)
        asked: list[_Asked] = []
        cannot: dict[int, str] = {}
        for index, (phrase, box) in enumerate(zip(request.phrases, exemplars, strict=True)):
            text = phrase.strip() or (_WORDLESS if box is not None else "")
            fault = self._fault(text) or _exemplar_fault(box, request.image.size)
            if fault:
                cannot[index] = fault
            else:
                asked.append(_Asked(index=index, text=text, exemplar=box))
        return asked, cannot

    def _fault(self, text: str) -> str:
        if not text:
            return "an empty phrase names nothing"
        count = len(self._tokenizer(text)["input_ids"])
        if count > self._tokens:
            return f"{text[:80]!r} has {count} tokens; sam3 reads {self._tokens}"
        return ""

    def _vision(self, image: Image) -> Any:
        """A picture as the network sees it, encoded once while it is cached."""

        def make() -> dict[str, tuple[Tensor, ...]]:
            pixels = prepare_pixels([image.pixels], self._rule, device=self._device).values
            with self._working():
                seen = self._network.get_vision_features(pixels)
            return {
                name: tuple(level.float() for level in getattr(seen, name))
                for name in ("fpn_hidden_states", "fpn_position_encoding")
            }

        key = (*self._key, "image", image_key(image))
        return shared_cache().get_or_make(key, make, packing=pack_nested(self._device))

    def _text(self, text: str) -> tuple[Float[Tensor, "1 t d"], Tensor]:
        """A phrase as the network reads it, and which of its places hold tokens."""

        def make() -> tuple[Tensor, Tensor]:
            padded = self._tokenizer(
                text, padding="max_length", max_length=self._tokens, return_tensors="pt"
            )
            ids, mask = (padded[name].to(self._device) for name in ("input_ids", "attention_mask"))
            with self._working():
                read = self._network.get_text_features(input_ids=ids, attention_mask=mask)
            return read.pooler_output.float(), mask

        key, packing = (*self._key, "text", text), pack_nested(self._device)
        read: tuple[Tensor, Tensor] = shared_cache().get_or_make(key, make, packing=packing)
        return read

    def _working(self) -> torch.autocast:
        half = self._dtype != torch.float32
        return torch.autocast(self._device.type, dtype=self._dtype, enabled=half)

    def _pass(
        self,
        image: Image,
        vision: dict[str, tuple[Tensor, ...]],
        asked: Sequence[_Asked],
        found: _Found,
    ) -> None:
        """Look for some phrases at once: all with an exemplar, or none.

        Where the memory does not do, half of them at a time.
        """
        try:
            rows = self._looked(image.size, vision, asked)
        except torch.OutOfMemoryError:
            if len(asked) == 1:
                raise
        else:
            found.add(*rows, indices=[one.index for one in asked])
            return
        # Out of the handler, which would keep the tensors of the failed pass alive.
        half = len(asked) // 2
        self._pass(image, vision, asked[:half], found)
        self._pass(image, vision, asked[half:], found)

    def _looked(
        self,
        size: tuple[int, int],
        vision: dict[str, tuple[Tensor, ...]],
        asked: Sequence[_Asked],
    ) -> tuple[Float[Tensor, "n 6"], tuple[RleMask, ...], Float[Tensor, " k"]]:
        """Box, score and phrase of each candidate, its mask, and the presence of each phrase."""
        out = self._scored(size, vision, asked)
        presence = out.presence_logits.float().sigmoid().reshape(len(asked))
        scores = out.pred_logits.float().sigmoid() * presence[:, None]
        # NaN is not below the floor either: it must be seen.
        rows, queries = torch.nonzero(~(scores < self._options.floor), as_tuple=True)
        boxes = out.pred_boxes[rows, queries].float() * _edges(size).to(rows.device)
        chances = out.pred_masks[rows, queries].float().sigmoid()
        masks = encode_logits(chances, size, threshold=0.5).masks
        table = torch.cat([boxes, scores[rows, queries][:, None], rows[:, None].float()], dim=1)
        return table, masks, presence

    def _scored(
        self,
        size: tuple[int, int],
        vision: dict[str, tuple[Tensor, ...]],
        asked: Sequence[_Asked],
    ) -> Any:
        """What the network says of one image and some phrases, each a row."""
        texts = [self._text(one.text) for one in asked]
        boxes = None
        if asked[0].exemplar is not None:
            given = clip(torch.tensor([one.exemplar for one in asked]).float(), size)
            boxes = to_cxcywh(given / _edges(size))[:, None].to(self._device)
        seen = {
            name: tuple(level.expand(len(asked), *level.shape[1:]) for level in levels)
            for name, levels in vision.items()
        }
        with self._working():
            return self._network(
                vision_embeds=SimpleNamespace(**seen, hidden_states=None, attentions=None),
                text_embeds=SimpleNamespace(pooler_output=torch.cat([text for text, _ in texts])),
                attention_mask=torch.cat([mask for _, mask in texts]),
                input_boxes=boxes,
            )


class _Found:
    """What the passes over one image have found, on the host."""

    def __init__(self, num_phrases: int) -> None:
        self.presence = [0.0] * num_phrases
        self.masks: list[RleMask] = []
        self._tables = [torch.zeros(0, 6)]

    def add(
        self,
        table: Float[Tensor, "n 6"],
        masks: Sequence[RleMask],
        presence: Float[Tensor, " k"],
        *,
        indices: Sequence[int],
    ) -> None:
        """Take in a pass: box, score and row of each region; its rows are these phrases."""
        rows = table.cpu()
        rows[:, 5] = torch.tensor(indices)[rows[:, 5].long()].float()
        self._tables.append(rows)
        self.masks += masks
        for index, chance in zip(indices, presence.tolist(), strict=True):
            self.presence[index] = chance

    def scored(self, cannot: dict[int, str]) -> Scored:
        """All of it, for a result."""
        table = torch.cat(self._tables)
        return Scored(
            boxes=table[:, :4],
            scores=table[:, 4],
            phrase_ids=table[:, 5].long(),
            masks=tuple(self.masks),
            cannot=cannot,
        )


def _edges(size: tuple[int, int]) -> Float[Tensor, "4"]:
    return torch.tensor([*size, *size], dtype=torch.float32)


def _exemplar_fault(box: tuple[float, float, float, float] | None, size: tuple[int, int]) -> str:
    if box is None:
        return ""
    given = torch.tensor([box], dtype=torch.float32)
    if not bool(given.isfinite().all()) or float(area(clip(given, size))) <= 0:
        return f"the exemplar {box} holds no part of the image of {size[0]} by {size[1]} pixels"
    return ""


# Segmenter -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Sam3SegmenterOptions:
    """Options of `Sam3Segmenter`.

    Attributes:
        weights: A folder with `config.json` and `model.safetensors`, or a hub id.
        revision: The commit of a hub id, 40 hexadecimal digits.
        offline: Fetch nothing.
        multimask: Let the network guess three masks a thing and take what it thinks best; else
            one, which it replaces by the best of the three where it is unstable.
        prompts_a_pass: Most prompts that the network is given at once.

    Raises:
        InputError: If `prompts_a_pass` is out of range.
    """

    weights: str
    revision: str = ""
    offline: bool = False
    multimask: bool = True
    prompts_a_pass: int = 64

    def __post_init__(self) -> None:
        if not 1 <= self.prompts_a_pass <= 4096:
            raise InputError(
                f"{_SEGMENTER}: option prompts_a_pass: expected 1 to 4096, got "
                f"{self.prompts_a_pass}"
            )


class Sam3Segmenter:
    """Gives the mask of each thing that a box or points point out.

    Each image is encoded once; encodings are kept in the cache of the process. The score is the
    network's own estimate of the overlap of its mask with the true one. What points at nothing
    in the image has an empty mask. Safe to use from several threads.

    Args:
        options: See `Sam3SegmenterOptions`.
        device: Where it runs.
        dtype: Of the work of the image encoder; see `core.weights.default_dtype`.

    Raises:
        PluginBrokenError: If transformers or torchvision is not installed.
        WeightsError: If the weights are not there, or are refused.
    """

    Options = Sam3SegmenterOptions
    capabilities = Capabilities(
        prompts=frozenset({"box", "point"}), masks=True, cost=_COST, licence=_LICENCE
    )

    def __init__(
        self,
        options: Sam3SegmenterOptions,
        *,
        device: str = "cpu",
        dtype: torch.dtype | None = None,
    ) -> None:
        need_library("torchvision", who=_SEGMENTER, extra="sam3")
        library = need_library("transformers", who=_SEGMENTER, extra="sam3")
        folder = find_weights(
            options.weights, who=_SEGMENTER, revision=options.revision, offline=options.offline
        )
        network = load_model(
            library.Sam3TrackerModel,
            folder,
            who=_SEGMENTER,
            device=device,
            dtype=torch.float32,
            model_types=_KINDS,
        )
        number = default_dtype(device, dtype)
        model = pyramid_model(
            network,
            folder,
            who=_SEGMENTER,
            colours=_COLOURS,
            dtype=number,
            multimask=options.multimask,
        )
        self._prompting = Prompting(
            model,
            who=_NAME,
            identity=("segmenter", weights_key(folder), device, number),
            prompts_a_pass=options.prompts_a_pass,
        )

    def segment(self, requests: Sequence[SegmentRequest]) -> list[Regions]:
        """Answer each request, in order; see `Segmenter.segment`.

        Raises:
            InputError: If a request has embeddings.
        """
        return self._prompting.segment(requests)
