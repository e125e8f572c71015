"""The planner: a language model that needs no weights.

It reads the question with a grammar, asks for what it needs like any other model (`Ground`,
`Query`), and words the answer. It understands the forms that `groundplane.spatial.questions`
knows and says so of any other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch

from groundplane.core.answer import Answer
from groundplane.core.lexicon import canonical, match_phrase, normalise
from groundplane.core.queries import phrases_of, selects_anything
from groundplane.core.session import (
    Done,
    Event,
    Failed,
    Ground,
    Need,
    Prompt,
    Query,
    Resolved,
    Text,
)
from groundplane.spatial.questions.parser import (
    NotUnderstoodError,
    ParsedQuestion,
    parse_question,
)
from groundplane.spatial.wording import word_answer
from groundplane.spatial.wording_chinese import word_chinese

__all__ = ["Planner", "PlannerOptions"]

_GROUND, _QUERY = "ground", "query"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannerOptions:
    """The planner has no options."""


class Planner:
    """A `language_models` plugin that parses instead of predicting."""

    Options = PlannerOptions

    def __init__(
        self,
        options: PlannerOptions | None = None,
        *,
        device: str = "cpu",
        dtype: torch.dtype | None = None,
    ) -> None:
        del options, device, dtype

    def open(self, prompts: Sequence[Prompt]) -> PlannerSession:
        """Begin a session: sequence i answers `prompts[i]`."""
        return PlannerSession(prompts)


class PlannerSession:
    """One batch of questions."""

    def __init__(self, prompts: Sequence[Prompt]) -> None:
        self._prompts = tuple(prompts)
        self._parsed: dict[int, ParsedQuestion] = {}
        self._started = False

    def step(self, resolutions: Sequence[Resolved | Failed]) -> list[Event]:
        """First ask for what is needed, then word what came back."""
        events: list[Event] = []
        if not self._started:
            self._started = True
            for sequence, prompt in enumerate(self._prompts):
                events += self._ask(sequence, prompt)
        for resolution in resolutions:
            events += self._say(resolution)
        return events

    def _ask(self, sequence: int, prompt: Prompt) -> list[Event]:
        try:
            parsed = parse_question(
                prompt.text, choices=prompt.choices, nouns=prompt.vocabulary or ()
            )
        except NotUnderstoodError as error:
            told = str(error)
            return [
                Text(sequence=sequence, text=told[:1].upper() + told[1:]),
                Done(sequence=sequence, finish="not_understood"),
            ]
        self._parsed[sequence] = parsed
        events: list[Event] = []
        on: tuple[str, ...] = ()
        if prompt.images:
            phrases = _phrases(parsed, prompt.vocabulary)
            events.append(Ground(sequence=sequence, request=_GROUND, phrases=phrases))
            on = (_GROUND,)
        query = Query(sequence=sequence, request=_QUERY, expression=parsed.expression, on=on)
        return [*events, query, Need(sequence=sequence, requests=(_QUERY,))]

    def _say(self, resolution: Resolved | Failed) -> list[Event]:
        sequence = resolution.sequence
        if resolution.request != _QUERY or sequence not in self._parsed:
            return []
        parsed = self._parsed.pop(sequence)
        if isinstance(resolution, Failed) or not isinstance(resolution.value, Answer):
            why = resolution.message if isinstance(resolution, Failed) else "no answer came back"
            return [
                Text(sequence=sequence, text=f"This could not be answered: {why.rstrip('.')}."),
                Done(sequence=sequence, finish="broken"),
            ]
        word = word_chinese if parsed.language == "zh" else word_answer
        pieces = word(parsed.expression, resolution.value)
        told = [Text(sequence=sequence, text=p.text, refers=p.refers) for p in pieces if p.text]
        return [*told, Done(sequence=sequence)]


def _phrases(parsed: ParsedQuestion, vocabulary: Iterable[str] | None) -> tuple[str, ...]:
    """What to look for: the question's phrases, or all that the expert knows if any thing will do.

    Two wordings of one thing are sent once, or its regions would come twice.
    """
    words = tuple(vocabulary or ())
    found = reversed(phrases_of(parsed.expression))
    named = {canonical(phrase): normalise(phrase) for phrase in found}
    asked = tuple(reversed(named.values()))
    if not selects_anything(parsed.expression):
        return asked
    new = [phrase for phrase in asked if match_phrase(phrase, words) is None]
    return (*words, *new)
