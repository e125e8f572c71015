"""A model in this process with all that it is run by: what plugins of such models share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, get_args

from groundplane.core.errors import InputError, listing
from groundplane.core.session import LanguageModel, Prompt, Session
from groundplane.grounding.dialects import dialect
from groundplane.grounding.dialects.grammar import Dialect
from groundplane.language.constraints import Constraint
from groundplane.language.decoding import Decoder, longest_context
from groundplane.language.dialect_triggers import dialect_tags
from groundplane.language.family import Family, Prepared
from groundplane.language.in_process import Engine, InProcessSession
from groundplane.language.routes import check_route, routed
from groundplane.language.sampling import Sampling
from groundplane.language.spans import special_tokens
from groundplane.language.telling import Inject
from groundplane.language.triggers import Trigger

__all__ = ["LocalModel", "LocalTerms"]

# Settings of configurations that name the placeholders of pictures and films.
_PLACEHOLDERS = ("image_token_id", "image_token_index", "video_token_id", "video_token_index")


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalTerms:
    """How a model in this process answers.

    Attributes:
        who: Names the plugin in messages.
        sampling: How tokens are chosen.
        max_tokens: Most tokens of the model's own in an answer.
        chunk: Tokens a step at most.
        dialect: How its text says where things are; empty: as its family was trained.
        route: Who finds the places; empty: `own` where there is a dialect, else `after`.
        inject: See `Inject`.
        state_offset: The hidden state of a tag is the one at it (0) or the one that it is
            foretold by (-1).

    Raises:
        InputError: If a value is out of range or unknown.

    Examples:
        >>> LocalTerms(who="language model 'mine'", sampling=Sampling()).chunk
        8
    """

    who: str
    sampling: Sampling
    max_tokens: int = 256
    chunk: int = 8
    dialect: str = ""
    route: str = ""
    inject: str = "append"
    state_offset: int = 0

    def __post_init__(self) -> None:
        for name, most in (("max_tokens", 1_000_000), ("chunk", 4096)):
            value = getattr(self, name)
            if not 1 <= value <= most:
                raise InputError(f"{self.who}: option {name}: expected 1 to {most}, got {value}")
        if self.dialect:
            dialect(self.dialect)  # refuses an unknown one, with those that are known
        if self.route:
            check_route(self.route, who=self.who)
        if self.inject not in get_args(Inject):
            raise InputError(
                f"{self.who}: option inject: expected one of {listing(get_args(Inject))}, "
                f"got {self.inject!r}"
            )
        if self.state_offset not in (0, -1):
            raise InputError(
                f"{self.who}: option state_offset: expected 0 or -1, got {self.state_offset}"
            )


class LocalModel:
    """A model of transformers, its processor and its family: a `LanguageModel`.

    Args:
        model: In evaluation mode.
        processor: It has a `tokenizer`.
        family: What is particular about the model.
        terms: How it answers.

    Attributes:
        engine: What its sessions share.
    """

    def __init__(self, model: Any, processor: Any, family: Family, terms: LocalTerms) -> None:
        name = terms.dialect or family.dialect
        self._route = check_route(terms.route or ("own" if name else "after"), who=terms.who)
        spoken = dialect(name) if name and self._route == "own" else None
        self.engine = _engine(model, processor, family, terms=terms, spoken=spoken)
        self._outer = routed(_Alone(self.engine), self._route)

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
        return routed(_Alone(engine), self._route)


class _Alone:
    """The model without its route."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def open(self, prompts: Sequence[Prompt]) -> InProcessSession:
        return InProcessSession(self._engine, prompts)


def _engine(
    model: Any, processor: Any, family: Family, *, terms: LocalTerms, spoken: Dialect | None
) -> Engine:
    tokenizer = processor.tokenizer
    inject: Inject = "append"
    for one in get_args(Inject):
        inject = one if one == terms.inject else inject
    seeing = family.seeing(processor, spoken.name if spoken is not None else "")
    return Engine(
        decoder=Decoder(model, family, states=spoken is not None and spoken.kind == "states"),
        tokenizer=tokenizer,
        prepare=partial(
            _prepare,
            family,
            seeing,
            model,
            grounded=spoken is not None and spoken.name == family.dialect,
        ),
        dialect=spoken,
        spelled=spoken is None or not _all_special(spoken, tokenizer),
        inject=inject,
        sampling=terms.sampling,
        ends=_ends(model, tokenizer, family),
        banned=_placeholders(model.config),
        context=longest_context(model.config),
        max_tokens=terms.max_tokens,
        chunk=terms.chunk,
        state_offset=terms.state_offset,
    )


def _prepare(
    family: Family, processor: Any, model: Any, prompt: Prompt, *, grounded: bool
) -> Prepared:
    """The prompt's inputs; asked for places as the family was trained, where there are pictures."""
    if grounded and prompt.images:
        text = family.grounded.replace("{question}", prompt.text)
        prompt = replace(prompt, text=text)
    return family.prepare(processor, model, prompt)


def _all_special(spoken: Dialect, tokenizer: Any) -> bool:
    """Whether every tag that a place needs is a token of its own."""
    syntax = spoken.syntax
    tags = {tag for pair in syntax.phrases for tag in pair} | set(syntax.states)
    tags |= {s for k in syntax.enclosed if not k.chars and k.role == "place"
             for s in (k.open, k.close)}  # fmt: skip
    return bool(tags) and tags <= set(special_tokens(tokenizer, dialect_tags(spoken)).values())


def _ends(model: Any, tokenizer: Any, family: Family) -> frozenset[int]:
    told = model.generation_config.eos_token_id
    ends = set(told if isinstance(told, list) else [] if told is None else [told])
    if tokenizer.eos_token_id is not None:
        ends.add(tokenizer.eos_token_id)
    vocabulary = tokenizer.get_vocab()
    ends |= {vocabulary[word] for word in family.ends if word in vocabulary}
    return frozenset(ends)


def _placeholders(config: Any) -> tuple[int, ...]:
    """Tokens that stand for pictures: behind one that the model says there would be none."""
    found = (getattr(config, name, None) for name in _PLACEHOLDERS)
    # Some models have them beyond their vocabulary, where they cannot be said at all.
    words = getattr(config.get_text_config(decoder=True), "vocab_size", None)
    said = (n for n in found if isinstance(n, int) and (words is None or n < words))
    return tuple(sorted(set(said)))
