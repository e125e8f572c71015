"""Grounding DINO and MM Grounding DINO: any phrases, through the classes of transformers.

A picture is encoded once; what reads the prompt runs again for every prompt. Phrases share a
prompt where its length allows, and each is told by its own tokens. The network lets the phrases
of a prompt influence one another a little through the picture; `apart=true` asks each by itself.

The attention layers that take most of the time are replaced, in this one instance, by ones that
compute the same sums faster (`grounding.dino_network`).

Sources: Liu et al., Grounding DINO, 2023; Zhao et al., MM-Grounding-DINO, 2024.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor

from groundplane.core.answer import Step
from groundplane.core.capabilities import Capabilities
from groundplane.core.checkpoints import read_settings
from groundplane.core.detection import DetectRequest, DetectResult
from groundplane.core.errors import InputError, WeightsError
from groundplane.core.feature_cache import image_key, shared_cache
from groundplane.core.pixels import PixelRule, prepare_pixels
from groundplane.core.weights import (
    default_dtype,
    find_weights,
    load_model,
    load_processor,
    need_library,
    weights_key,
)
from groundplane.grounding.batching import buckets, in_halves
from groundplane.grounding.candidates import Scored, result_of, to_device
from groundplane.grounding.dino_network import DinoNetwork
from groundplane.grounding.packing import Encoded, PackedPrompts, Prompt, pack_phrases
from groundplane.grounding.token_scores import PhraseScores, phrases_above

__all__ = ["GroundingDinoDetector", "GroundingDinoOptions", "MMGroundingDinoDetector"]

# Of ImageNet; used where a checkpoint says nothing.
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# Feature maps of the image encoder, each of one picture.
_Features = tuple[Tensor, ...]
# A canvas with fewer cells than the network has queries is padded to a multiple of this, pixels.
_LEAST_MULTIPLE = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class GroundingDinoOptions:
    """Options of `GroundingDinoDetector` and `MMGroundingDinoDetector`.

    Attributes:
        weights: A folder with `config.json` and `model.safetensors`, or a hub id.
        revision: Commit of the hub id, 40 hexadecimal digits.
        offline: Whether to take fetched weights only.
        threshold: Least score where a request states none of its own.
        floor: Least score of a candidate.
        overlap: Boxes of a phrase with a larger intersection over union are one thing; 1: none.
        apart: Ask each phrase in a prompt of its own.
        shortest: Shorter side to which pictures are resized, pixels; 0: as the checkpoint says.
        longest: Most that the longer side may then be, pixels; 0: as the checkpoint says.
        multiple: Pad pictures to a multiple of this, pixels, so that more of them can be run
            together; with more than 1 results differ a little from those without padding.
        batch: Most pictures that are run together.

    Raises:
        InputError: If a value is out of range.
    """

    weights: str
    revision: str = ""
    offline: bool = False
    threshold: float = 0.25
    floor: float = 0.05
    overlap: float = 0.8
    apart: bool = False
    shortest: int = 0
    longest: int = 0
    multiple: int = 1
    batch: int = 8

    def __post_init__(self) -> None:
        limits: dict[str, tuple[float, float]] = {
            "threshold": (0, 1),
            "floor": (0, 1),
            "overlap": (0, 1),
            "shortest": (0, 8192),
            "longest": (0, 8192),
            "multiple": (1, 1024),
            "batch": (1, 1024),
        }
        for name, (least, most) in limits.items():
            value = getattr(self, name)
            if not least <= value <= most:  # NaN is not either
                raise InputError(
                    f"Grounding DINO: option {name}: expected {least} to {most}, got {value}"
                )


class GroundingDinoDetector:
    """Finds any phrases with Grounding DINO.

    The score of a box for a phrase is the network's own for the phrase's best token, in [0, 1],
    and no probability. Safe to use from several threads.

    Args:
        options: See `GroundingDinoOptions`.
        device: Where the network runs and the regions' tensors are put.
        dtype: Number type of the large products; None: float32 on a CPU, bfloat16 on CUDA.
            Places and sums stay in float32.

    Raises:
        PluginBrokenError: If transformers is not installed, or lays the network out unlike any
            version known.
        WeightsError: If the weights are not there, or are refused.
    """

    Options = GroundingDinoOptions
    # Grounding DINO-T at 800 by 1333 pixels with 20 tokens, counted.
    capabilities = Capabilities(
        prompts=frozenset({"text"}), cost=820.0, joint=True, licence="Apache-2.0"
    )

    def __init__(
        self,
        options: GroundingDinoOptions,
        *,
        device: str = "cpu",
        dtype: torch.dtype | None = None,
    ) -> None:
        self._expert = _Expert("grounding-dino", options, device=device, dtype=dtype)

    @property
    def vocabulary(self) -> None:
        """None: it takes any text."""
        return None

    def detect(self, requests: Sequence[DetectRequest]) -> list[DetectResult]:
        """Answer each request, in order."""
        return self._expert.detect(requests)


class MMGroundingDinoDetector:
    """Finds any phrases with MM Grounding DINO, the open training of the same network.

    All else is as for `GroundingDinoDetector`.
    """

    Options = GroundingDinoOptions
    capabilities = GroundingDinoDetector.capabilities

    def __init__(
        self,
        options: GroundingDinoOptions,
        *,
        device: str = "cpu",
        dtype: torch.dtype | None = None,
    ) -> None:
        self._expert = _Expert("mm-grounding-dino", options, device=device, dtype=dtype)

    @property
    def vocabulary(self) -> None:
        """None: it takes any text."""
        return None

    def detect(self, requests: Sequence[DetectRequest]) -> list[DetectResult]:
        """Answer each request, in order."""
        return self._expert.detect(requests)


_CLASSES = {
    "grounding-dino": "GroundingDinoForObjectDetection",
    "mm-grounding-dino": "MMGroundingDinoForObjectDetection",
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Asked:
    """A request, its prompts, and how its picture is prepared."""

    request: DetectRequest
    packed: PackedPrompts
    rule: PixelRule
    floor: float

    @property
    def canvas(self) -> tuple[int, int]:
        return self.rule.canvas(self.request.image.size)


class _Expert:
    """What both detectors are."""

    def __init__(
        self,
        name: str,
        options: GroundingDinoOptions,
        *,
        device: str,
        dtype: torch.dtype | None,
    ) -> None:
        self._name, self._who, self._options = name, f"detector {name!r}", options
        library = need_library("transformers", who=self._who, extra=name)
        folder = find_weights(
            options.weights, revision=options.revision, offline=options.offline, who=self._who
        )
        self._device, number = torch.device(device), default_dtype(device, dtype)
        model = load_model(
            getattr(library, _CLASSES[name]),
            folder,
            who=self._who,
            device=device,
            dtype=torch.float32,
        )
        self._network = DinoNetwork(model, dtype=number, who=self._who)
        self._tokenizer = load_processor(library.AutoTokenizer, folder, who=self._who)
        if not getattr(self._tokenizer, "is_fast", False):
            raise WeightsError(
                f"{self._who}: the tokenizer in {folder} does not say which characters a token "
                "stands for; expected a tokenizer.json or vocab.txt that gives a fast one"
            )
        self._limit = min(
            model.config.max_text_len, model.config.text_config.max_position_embeddings
        )
        self._rule = _rule_of(folder, options, who=self._who)
        self._key = (name, weights_key(folder), str(self._device), str(number))

    def detect(self, requests: Sequence[DetectRequest]) -> list[DetectResult]:
        asked = [self._asked(request) for request in requests]
        found: list[list[tuple[Prompt, PhraseScores]]] = [[] for _ in asked]
        run = [index for index, one in enumerate(asked) if one.packed.prompts]
        for batch in buckets([asked[index].canvas for index in run], limit=self._options.batch):
            places = [run[i] for i in batch]
            looked = in_halves(self._look, [asked[i] for i in places], who=self._who)
            for index, rows in zip(places, looked, strict=True):
                found[index] = rows
        return [self._result(one, rows) for one, rows in zip(asked, found, strict=True)]

    def _asked(self, request: DetectRequest) -> _Asked:
        options = self._options
        packed = pack_phrases(
            request.phrases, self._tokenize, limit=self._limit, apart=options.apart
        )
        rule = self._rule
        if self._network.cells(rule.canvas(request.image.size)) < self._network.queries:
            rule = replace(rule, multiple=max(rule.multiple, _LEAST_MULTIPLE))
        floor = min([options.floor, *(request.thresholds or ())])
        return _Asked(request=request, packed=packed, rule=rule, floor=floor)

    def _tokenize(self, text: str) -> Encoded:
        found = self._tokenizer(text, return_offsets_mapping=True, add_special_tokens=True)
        unknown = self._tokenizer.unk_token_id
        return Encoded(
            ids=tuple(found["input_ids"]),
            spans=tuple((int(begin), int(end)) for begin, end in found["offset_mapping"]),
            unknown=-1 if unknown is None else unknown,
        )

    @torch.inference_mode()
    def _look(self, batch: Sequence[_Asked]) -> list[list[tuple[Prompt, PhraseScores]]]:
        """Run every prompt of a batch of one canvas; alike prompts of pictures run together."""
        features = self._encoded(batch)
        found: list[list[tuple[Prompt, PhraseScores]]] = [[] for _ in batch]
        work = [(i, prompt) for i, one in enumerate(batch) for prompt in one.packed.prompts]
        keys = [
            (prompt.ids, tuple(entry.tokens for entry in prompt.phrases), batch[i].floor)
            for i, prompt in work
        ]
        for group in buckets(keys, limit=self._options.batch):
            ids, tokens, floor = keys[group[0]]
            rows = [work[g][0] for g in group]
            sizes = [batch[i].request.image.size for i in rows]
            logits, boxes = self._network.read(
                [torch.cat(level) for level in zip(*(features[i] for i in rows), strict=True)],
                _mask_of([batch[i] for i in rows], device=self._device),
                ids,
            )
            scored = phrases_above(logits, boxes, tokens, sizes=sizes, floor=floor)
            for g, scores in zip(group, scored, strict=True):
                found[work[g][0]].append((work[g][1], scores))
        return found

    def _encoded(self, batch: Sequence[_Asked]) -> list[_Features]:
        """Feature maps of pictures, of those that the shared cache does not hold together."""

        def make(places: Sequence[int]) -> list[_Features]:
            pixels = prepare_pixels(
                [batch[i].request.image.pixels for i in places],
                batch[0].rule,
                device=self._device,
            )
            maps = self._network.encode(pixels.values, pixels.mask)
            # Copies: a view would keep the whole batch alive in the cache.
            return [tuple(level[i : i + 1].clone() for level in maps) for i in range(len(places))]

        keys = [(*self._key, one.rule, image_key(one.request.image)) for one in batch]
        return shared_cache().get_or_make_all(keys, make)

    def _result(self, asked: _Asked, found: Sequence[tuple[Prompt, PhraseScores]]) -> DetectResult:
        request = asked.request
        boxes, scores = [torch.zeros(0, 4)], [torch.zeros(0)]
        phrase_ids = [torch.zeros(0, dtype=torch.long)]
        for prompt, part in found:
            table = torch.tensor([entry.phrase for entry in prompt.phrases])
            boxes.append(part.boxes)
            scores.append(part.scores)
            phrase_ids.append(table[part.phrase_ids])
        cannot, box_like = dict(asked.packed.refused), torch.cat(phrase_ids)
        for index, exemplar in enumerate(request.exemplars or ()):
            if exemplar is not None:
                cannot[index] = f"{self._name} looks for words, not for what an exemplar shows"
        kept = ~torch.isin(box_like, torch.tensor(sorted(cannot), dtype=torch.long))
        scored = Scored(
            boxes=torch.cat(boxes)[kept],
            scores=torch.cat(scores)[kept],
            phrase_ids=box_like[kept],
            cannot=cannot,
        )
        result = result_of(
            request,
            scored,
            source=self._name,
            thresholds=request.thresholds or (self._options.threshold,) * len(request.phrases),
            iou=self._options.overlap,
        )
        return replace(to_device(result, self._device), steps=(self._step(asked),))

    def _step(self, asked: _Asked) -> Step:
        width, height = asked.canvas
        lengths = [len(prompt.ids) for prompt in asked.packed.prompts]
        said = f"prompts of {' + '.join(map(str, lengths))} tokens" if lengths else "no prompt"
        return Step(name="detect", detail=f"{self._name}: {said} on {width} by {height} pixels")


def _mask_of(batch: Sequence[_Asked], *, device: torch.device) -> Bool[Tensor, "b h w"]:
    """True where there is picture, False where there is padding."""
    width, height = batch[0].canvas
    mask = torch.zeros(len(batch), height, width, dtype=torch.bool, device=device)
    for row, one in zip(mask, batch, strict=True):
        across, down = one.rule.content(one.request.image.size)
        row[:down, :across] = True
    return mask


def _rule_of(folder: Path, options: GroundingDinoOptions, *, who: str) -> PixelRule:
    """How the checkpoint wants its pictures, and what the options say instead."""
    names = ("processor_config.json", "preprocessor_config.json")
    path = next((folder / name for name in names if (folder / name).is_file()), None)
    if path is None:
        raise WeightsError(
            f"{who}: {folder} does not say how pictures are prepared: expected {names[0]} or "
            f"{names[1]}. Try: copy it from where the weights come from"
        )
    stated = read_settings(path, who=who)
    stated = stated.get("image_processor") or stated
    size, filters = stated.get("size"), {2: "bilinear", 3: "bicubic"}
    known = isinstance(size, dict) and {"shortest_edge", "longest_edge"} <= set(size)
    if not known or stated.get("resample", 2) not in filters:
        raise WeightsError(
            f"{who}: {path}: expected a size with shortest_edge and longest_edge, and resample 2 "
            f"or 3, got size {size} and resample {stated.get('resample')}"
        )
    colours: dict[str, Any] = {
        "mean": tuple(map(float, stated.get("image_mean", _MEAN))),
        "std": tuple(map(float, stated.get("image_std", _STD))),
        "filter": filters[stated.get("resample", 2)],
    }
    sides: dict[str, Any] = dict(size or {})
    try:
        return PixelRule(
            size=options.shortest or int(sides["shortest_edge"]),
            longest=options.longest or int(sides["longest_edge"]),
            multiple=options.multiple,
            **colours,
        )
    except (TypeError, ValueError) as error:
        raise WeightsError(f"{who}: {path}: {error}") from error
