"""Florence-2: a small model that writes where things are, through the class of transformers.

Each phrase is asked by itself, so what is written in answer belongs to it, whatever words the
model repeats. A picture is encoded once; its phrases are asked together.

The model states no score. The score of a box is the mean probability that the model gave to the
four tokens of its place as it wrote them: boxes of one answer can be ranked by it, but it says
little of whether the thing is there, since the model was trained to write a place for whatever it
is asked for. So the threshold is 0 unless one is asked for.

Source: Xiao et al., Florence-2: Advancing a Unified Representation for a Variety of Vision Tasks,
2023; the sentences of the tasks are those of its processor in transformers.
"""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeGuard

import numpy as np
import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from groundplane.core.answer import GroundedText
from groundplane.core.capabilities import Capabilities
from groundplane.core.checkpoints import read_settings
from groundplane.core.detection import DetectRequest, DetectResult
from groundplane.core.errors import InputError
from groundplane.core.feature_cache import image_key, shared_cache
from groundplane.core.feature_packing import pack_tensor
from groundplane.core.image import Image
from groundplane.core.locations import Located, ProblemKind
from groundplane.core.masks import RleMask, bounding_box, from_polygons
from groundplane.core.pixels import PixelRule, prepare_pixels
from groundplane.core.regions import Regions
from groundplane.core.weights import (
    default_dtype,
    find_weights,
    load_model,
    load_processor,
    need_library,
    weights_key,
)
from groundplane.grounding.candidates import Scored, result_of, to_device
from groundplane.grounding.parsing import parse

__all__ = ["Florence2Detector", "Florence2Options"]

_WHO = "detector 'florence2'"
# Places are whole numbers below this, on both axes.
_BINS = 1000
_TASKS = {
    "detect": "Locate {} in the image.",
    "segment": "Locate {} in the image with mask",
    "ground": "Locate the phrases in the caption: {}",
    "objects": "Locate the objects with category name in the image.",
    "descriptions": "Locate the objects in the image, with their descriptions.",
    "proposals": "Locate the region proposals in the image.",
}
# A word in angle brackets could be one of the model's own tokens.
_TOKEN = re.compile(r"<[^<>\s]*>")


@dataclass(frozen=True, slots=True, kw_only=True)
class Florence2Options:
    """Options of `Florence2Detector`.

    Attributes:
        weights: A folder with `config.json` and `model.safetensors`, or a hub id.
        revision: Commit of the hub id, 40 hexadecimal digits.
        offline: Whether to take fetched weights only.
        task: `detect` for boxes of a phrase (open-vocabulary detection), `segment` for its mask
            (referring expression segmentation).
        threshold: Least score where a request states none of its own.
        tokens: Most tokens of an answer; a box has four and a polygon hundreds.
        beams: Beams of the search; 1 writes the likeliest token each time.
        batch: Phrases that are asked at a time.

    Raises:
        InputError: If a value is out of range.
    """

    weights: str
    revision: str = ""
    offline: bool = False
    task: Literal["detect", "segment"] = "detect"
    threshold: float = 0.0
    tokens: int = 1024
    beams: int = 1
    batch: int = 8

    def __post_init__(self) -> None:
        limits = {"threshold": (0, 1), "tokens": (1, 4096), "beams": (1, 16), "batch": (1, 1024)}
        for name, (least, most) in limits.items():
            value = getattr(self, name)
            if not least <= value <= most:
                raise InputError(f"{_WHO}: option {name}: expected {least} to {most}, got {value}")
        if self.task not in ("detect", "segment"):
            raise InputError(f"{_WHO}: option task: expected detect or segment, got {self.task!r}")


class Florence2Detector:
    """Finds any phrase, boxes or masks, by having the model write where it is.

    Safe to use from several threads.

    Args:
        options: See `Florence2Options`.
        device: Where the model runs and the regions' tensors are put.
        dtype: Number type of the model; None: float32 on a CPU, bfloat16 on CUDA.

    Raises:
        PluginBrokenError: If transformers is not installed.
        WeightsError: If the weights are not there, or are refused.
    """

    Options = Florence2Options
    # Florence-2-base at 768 pixels, counted: its encoder, and an answer of 20 tokens.
    capabilities = Capabilities(prompts=frozenset({"text"}), cost=450.0, licence="MIT")

    def __init__(
        self, options: Florence2Options, *, device: str = "cpu", dtype: torch.dtype | None = None
    ) -> None:
        library = need_library("transformers", who=_WHO, extra="florence2")
        outputs = need_library("transformers.modeling_outputs", who=_WHO, extra="florence2")
        folder = find_weights(
            options.weights, revision=options.revision, offline=options.offline, who=_WHO
        )
        self._options = options
        self._device = torch.device(device)
        self._dtype = default_dtype(device, dtype)
        self._model = load_model(
            library.Florence2ForConditionalGeneration,
            folder,
            who=_WHO,
            device=device,
            dtype=self._dtype,
        )
        self._encoded_as = outputs.BaseModelOutput
        self._tokenizer = load_processor(library.AutoTokenizer, folder, who=_WHO)
        self._bins = _bins_of(self._tokenizer.get_vocab(), folder)
        self._rule = _rule_of(folder)
        self._key = ("florence2", weights_key(folder), str(self._device), str(self._dtype))
        if options.task == "segment":
            self.capabilities = Capabilities(
                prompts=frozenset({"text"}), masks=True, cost=450.0, licence="MIT"
            )

    @property
    def vocabulary(self) -> None:
        """None: it takes any text."""
        return None

    def detect(self, requests: Sequence[DetectRequest]) -> list[DetectResult]:
        """Answer each request, in order.

        What the model writes without a place that can be read ends in `none`, with a note.
        """
        asked: list[_Question] = []
        faults: list[dict[int, str]] = [{} for _ in requests]
        for number, request in enumerate(requests):
            for index, phrase in enumerate(request.phrases):
                fault = self._fault(phrase, request.exemplars, index)
                if fault:
                    faults[number][index] = fault
                else:
                    prompt = _TASKS[self._options.task].format(phrase.strip())
                    asked.append(_Question(image=request.image, prompt=prompt))
        said = iter(self._ask(asked))
        return [
            self._result(request, fault, said)
            for request, fault in zip(requests, faults, strict=True)
        ]

    def survey(
        self,
        images: Sequence[Image],
        *,
        task: Literal["objects", "descriptions", "proposals", "ground"] = "objects",
        caption: str = "",
    ) -> list[Regions]:
        """What the model sees without being asked for a phrase.

        Args:
            images: The pictures.
            task: `objects` with their classes, `descriptions` of regions, `proposals` without
                words (index -1), or `ground` for the phrases of a caption.
            caption: The text whose phrases are located; for `ground` only.

        Returns:
            For each picture regions whose phrases are the words that the model wrote.

        Raises:
            InputError: If the task is unknown, or a caption is missing, too much, or holds the
                model's own tokens.
        """
        if task not in ("objects", "descriptions", "proposals", "ground"):
            raise InputError(f"{_WHO}: survey: unknown task {task!r}")
        if bool(caption.strip()) != (task == "ground") or _TOKEN.search(caption):
            raise InputError(
                f"{_WHO}: survey: expected a plain caption for 'ground' and none else, got "
                f"{caption[:80]!r} for {task!r}"
            )
        prompt = _TASKS[task].format(caption.strip())
        said = self._ask([_Question(image=image, prompt=prompt) for image in images])
        return [
            self._surveyed(image, words, named=task != "proposals")
            for image, words in zip(images, said, strict=True)
        ]

    def _fault(self, phrase: str, exemplars: Sequence[object] | None, index: int) -> str:
        """Why the model cannot be asked for a phrase, or nothing."""
        if exemplars is not None and exemplars[index] is not None:
            return "florence2 takes no exemplar"
        if not phrase.strip():
            return "an empty phrase names nothing"
        if _TOKEN.search(phrase):
            return f"{phrase[:80]!r} holds a word in angle brackets, as the model's own tokens are"
        # A picture takes a place for each patch, and one for the whole.
        stride = math.prod(self._model.config.vision_config.patch_stride)
        patches = (-(-self._rule.size // stride)) ** 2 + 1
        limit = self._model.config.text_config.max_position_embeddings - patches
        count = len(self._ids(_TASKS[self._options.task].format(phrase.strip())))
        if count > limit:
            return f"{phrase[:80]!r} has {count} tokens with its sentence; florence2 reads {limit}"
        return ""

    def _ids(self, prompt: str) -> list[int]:
        words: list[int] = self._tokenizer(prompt, add_special_tokens=False)["input_ids"]
        return [self._tokenizer.bos_token_id, *words, self._tokenizer.eos_token_id]

    @torch.no_grad()
    def _ask(self, questions: Sequence[_Question]) -> list[_Said]:
        """What the model writes in answer to each question."""
        said: list[_Said] = []
        room = self._model.config.text_config.max_position_embeddings - 1
        most = min(self._options.tokens, room)
        for start in range(0, len(questions), self._options.batch):
            part = questions[start : start + self._options.batch]
            hidden, mask = self._read(part)
            written = self._model.generate(
                # It repeats what is in there for each beam, so the object is its own.
                encoder_outputs=self._encoded_as(last_hidden_state=hidden),
                attention_mask=mask,
                do_sample=False,
                max_new_tokens=most,
                num_beams=self._options.beams,
            )
            chances = self._chances(hidden, mask, written)
            # One transfer a batch: numbers of tokens are exact in float64.
            host = torch.stack([written[:, 1:].double(), chances.double()]).cpu()
            said += [self._said(ids, chance) for ids, chance in zip(*host, strict=True)]
        return said

    def _read(self, questions: Sequence[_Question]) -> tuple[Float[Tensor, "b n d"], Tensor]:
        """Pictures and sentences as the encoder reads them, and which of it counts."""
        features = self._features([question.image for question in questions])
        rows = [self._ids(question.prompt) for question in questions]
        longest = max(map(len, rows))
        filler = self._tokenizer.pad_token_id
        ids = torch.tensor(
            [row + [filler] * (longest - len(row)) for row in rows], device=self._device
        )
        words = self._model.get_input_embeddings()(ids)
        seen = torch.stack(features).to(words.dtype)
        pictures = torch.ones(seen.shape[:2], dtype=torch.long, device=self._device)
        counts = [[1] * len(row) + [0] * (longest - len(row)) for row in rows]
        mask = torch.cat([pictures, torch.tensor(counts, device=self._device)], dim=1)
        encoder = self._model.model.language_model.encoder
        hidden = encoder(inputs_embeds=torch.cat([seen, words], dim=1), attention_mask=mask)
        return hidden.last_hidden_state, mask

    def _features(self, images: Sequence[Image]) -> list[Float[Tensor, "n d"]]:
        """Features of pictures, from the shared cache where it has them."""
        cache, packing = shared_cache(), pack_tensor(self._device)
        keys: list[Hashable] = [(*self._key, image_key(image)) for image in images]
        return [
            cache.get_or_make(key, lambda image=image: self._encoded(image), packing=packing)  # type: ignore[misc]
            for key, image in zip(keys, images, strict=True)
        ]

    def _encoded(self, image: Image) -> Float[Tensor, "n d"]:
        batch = prepare_pixels([image.pixels], self._rule, device=self._device, dtype=self._dtype)
        features: Tensor = self._model.get_image_features(batch.values).pooler_output
        return features[0]

    def _chances(
        self, hidden: Tensor, mask: Int[Tensor, "b n"], written: Int[Tensor, "b t"]
    ) -> Float[Tensor, "b s"]:
        """The probability that the model gave to each token after the first."""
        states = self._model.model(
            encoder_outputs=self._encoded_as(last_hidden_state=hidden),
            attention_mask=mask,
            decoder_input_ids=written[:, :-1],
        ).last_hidden_state
        chances = []
        for state, ids in zip(states, written[:, 1:], strict=True):
            # Answer by answer: the logits of a whole batch would fill gigabytes.
            logits = self._model.lm_head(state).float()
            chosen = logits.gather(1, ids[:, None])[:, 0]
            chances.append((chosen - logits.logsumexp(dim=1)).exp())
        return torch.stack(chances)

    def _said(self, ids: Float64Row, chances: Float64Row) -> _Said:
        """The text of an answer, and the mean probability of each place in it."""
        tokens: list[int] = ids.long().tolist()
        text = self._tokenizer.decode(
            tokens, skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        places: dict[tuple[int, ...], float] = {}
        run: list[tuple[int, float]] = []
        every: list[float] = []
        for token, chance in [*zip(tokens, chances.tolist(), strict=True), (-1, 0.0)]:
            if token in self._bins:
                run.append((self._bins[token], chance))
                every.append(chance)
                continue
            for four in (run[i : i + 4] for i in range(0, len(run) - 3, 4)):
                (x0, a), (y0, b), (x1, c), (y1, d) = four
                corners = min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)
                places.setdefault(corners, (a + b + c + d) / 4)
            run = []
        mean = sum(every) / len(every) if every else 0.0
        return _Said(text=text, places=places, mean=mean)

    def _result(
        self, request: DetectRequest, faults: dict[int, str], said: Iterator[_Said]
    ) -> DetectResult:
        rows: list[_Row] = []
        notes: list[str] = []
        for index, phrase in enumerate(request.phrases):
            if index in faults:
                continue
            answer = next(said)
            text = _outlined(answer.text) if self._options.task == "segment" else answer.text
            found = parse(text, dialect="florence-2", size=(_BINS, _BINS))
            here = [
                row
                for mention in found.mentions
                if mention.located is not None
                for row in self._rows(mention.located, answer, index, request.image.size)
            ]
            rows += here
            notes += [note for note in [_note(phrase, answer.text, found, here)] if note]
        masks = self._options.task == "segment"
        scored = Scored(
            boxes=torch.tensor([row.box for row in rows]).reshape(-1, 4),
            scores=torch.tensor([row.score for row in rows]),
            phrase_ids=torch.tensor([row.phrase for row in rows], dtype=torch.long),
            masks=tuple(row.mask for row in rows if row.mask) if masks else None,
            cannot=faults,
            note="; ".join(notes[:3]),
        )
        least = request.thresholds or (self._options.threshold,) * len(request.phrases)
        result = result_of(request, scored, source="florence2", thresholds=least)
        return to_device(result, self._device)

    def _rows(
        self, located: Located, answer: _Said, phrase: int, size: tuple[int, int]
    ) -> Iterator[_Row]:
        """Regions of a place that was written, in pixels of the image."""
        scale = np.array(size * 2) / _BINS
        if self._options.task == "segment":
            mask = _mask_of(located, size)
            if mask is not None:
                box = tuple(map(float, bounding_box(mask)))
                yield _Row(box=box, score=answer.mean, phrase=phrase, mask=mask)
            return
        for corners in located.boxes:
            cells = np.floor(corners)
            score = answer.places.get(tuple(map(int, cells)), answer.mean)
            # The middle of a cell, as the model's own processor decodes it.
            yield _Row(box=tuple((cells + 0.5) * scale), score=score, phrase=phrase)

    def _surveyed(self, image: Image, said: _Said, *, named: bool) -> Regions:
        found = parse(said.text, dialect="florence-2", size=(_BINS, _BINS))
        mentions = [mention for mention in found.mentions if mention.located is not None]
        words = [mention.phrase for mention in mentions] if named else []
        table = tuple(dict.fromkeys(words))
        rows: list[_Row] = []
        for mention in mentions:
            index = table.index(mention.phrase) if named else -1
            if mention.located is not None:
                rows += self._rows(mention.located, said, index, image.size)
        request = DetectRequest(image=image, phrases=table)
        scored = Scored(
            boxes=torch.tensor([row.box for row in rows]).reshape(-1, 4),
            scores=torch.tensor([row.score for row in rows]),
            phrase_ids=torch.tensor([row.phrase for row in rows], dtype=torch.long),
            cannot={},
        )
        result = result_of(request, scored, source="florence2", thresholds=(0.0,) * len(table))
        return to_device(result, self._device).candidates or result.regions


Float64Row = Float[Tensor, " t"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Question:
    image: Image
    prompt: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    """An answer: its text, the mean probability of each place by its corners, and of all."""

    text: str
    places: dict[tuple[int, ...], float]
    mean: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    box: tuple[float, ...]
    score: float
    phrase: int
    mask: RleMask | None = None


def _outlined(text: str) -> str:
    """Mark an outline that the model wrote without its tags, as it does where there is one."""
    first, last = text.find("<loc_"), text.rfind("<loc_")
    if first < 0 or "<poly>" in text:
        return text
    end = text.find(">", last) + 1 or len(text)
    return f"{text[:first]}<poly>{text[first:end]}</poly>{text[end:]}"


def _mask_of(located: Located, size: tuple[int, int]) -> RleMask | None:
    """The polygons of a place as one mask of the image, None where they hold no pixel."""
    scale = np.array(size) / _BINS
    outlines: list[Float64[np.ndarray, " k"]] = [
        ((np.floor(polygon) + 0.5) * scale).ravel()
        for polygon in located.polygons
        if len(polygon) >= 3
    ]
    if not outlines:
        return None
    mask = from_polygons([outline.tolist() for outline in outlines], (size[1], size[0]))
    x0, y0, x1, y1 = bounding_box(mask)
    return mask if x1 > x0 and y1 > y0 else None


def _note(phrase: str, text: str, found: GroundedText, rows: Sequence[_Row]) -> str:
    """What a user must know of an answer, or nothing."""
    if not rows:
        return f"for {phrase[:80]!r} it wrote no place that can be read: {text[:80]!r}"
    faults = [p for p in found.problems if p.kind is not ProblemKind.NOTHING]
    if not faults:
        return ""
    return f"of its answer for {phrase[:80]!r}, {len(faults)} could not be read as written"


def _bins_of(vocabulary: dict[str, int], folder: Path) -> dict[int, int]:
    """The number of each place by its token."""
    missing = [i for i in range(_BINS) if f"<loc_{i}>" not in vocabulary]
    if missing:
        raise InputError(
            f"{_WHO}: the tokenizer in {folder} lacks {len(missing)} of the {_BINS} places, such "
            f"as <loc_{missing[0]}>; is it that of Florence-2?"
        )
    return {vocabulary[f"<loc_{i}>"]: i for i in range(_BINS)}


def _rule_of(folder: Path) -> PixelRule:
    """How the checkpoint wants its pictures: stretched to a square."""
    settings: dict[str, Any] = {}
    for name in ("preprocessor_config.json", "processor_config.json"):
        if (folder / name).is_file():
            read = read_settings(folder / name, who=_WHO)
            settings = read.get("image_processor") or read
            break
    size = settings.get("size") or {"height": 768, "width": 768}
    if not isinstance(size, dict) or size.get("height") != size.get("width"):
        raise InputError(f"{_WHO}: {folder}: expected a square size of pictures, got {size}")
    rule = PixelRule(fit="stretch", size=size["height"], filter="bicubic")
    mean, std = settings.get("image_mean") or rule.mean, settings.get("image_std") or rule.std
    return replace(rule, mean=_colour(mean, folder), std=_colour(std, folder))


def _colour(stated: object, folder: Path) -> tuple[float, float, float]:
    numbers = [float(x) for x in stated if isinstance(x, int | float)] if _is_list(stated) else []
    if len(numbers) != 3:
        raise InputError(f"{_WHO}: {folder}: expected 3 numbers a colour, got {stated!r}")
    return numbers[0], numbers[1], numbers[2]


def _is_list(thing: object) -> TypeGuard[Sequence[object]]:
    return isinstance(thing, list | tuple)
