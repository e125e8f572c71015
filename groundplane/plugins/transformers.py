"""Multimodal language models of transformers, in this process, that ground in mid-sentence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, get_args

import torch

from groundplane.core.checkpoints import check_folder, read_settings
from groundplane.core.errors import InputError, WeightsError, listing
from groundplane.core.session import LanguageModel, Prompt, Session
from groundplane.core.weights import find_weights, load_model, load_processor, need_library
from groundplane.grounding.dialects import dialect
from groundplane.grounding.dialects.grammar import Dialect
from groundplane.language.constraints import Constraint
from groundplane.language.decoding import Decoder, longest_context
from groundplane.language.dialect_triggers import dialect_tags
from groundplane.language.families import family
from groundplane.language.family import Family, Prepared
from groundplane.language.in_process import Engine, InProcessSession
from groundplane.language.routes import check_route, routed
from groundplane.language.sampling import Sampling
from groundplane.language.spans import special_tokens
from groundplane.language.telling import Inject
from groundplane.language.triggers import Trigger

__all__ = ["TransformersLanguageModel", "TransformersOptions"]

_WHO = "language model 'transformers'"
# Settings of configurations that name the placeholders of pictures and films.
_PLACEHOLDERS = ("image_token_id", "image_token_index", "video_token_id", "video_token_index")


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformersOptions:
    """Options of `TransformersLanguageModel`.

    Attributes:
        weights: A folder with a model and its processor, or a hub id.
        revision: Commit of the hub id, 40 hexadecimal digits.
        offline: Whether to take fetched weights only.
        max_tokens: Most tokens of the model's own in an answer.
        chunk: Tokens a step at most.
        dialect: How its text says where things are; empty: as its family was trained.
        route: Who finds the places: `own` (the model, in its dialect), `after` (experts look for
            what its sentences name), `marks` (experts first, the model picks numbers), `none`;
            empty: `own` where there is a dialect, else `after`.
        inject: An expert's places behind a phrase (`append`), in the stead of the model's own
            (`replace`), or not told to the model (`none`).
        temperature: 0: greedy.
        top_p: See `Sampling`.
        top_k: See `Sampling`.
        seed: See `Sampling`.
        state_offset: The hidden state of a tag such as `[SEG]` is the one at it (0) or the one
            that it is foretold by (-1).

    Raises:
        InputError: If a value is out of range or unknown.
    """

    weights: str
    revision: str = ""
    offline: bool = False
    max_tokens: int = 256
    chunk: int = 8
    dialect: str = ""
    route: str = ""
    inject: str = "append"
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int = 0
    state_offset: int = 0

    def __post_init__(self) -> None:
        for name, most in (("max_tokens", 1_000_000), ("chunk", 4096)):
            value = getattr(self, name)
            if not 1 <= value <= most:
                raise InputError(f"{_WHO}: option {name}: expected 1 to {most}, got {value}")
        if self.dialect:
            dialect(self.dialect)  # refuses an unknown one, with those that are known
        if self.route:
            check_route(self.route, who=_WHO)
        if self.inject not in get_args(Inject):
            raise InputError(
                f"{_WHO}: option inject: expected one of {listing(get_args(Inject))}, "
                f"got {self.inject!r}"
            )
        if self.state_offset not in (0, -1):
            raise InputError(
                f"{_WHO}: option state_offset: expected 0 or -1, got {self.state_offset}"
            )
        self.sampling()

    def sampling(self) -> Sampling:
        """How tokens are chosen."""
        return Sampling(
            temperature=self.temperature, top_p=self.top_p, top_k=self.top_k, seed=self.seed
        )


class TransformersLanguageModel:
    """A `language_models` plugin over the image-text-to-text models of transformers.

    Args:
        options: See `TransformersOptions`.
        device: Where it runs.
        dtype: Its number type; None: float32 on a CPU, bfloat16 on CUDA.

    Raises:
        PluginBrokenError: If transformers is not installed.
        WeightsError: If the weights are not there, or are refused.
        InputError: If the model is of no family that is known.
    """

    Options = TransformersOptions

    def __init__(
        self, options: TransformersOptions, *, device: str = "cpu", dtype: torch.dtype | None = None
    ) -> None:
        library = need_library("transformers", who=_WHO, extra="models")
        folder = find_weights(
            options.weights, revision=options.revision, offline=options.offline, who=_WHO
        )
        check_folder(folder, who=_WHO)
        if not (folder / "config.json").is_file():
            raise WeightsError(f"{_WHO}: {folder} has no config.json, which says what it is")
        settings = read_settings(folder / "config.json", who=_WHO)
        self._options, self._family = options, family(str(settings.get("model_type")))
        model_class = _class_of(library, self._family.name)
        model = load_model(model_class, folder, who=_WHO, device=device, dtype=dtype)
        processor = load_processor(library.AutoProcessor, folder, who=_WHO)
        self._model, self._processor = model, processor
        name = options.dialect or self._family.dialect
        route = options.route or ("own" if name else "after")
        self._route = check_route(route, who=_WHO)
        self._dialect = dialect(name) if name and self._route == "own" else None
        self.engine = self._engine()
        self._outer = routed(_Alone(self), self._route)

    def open(self, prompts: Sequence[Prompt]) -> Session:
        """Begin a session: sequence i answers `prompts[i]`; it is read with the first step."""
        return self._outer.open(prompts)

    def with_triggers(
        self,
        triggers: Sequence[Trigger] = (),
        *,
        constrain: Callable[[Prompt], Constraint | None] | None = None,
    ) -> LanguageModel:
        """The same model, which also asks by other stretches of its text.

        Args:
            triggers: What to look for, beside the phrases of its dialect.
            constrain: From a prompt to what its text may go on with.
        """
        engine = replace(self.engine, triggers=tuple(triggers), constrain=constrain)
        return routed(_Alone(self, engine), self._route)

    def _engine(self) -> Engine:
        options, spoken, tokenizer = self._options, self._dialect, self._processor.tokenizer
        states = spoken is not None and spoken.kind == "states"
        inject: Inject = "append"
        for one in get_args(Inject):
            inject = one if one == options.inject else inject
        name = spoken.name if spoken is not None else ""
        processor = self._family.seeing(self._processor, name)
        return Engine(
            decoder=Decoder(self._model, self._family, states=states),
            tokenizer=tokenizer,
            prepare=partial(
                _prepare, self._family, processor, self._model, grounded=spoken is not None
            ),
            dialect=spoken,
            spelled=spoken is None or not _all_special(spoken, tokenizer),
            inject=inject,
            sampling=options.sampling(),
            ends=_ends(self._model, tokenizer, self._family),
            banned=_placeholders(self._model.config),
            context=longest_context(self._model.config),
            max_tokens=options.max_tokens,
            chunk=options.chunk,
            state_offset=options.state_offset,
        )


class _Alone:
    """The model without its route."""

    def __init__(self, model: TransformersLanguageModel, engine: Engine | None = None) -> None:
        self._model, self._engine = model, engine

    def open(self, prompts: Sequence[Prompt]) -> InProcessSession:
        return InProcessSession(self._engine or self._model.engine, prompts)


def _class_of(library: Any, name: str) -> Any:
    config_class = library.CONFIG_MAPPING[name]
    return library.AutoModelForImageTextToText._model_mapping[config_class]


def _prepare(
    spoken: Family, processor: Any, model: Any, prompt: Prompt, *, grounded: bool
) -> Prepared:
    """The prompt's inputs; asked for places as the family was trained, where there are pictures."""
    if grounded and prompt.images:
        text = spoken.grounded.replace("{question}", prompt.text)
        prompt = replace(prompt, text=text)
    return spoken.prepare(processor, model, prompt)


def _all_special(spoken: Dialect, tokenizer: Any) -> bool:
    """Whether every tag that a place needs is a token of its own."""
    syntax = spoken.syntax
    tags = {tag for pair in syntax.phrases for tag in pair} | set(syntax.states)
    tags |= {s for k in syntax.enclosed if not k.chars and k.role == "place"
             for s in (k.open, k.close)}  # fmt: skip
    return bool(tags) and tags <= set(special_tokens(tokenizer, dialect_tags(spoken)).values())


def _ends(model: Any, tokenizer: Any, spoken: Family) -> frozenset[int]:
    told = model.generation_config.eos_token_id
    ends = set(told if isinstance(told, list) else [] if told is None else [told])
    if tokenizer.eos_token_id is not None:
        ends.add(tokenizer.eos_token_id)
    vocabulary = tokenizer.get_vocab()
    ends |= {vocabulary[word] for word in spoken.ends if word in vocabulary}
    return frozenset(ends)


def _placeholders(config: Any) -> tuple[int, ...]:
    """Tokens that stand for pictures: behind one that the model says there would be none."""
    found = (getattr(config, name, None) for name in _PLACEHOLDERS)
    return tuple(sorted({number for number in found if isinstance(number, int)}))
