"""Multiple choice: which option an answer is."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from groundplane.core.answer import Answer, Value
from groundplane.core.errors import InputError
from groundplane.core.lexicon import canonical, normalise
from groundplane.spatial.questions import chinese_text
from groundplane.spatial.questions.chinese_words import english_option, is_chinese, simplify
from groundplane.spatial.questions.text import ALL_UNITS, split_options, strip_letter
from groundplane.spatial.units import convert

__all__ = ["choose", "offered"]

# How far off an option may be, as a share of the value. VSI-Bench's wrong options are drawn from
# 0.25 to 1.75 times the truth and lie 20 % apart.
_NEAR = 0.25


def offered(question: str, choices: Sequence[str]) -> tuple[str, ...]:
    """The options of a question, without their letters: given apart, or behind it.

    Examples:
        >>> offered("Is it left or right? A. left B. right", ())
        ('left', 'right')
        >>> offered("它在哪边? A、左边 B、右边", ())
        ('left', 'right')
        >>> offered("How far is it?", ["A. 1 m", "B. 2 m"])
        ('1 m', '2 m')
    """
    if choices:
        return tuple(
            chinese_text.strip_letter(choice) if is_chinese(choice) else strip_letter(choice)
            for choice in choices
        )
    if is_chinese(question):
        return chinese_text.split_options(simplify(question))[1]
    return split_options(question)[1]


def choose(answer: Answer, choices: Sequence[str]) -> str | None:
    """The letter of the option that an answer is; None where none is, or where two are.

    A number takes the nearest number among the options, in whatever unit it is written, if it is
    within a quarter of the value; a count must be met exactly.

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
    choices = [english_option(choice) for choice in choices]
    for same in (_same_words, _same_thing):
        hits = [i for i, choice in enumerate(choices) if same(answer.value, choice)]
        if hits:
            return _letter(hits[0]) if len(hits) == 1 else None
    return _nearest_number(answer, choices)


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


def _nearest_number(answer: Answer, choices: Sequence[str]) -> str | None:
    """The option nearest to a number, if it is near: a count must be met exactly."""
    value = answer.value
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    numbers = [_number_in(choice, answer.unit) for choice in choices]
    gaps = [math.inf if number is None else abs(number - value) for number in numbers]
    least = min(gaps)
    limit = 0.0 if answer.unit == "count" else _NEAR * abs(value)
    return _letter(gaps.index(least)) if least <= limit and gaps.count(least) == 1 else None


def _number_in(choice: str, unit: str | None) -> float | None:
    """The number of an option in the answer's unit; None where it has none or another kind."""
    match = re.fullmatch(r"\s*(?:about |approximately |~)?(-?\d+(?:\.\d+)?)\s*(.*?)\.?\s*", choice)
    if match is None:
        return None
    number, told = float(match[1]), match[2].lower()
    if not told or unit is None or unit == "count":
        return number
    source = next((name for name, words in ALL_UNITS.items() if re.fullmatch(words, told)), None)
    if source is None:
        return None
    try:
        return convert(number, source, unit)
    except InputError:
        return None
