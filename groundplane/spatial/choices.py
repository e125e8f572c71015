"""Multiple choice: which option an answer is."""

from __future__ import annotations

import re
from collections.abc import Sequence

from groundplane.core.answer import Answer, Value
from groundplane.core.lexicon import canonical, normalise

__all__ = ["choose"]


def choose(answer: Answer, choices: Sequence[str]) -> str | None:
    """The letter of the option that an answer is; None where none is, or where two are.

    A number takes the nearest number among the options.

    Examples:
        >>> choose(Answer(value="front-left"), ["back-left", "front-left"])
        'B'
        >>> choose(Answer(value=("tv", "sofa")), ["sofa, tv", "tv, sofa"])
        'B'
        >>> choose(Answer(value=2.4, unit="m"), ["1.1", "2.5", "4.0"])
        'B'
        >>> choose(Answer(value="lamp"), ["sofa", "tv"]) is None
        True
    """
    if answer.value is None or not choices:
        return None
    for same in (_same_words, _same_thing):
        hits = [i for i, choice in enumerate(choices) if same(answer.value, choice)]
        if hits:
            return _letter(hits[0]) if len(hits) == 1 else None
    return _nearest_number(answer.value, choices)


def _letter(index: int) -> str:
    return chr(ord("A") + index)


def _items(value: Value) -> tuple[str, ...]:
    if isinstance(value, bool):
        return ("yes",) if value else ("no",)
    return value if isinstance(value, tuple) else (str(value),)


def _same_words(value: Value, choice: str) -> bool:
    parts = [normalise(part) for part in choice.split(",")]
    return [normalise(item) for item in _items(value)] == parts


def _same_thing(value: Value, choice: str) -> bool:
    """As the same words, but with synonyms, `chair-2` as a chair, and `true` as yes."""
    words = {"true": "yes", "false": "no"}
    parts = [words.get(canonical(part), canonical(part)) for part in choice.split(",")]
    items = [canonical(re.sub(r"-\d+$", "", item)) for item in _items(value)]
    return items == parts


def _nearest_number(value: Value, choices: Sequence[str]) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    numbers = [re.fullmatch(r"\s*(-?\d+(?:\.\d+)?)\s*[\w²]*\s*", choice) for choice in choices]
    if not all(numbers):
        return None
    gaps = [abs(float(match[1]) - value) for match in numbers if match is not None]
    return _letter(gaps.index(min(gaps))) if gaps.count(min(gaps)) == 1 else None
