"""Detection with a network that reads a prompt: from requests to results, whoever made the network.

A picture is encoded once; what reads the prompt runs again for every prompt. Phrases share a
prompt where its length allows, and each is told by its own tokens.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from groundplane.core.answer import Step
from groundplane.core.detection import DetectRequest, DetectResult
from groundplane.core.errors import InputError, WeightsError
from groundplane.core.feature_cache import image_key, shared_cache
from groundplane.core.feature_packing import pack_nested
from groundplane.core.image import Image
from groundplane.core.pixels import PixelRule, prepare_pixels
from groundplane.grounding.batching import buckets, in_halves
from groundplane.grounding.candidates import Scored, result_of, to_device
from groundplane.grounding.packing import Encoded, PackedPrompts, Prompt, Tokenize, pack_phrases
from groundplane.grounding.token_scores import PhraseScores, phrases_above

__all__ = ["PromptedDetector", "PromptedNetwork", "PromptedSettings", "check_ranges", "encoder_of"]

# Feature maps of the image encoder, each of one picture.
_Features = tuple[Tensor, ...]
# A canvas with fewer cells than the network has queries is padded to a multiple of this, pixels.
_LEAST_MULTIPLE = 64


@runtime_checkable
class PromptedNetwork(Protocol):
    """A network that is cut where the prompt comes in."""

    queries: int

    def cells(self, canvas: tuple[int, int]) -> int:
        """How many cells the feature maps of a canvas have, of which queries are chosen."""
        ...

    def encode(self, values: Float[Tensor, "b 3 h w"], mask: Bool[Tensor, "b h w"]) -> list[Tensor]:
        """The feature maps of pictures; the mask is True where there is picture."""
        ...

    def read(
        self, features: Sequence[Tensor], mask: Bool[Tensor, "b h w"], ids: Sequence[int]
    ) -> tuple[Float[Tensor, "b q t"], Float[Tensor, "b q 4"]]:
        """Logits of queries and tokens, and boxes, of encoded pictures for one prompt."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptedSettings:
    """What a `PromptedDetector` keeps to.

    Attributes:
        name: The expert's name; ids are made of it.
        key: What tells the network's feature maps from another's, for the shared cache.
        limit: Most tokens of a prompt, those that frame it included.
        threshold: Least score where a request states none of its own.
        floor: Least score of a candidate.
        overlap: Boxes of a phrase with a larger intersection over union are one thing; 1: none.
        apart: Ask each phrase in a prompt of its own.
        batch: Most pictures that are run together.
        most: Most candidates of a phrase, the best ones.
    """

    name: str
    key: tuple[Hashable, ...]
    limit: int
    threshold: float
    floor: float
    overlap: float
    apart: bool
    batch: int
    most: int = 100


# What the options of such detectors may be.
_LIMITS: dict[str, tuple[float, float]] = {
    "threshold": (0, 1),
    "floor": (0, 1),
    "overlap": (0, 1),
    "shortest": (0, 8192),
    "longest": (0, 8192),
    "multiple": (1, 1024),
    "batch": (1, 1024),
    "most": (1, 100_000),
}


def check_ranges(options: object, *, who: str) -> None:
    """Check the options that all detectors of this kind have.

    Args:
        options: Has `threshold`, `floor`, `overlap`, `shortest`, `longest`, `multiple`, `batch`
            and `most`.
        who: Whose options they are, for messages.

    Raises:
        InputError: If a value is out of range.
    """
    for name, (least, most) in _LIMITS.items():
        value = getattr(options, name)
        if not least <= value <= most:  # NaN is not either
            raise InputError(f"{who}: option {name}: expected {least} to {most}, got {value}")


def encoder_of(tokenizer: Any, *, who: str, source: object) -> Tokenize:
    """What packs phrases, made of a tokenizer of transformers.

    Args:
        tokenizer: A fast one: it says which characters a token stands for.
        who: Who needs it, for messages.
        source: Where it was read, for messages.

    Raises:
        WeightsError: If it does not say which characters a token stands for.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise WeightsError(
            f"{who}: the tokenizer in {source} does not say which characters a token "
            "stands for; expected a tokenizer.json or vocab.txt that gives a fast one"
        )

    def encode(text: str) -> Encoded:
        found = tokenizer(text, return_offsets_mapping=True, add_special_tokens=True)
        unknown = tokenizer.unk_token_id
        return Encoded(
            ids=tuple(found["input_ids"]),
            spans=tuple((int(begin), int(end)) for begin, end in found["offset_mapping"]),
            unknown=-1 if unknown is None else unknown,
        )

    return encode


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


class PromptedDetector:
    """Finds any phrases with a network that reads a prompt.

    Args:
        network: Cut where the prompt comes in.
        tokenize: The network's own tokenizer.
        rule: How pictures are prepared.
        settings: See `PromptedSettings`.
        device: Where the network runs and the regions' tensors are put.
    """

    def __init__(
        self,
        network: PromptedNetwork,
        *,
        tokenize: Tokenize,
        rule: PixelRule,
        settings: PromptedSettings,
        device: torch.device,
    ) -> None:
        self._network, self._tokenize, self._rule = network, tokenize, rule
        self._settings, self._device = settings, device
        self._who = f"detector {settings.name!r}"

    def detect(self, requests: Sequence[DetectRequest]) -> list[DetectResult]:
        """Answer each request, in order."""
        asked = [self._asked(request) for request in requests]
        found: list[list[tuple[Prompt, PhraseScores]]] = [[] for _ in asked]
        run = [index for index, one in enumerate(asked) if one.packed.prompts]
        for batch in buckets([asked[index].canvas for index in run], limit=self._settings.batch):
            places = [run[i] for i in batch]
            looked = in_halves(self._look, [asked[i] for i in places], who=self._who)
            for index, rows in zip(places, looked, strict=True):
                found[index] = rows
        return [self._result(one, rows) for one, rows in zip(asked, found, strict=True)]

    @torch.inference_mode()
    def prefetch(self, images: Sequence[Image]) -> None:
        """Encode pictures before anything is asked of them; what is asked then finds them."""
        asked = [self._asked(DetectRequest(image=image, phrases=())) for image in images]
        for batch in buckets([one.canvas for one in asked], limit=self._settings.batch):
            self._encoded([asked[i] for i in batch])

    def _asked(self, request: DetectRequest) -> _Asked:
        settings = self._settings
        packed = pack_phrases(
            request.phrases, self._tokenize, limit=settings.limit, apart=settings.apart
        )
        rule = self._rule
        if self._network.cells(rule.canvas(request.image.size)) < self._network.queries:
            rule = replace(rule, multiple=max(rule.multiple, _LEAST_MULTIPLE))
        floor = min([settings.floor, *(request.thresholds or ())])
        return _Asked(request=request, packed=packed, rule=rule, floor=floor)

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
        for group in buckets(keys, limit=self._settings.batch):
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

        keys = [(*self._settings.key, one.rule, image_key(one.request.image)) for one in batch]
        return shared_cache().get_or_make_all(keys, make, packing=pack_nested(self._device))

    def _result(self, asked: _Asked, found: Sequence[tuple[Prompt, PhraseScores]]) -> DetectResult:
        request, settings = asked.request, self._settings
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
                cannot[index] = f"{settings.name} looks for words, not for what an exemplar shows"
        able = ~torch.isin(box_like, torch.tensor(sorted(cannot), dtype=torch.long))
        every = torch.cat(scores)
        kept = _best_of_each(box_like, every, most=settings.most)
        kept = kept[able[kept]]
        scored = Scored(
            boxes=torch.cat(boxes)[kept],
            scores=every[kept],
            phrase_ids=box_like[kept],
            cannot=cannot,
        )
        result = result_of(
            request,
            scored,
            source=settings.name,
            thresholds=request.thresholds or (settings.threshold,) * len(request.phrases),
            iou=settings.overlap,
        )
        return replace(to_device(result, self._device), steps=(self._step(asked),))

    def _step(self, asked: _Asked) -> Step:
        width, height = asked.canvas
        lengths = [len(prompt.ids) for prompt in asked.packed.prompts]
        said = f"prompts of {' + '.join(map(str, lengths))} tokens" if lengths else "no prompt"
        name = self._settings.name
        return Step(name="detect", detail=f"{name}: {said} on {width} by {height} pixels")


def _best_of_each(
    phrase_ids: Int[Tensor, " n"], scores: Float[Tensor, " n"], *, most: int
) -> Int[Tensor, " k"]:
    """The places of the best of each phrase, as many as there may be; in their order."""
    if len(scores) <= most:
        return torch.arange(len(scores))
    order = scores.argsort(descending=True, stable=True)
    order = order[phrase_ids[order].argsort(stable=True)]
    sizes = torch.bincount(phrase_ids, minlength=1)
    first = sizes.cumsum(0) - sizes
    rank = torch.arange(len(order)) - first[phrase_ids[order]]
    return order[rank < most].sort().values


def _mask_of(batch: Sequence[_Asked], *, device: torch.device) -> Bool[Tensor, "b h w"]:
    """True where there is picture, False where there is padding."""
    width, height = batch[0].canvas
    mask = torch.zeros(len(batch), height, width, dtype=torch.bool, device=device)
    for row, one in zip(mask, batch, strict=True):
        across, down = one.rule.content(one.request.image.size)
        row[:down, :across] = True
    return mask
