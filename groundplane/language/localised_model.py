"""A language model that picks regions: an expert proposes, the model answers with their indices.

Regions come from the prompt, or from an expert that is asked before the model. The model gets them
as rows of its own input (`localised_engine`), or as a line of plain text, which any model takes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor

from groundplane.core.detection import DetectResult
from groundplane.core.errors import InputError
from groundplane.core.features import Encoder
from groundplane.core.image import Image
from groundplane.core.regions import Regions
from groundplane.core.session import (
    Event,
    Failed,
    Ground,
    LanguageModel,
    Need,
    Prompt,
    Resolved,
    Session,
)
from groundplane.core.session_notes import Note
from groundplane.language.constraints import Constraint
from groundplane.language.family import Prepared
from groundplane.language.in_process import Engine, InProcessSession
from groundplane.language.index_constraints import index_constraint
from groundplane.language.localised import (
    LocalisedTokens,
    Selection,
    listed,
    nearest_index,
    select_regions,
)
from groundplane.language.mark_choice import candidates_of
from groundplane.language.spans import encode

__all__ = ["EngineModel", "LocalisedModel", "localised_engine"]

_WHO = "localised model"
_NAME = "proposals"
_SELECTION = Selection()
# A box that a user draws, in Groma's words: centre, width and height as shares of the image.
_SHARE = r"\s*((?:0?\.\d+)|0|1|1\.0+|0\.0+)\s*"
_DRAWN = re.compile(rf"\[{','.join([_SHARE] * 4)}\]")
_INDEX = re.compile(r"<(?=r\d+>)")


class LocalisedModel:
    """Asks an expert for regions, then the model, which picks from them.

    A box in the question, `[0.50,0.50,0.20,0.40]` (centre, width and height as shares of the
    first image), joins the regions, and its index stands in the question instead.

    Args:
        model: It reads the dialect `groma`.
        selection: Which proposals get an index.
        told: Whether the regions are told in words; not where the model sees them as rows.

    Examples:
        >>> from groundplane.testing.language_models import ScriptedModel, picture
        >>> model = LocalisedModel(ScriptedModel([]))
        >>> prompt = Prompt(text="Where is the dog?", images=(picture(8, 8),))
        >>> [type(event).__name__ for event in model.open([prompt]).step([])]
        ['Ground', 'Need']
        >>> model.open([]).step([])
        []
    """

    def __init__(
        self, model: LanguageModel, *, selection: Selection = _SELECTION, told: bool = True
    ) -> None:
        self._model, self._selection, self._told = model, selection, told

    def open(self, prompts: Sequence[Prompt]) -> Session:
        """Begin a session: sequence i answers `prompts[i]`."""
        return _Session(self._model, prompts, self._selection, told=self._told)


class _Session:
    def __init__(
        self, model: LanguageModel, prompts: Sequence[Prompt], selection: Selection, *, told: bool
    ) -> None:
        self.model, self.prompts, self.selection = model, tuple(prompts), selection
        self.told, self.begun = told, False
        self.inner: Session | None = None
        self.waiting: set[int] = set()
        self.stopped: set[int] = set()

    def step(self, resolutions: Sequence[Resolved | Failed]) -> list[Event]:
        """Take what the expert proposed; let the model go on once all have their regions."""
        events: list[Event] = [] if self.begun else self._ask()
        self.begun = True
        given: list[Resolved | Failed] = []
        for outcome in resolutions:
            if outcome.request == _NAME:
                events += self._take(outcome)
            else:
                given.append(outcome)
        if self.waiting or not self.prompts:
            return events
        if self.inner is None:
            shown = [self._shown(prompt) for prompt in self.prompts]
            self.inner = self.model.open(shown)
            for sequence in self.stopped:
                self._stop(sequence)
        return [*events, *self.inner.step(given)]

    def stop(self, sequence: int) -> None:
        """The sequence was ended from outside."""
        self.waiting.discard(sequence)
        self.stopped.add(sequence)
        self._stop(sequence)

    def close(self) -> None:
        """The run is over."""
        if callable(close := getattr(self.inner, "close", None)):
            close()

    def _stop(self, sequence: int) -> None:
        if callable(stop := getattr(self.inner, "stop", None)):
            stop(sequence)

    def _ask(self) -> list[Event]:
        events: list[Event] = []
        for index, prompt in enumerate(self.prompts):
            phrases = candidates_of(prompt) if prompt.images and not prompt.regions else ()
            if phrases:
                self.waiting.add(index)
                events.append(Ground(sequence=index, request=_NAME, phrases=phrases))
                events.append(Need(sequence=index, requests=(_NAME,)))
        return events

    def _take(self, outcome: Resolved | Failed) -> list[Event]:
        self.waiting.discard(outcome.sequence)
        if isinstance(outcome, Failed):
            detail = f"{outcome.kind}: {outcome.message}"
            return [Note(sequence=outcome.sequence, name=_NAME, detail=detail)]
        found = cast(DetectResult, outcome.value).regions
        prompts = list(self.prompts)
        prompts[outcome.sequence] = replace(prompts[outcome.sequence], regions=(found,))
        self.prompts = tuple(prompts)
        return []

    def _shown(self, prompt: Prompt) -> Prompt:
        """The prompt as the model gets it: with the regions that have an index."""
        if not prompt.images:
            return prompt
        image = prompt.images[0]
        given = prompt.regions[0] if prompt.regions else None
        proposals = given if isinstance(given, Regions) else _none(image)
        text = _INDEX.sub("< ", prompt.text)  # what a user writes is no index
        parts = [(match, _box(match, image)) for match in _DRAWN.finditer(text)]
        drawn = [(match, box) for match, box in parts if bool((box[2:] > box[:2]).all())]
        boxes = torch.stack([box for _, box in drawn]) if drawn else None
        chosen = select_regions(proposals, boxes, selection=self.selection)
        for match, box in reversed(drawn):
            index = f"<r{nearest_index(box, chosen)}>"
            text = f"{text[: match.start()]}{index}{text[match.end() :]}"
        if self.told:
            text = f"{listed(chosen)}\n{text}"
        return replace(prompt, text=text, regions=(chosen,))


def _none(image: Image) -> Regions:
    return Regions.empty(phrases=(), image_size=image.size)


def _box(match: re.Match[str], image: Image) -> Float[Tensor, " 4"]:
    """A box that a question holds, pixels of the image."""
    x, y, w, h = (float(number) for number in match.groups())
    corners = torch.tensor([x - w / 2, y - h / 2, x + w / 2, y + h / 2])
    sides = torch.tensor([*image.size, *image.size], dtype=torch.float32)
    return corners.clamp(0, 1) * sides


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EngineModel:
    """A model in this process as it is run; a `LanguageModel`.

    Attributes:
        engine: The model and how it is run.
    """

    engine: Engine

    def open(self, prompts: Sequence[Prompt]) -> InProcessSession:
        """Begin a session: sequence i answers `prompts[i]`."""
        return InProcessSession(self.engine, prompts)


def localised_engine(engine: Engine, encoder: Encoder, tokens: LocalisedTokens) -> Engine:
    """The engine of a model that sees regions as rows, `<r0>` feature `<r1>` feature ...

    They stand right behind the picture. In its answer only indices of the prompt's regions can
    be picked.

    Args:
        engine: Of the dialect `groma`, or another that picks regions.
        encoder: Gives the features; its width is what the tokens are made for.
        tokens: Of one level, in the width of the language model.

    Raises:
        InputError: If its positions are not simply counted, it knows no picture token, or the
            dialect picks no regions.
    """
    spoken, family = engine.dialect, engine.decoder.family
    if spoken is None or spoken.kind != "indices":
        name = spoken.name if spoken is not None else ""
        raise InputError(f"{_WHO}: expected a dialect that picks regions, got {name!r}")
    if family.places == "rope" or family.encoder_decoder or not engine.banned:
        raise InputError(
            f"{_WHO}: family {family.name!r}: rows can be put behind a picture only where one "
            "token stands for it and positions are counted. Try: the regions in words"
        )
    tokenizer, dialect = engine.tokenizer, spoken

    def constrain(prompt: Prompt) -> Constraint | None:
        regions = _regions(prompt)
        if regions is None:
            return None
        return index_constraint(
            dialect,
            range(len(regions)),
            encode=lambda text: tokenizer.encode(text, add_special_tokens=False),
            spell=tokenizer.decode,
        )

    prepare = _Rows(engine=engine, encoder=encoder, tokens=tokens, before=engine.prepare)
    return replace(engine, prepare=prepare, constrain=constrain)


def _regions(prompt: Prompt) -> Regions | None:
    """The regions of a prompt, if it has any."""
    given = prompt.regions[0] if prompt.regions else None
    return given if isinstance(given, Regions) and len(given) else None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Rows:
    """From a prompt to inputs in which its regions stand behind the picture."""

    engine: Engine
    encoder: Encoder
    tokens: LocalisedTokens
    before: Callable[[Prompt], Prepared]

    @torch.no_grad()
    def __call__(self, prompt: Prompt) -> Prepared:
        prepared, regions = self.before(prompt), _regions(prompt)
        if regions is None:
            return prepared
        ids, places = self._spelled(len(regions))
        given = prepared.inputs["input_ids"]
        pictures = torch.isin(given[0], torch.tensor(self.engine.banned)).nonzero()
        if not len(pictures):
            raise InputError(f"{_WHO}: no token of a picture stands in the prompt")
        at = int(pictures[-1]) + 1
        inputs = _widened(prepared.inputs, torch.tensor([ids]), at)
        table = self.engine.decoder.model.get_input_embeddings()
        rows: Tensor = table(inputs["input_ids"].to(self.engine.decoder.device)).clone()
        grid = self.encoder.encode([prompt.images[0]])
        made = self.tokens.features([grid], regions.boxes)
        rows[0, torch.tensor(places, device=rows.device) + at] = made.to(rows)
        return replace(prepared, inputs={**inputs, "inputs_embeds": rows})

    def _spelled(self, count: int) -> tuple[list[int], list[int]]:
        """The tokens of the regions, and which of them are features."""
        tokenizer = self.engine.tokenizer
        tags = {f"<r{index}>" for index in range(count)}
        ids, places = encode(tokenizer, "Regions: "), []
        for index in range(count):
            ids += encode(tokenizer, f"<r{index}>", tags=tags)
            places.append(len(ids))
            ids.append(tokenizer.pad_token_id or 0)  # a row of features stands here
        return [*ids, *encode(tokenizer, ".\n")], places


def _widened(inputs: Any, ids: Tensor, at: int) -> dict[str, Any]:
    """Inputs with more tokens in the middle; every row as long as the tokens grows with them."""
    shape = tuple(inputs["input_ids"].shape)
    wider = dict(inputs)
    for name, value in inputs.items():
        if isinstance(value, Tensor) and tuple(value.shape) == shape:
            fill = ids if name == "input_ids" else torch.full_like(ids, name == "attention_mask")
            wider[name] = torch.cat([value[:, :at], fill.to(value), value[:, at:]], dim=1)
    return wider
