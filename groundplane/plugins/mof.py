"""A mixture-of-features model as a language model: it answers questions about pictures.

What it says is told as it is generated, some tokens a step. Where it was trained to write places
or grounding tokens, its dialect says how to read them: boxes of its own become `Locate`, a phrase
that it leaves to an expert becomes `Ground`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from groundplane.core.answer import Mention
from groundplane.core.errors import InputError
from groundplane.core.image import FrameMap
from groundplane.core.session import (
    Done,
    Event,
    Failed,
    Ground,
    Locate,
    Prompt,
    Resolved,
    Text,
)
from groundplane.core.views import view_frame
from groundplane.core.weights import find_weights, need_library
from groundplane.grounding.dialects import dialect
from groundplane.grounding.scanner import Scanner

__all__ = ["MofLanguageModel", "MofOptions", "MofSession"]

_WHO = "language model 'mof'"
# How the decoder writes bytes that are no whole sign yet.
_PART = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True, slots=True, kw_only=True)
class MofOptions:
    """Options of `MofLanguageModel`.

    Attributes:
        weights: A folder with a model and its processor, as they save themselves, or a hub id.
        encoders: Of a model that was saved without its towers: the folders of the encoders'
            weights, in the order of fusion.
        revision: Commit of the hub id, 40 hexadecimal digits.
        offline: Whether to take fetched weights only.
        max_tokens: Most tokens of an answer.
        chunk: Tokens a step.
        dialect: How its text says where things are; empty: it does not.

    Raises:
        InputError: If a value is out of range or the dialect is unknown.
    """

    weights: str
    encoders: tuple[str, ...] = ()
    revision: str = ""
    offline: bool = False
    max_tokens: int = 256
    chunk: int = 8
    dialect: str = ""

    def __post_init__(self) -> None:
        for name, most in (("max_tokens", 1_000_000), ("chunk", 4096)):
            value = getattr(self, name)
            if not 1 <= value <= most:
                raise InputError(f"{_WHO}: option {name}: expected 1 to {most}, got {value}")
        if self.dialect:
            dialect(self.dialect)  # refuses an unknown one, with those that are known


class MofLanguageModel:
    """A `language_models` plugin over a `MofForConditionalGeneration`. Greedy.

    Args:
        options: See `MofOptions`.
        device: Where it runs.
        dtype: Its number type; None: float32 on a CPU, bfloat16 on CUDA.

    Raises:
        PluginBrokenError: If transformers is not installed.
        WeightsError: If the weights are not there, or are refused.
    """

    Options = MofOptions

    def __init__(
        self, options: MofOptions, *, device: str = "cpu", dtype: torch.dtype | None = None
    ) -> None:
        need_library("transformers", who=_WHO, extra="mof")
        from groundplane.mof.loading import load_mof

        folder = find_weights(
            options.weights, revision=options.revision, offline=options.offline, who=_WHO
        )
        self._options = options
        self._device = torch.device(device)
        self._model, self._processor = load_mof(
            folder, options.encoders, who=_WHO, device=device, dtype=dtype
        )

    def open(self, prompts: Sequence[Prompt]) -> MofSession:
        """Begin a session: sequence i answers `prompts[i]`."""
        return MofSession(
            self._model, self._processor, prompts, options=self._options, device=self._device
        )


@dataclass(slots=True, eq=False, kw_only=True)
class _Sequence:
    """What one sequence has said so far."""

    index: int
    ids: list[int] = field(default_factory=list)
    told: int = 0
    asked: int = 0
    scanner: Scanner | None = None
    done: bool = False


class MofSession:
    """One batch of questions; the pictures are encoded with the first step."""

    def __init__(
        self,
        model: Any,
        processor: Any,
        prompts: Sequence[Prompt],
        *,
        options: MofOptions,
        device: torch.device,
    ) -> None:
        self._model, self._processor, self._options = model, processor, options
        self._prompts, self._device = tuple(prompts), device
        self._sequences = [self._begin(i, prompt) for i, prompt in enumerate(self._prompts)]
        self._ends = _ends(model)
        self._decoding: Any = None

    def step(self, resolutions: Sequence[Resolved | Failed]) -> list[Event]:
        """Generate some tokens of every sequence that goes on; results change nothing of them."""
        del resolutions
        live = [sequence for sequence in self._sequences if not sequence.done]
        if not live:
            return []
        if self._decoding is None:
            self._decoding = self._decode()
        room = self._options.max_tokens - len(live[0].ids)
        chunk: list[list[int]] = self._decoding.advance(min(self._options.chunk, room)).tolist()
        return [event for sequence in live for event in self._say(sequence, chunk[sequence.index])]

    def _begin(self, index: int, prompt: Prompt) -> _Sequence:
        scanner = None
        if self._options.dialect and prompt.images:
            frame = view_frame(self._processor.view, prompt.images[0].size)
            scanner = Scanner(dialect(self._options.dialect), frame)
        return _Sequence(index=index, scanner=scanner)

    def _decode(self) -> Any:
        from groundplane.mof.decoding import Decoding

        texts = [self._worded(prompt) for prompt in self._prompts]
        batch = self._processor(texts, [prompt.images for prompt in self._prompts])
        return Decoding(self._model, batch.to(self._device))

    def _worded(self, prompt: Prompt) -> str:
        """The question as the model was trained to be asked: pictures first, unless placed."""
        question = "\n".join([prompt.text, *prompt.choices])
        placed = question.count(self._processor.image_token)
        parts = [] if placed else [{"type": "image"} for _ in prompt.images]
        content = [*parts, {"type": "text", "text": question}]
        return str(self._processor.apply_chat_template([{"role": "user", "content": content}]))

    def _say(self, sequence: _Sequence, ids: Sequence[int]) -> list[Event]:
        """What the next tokens of a sequence tell."""
        kept = next((i for i, token in enumerate(ids) if token in self._ends), len(ids))
        sequence.ids += ids[:kept]
        ended = kept < len(ids)
        sequence.done = ended or len(sequence.ids) >= self._options.max_tokens
        text = self._processor.decode(sequence.ids)
        # A sign whose bytes are not all there yet is held back; so is all that could change.
        whole = text if sequence.done else text.rstrip(_PART)
        piece = whole[sequence.told :]
        sequence.told += len(piece)
        events = self._read(sequence, piece)
        if sequence.done:
            finish = "complete" if ended else "length"
            events.append(Done(sequence=sequence.index, finish=finish))  # type: ignore[arg-type]
        return events

    def _read(self, sequence: _Sequence, piece: str) -> list[Event]:
        if sequence.scanner is None:
            return [Text(sequence=sequence.index, text=piece)] if piece else []
        found = sequence.scanner.feed(piece)
        if sequence.done:
            found = [*found, *sequence.scanner.close()]
        events: list[Event] = []
        for one in found:
            if isinstance(one, str):
                events.append(Text(sequence=sequence.index, text=one))
            elif isinstance(one, Mention):
                events += self._place(sequence, one)
        return events

    def _place(self, sequence: _Sequence, mention: Mention) -> list[Event]:
        """Where the model says that a phrase is, or the request to look for it."""
        located = mention.located
        if located is not None and len(located.boxes):
            return [
                Locate(
                    sequence=sequence.index,
                    boxes=located.boxes,
                    frame_map=FrameMap.identity(),  # the scanner gives the image's own pixels
                    span=mention.span,
                )
            ]
        if not mention.phrase:
            return []
        sequence.asked += 1
        return [
            Ground(
                sequence=sequence.index,
                request=f"ground-{sequence.asked}",
                phrases=(mention.phrase,),
                span=mention.span,
            )
        ]


def _ends(model: Any) -> frozenset[int]:
    """The tokens that end a text; some models have several."""
    told = model.generation_config.eos_token_id
    return frozenset(told if isinstance(told, list) else [] if told is None else [told])
