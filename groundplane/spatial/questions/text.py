"""Cleaning a question: contractions, politeness, options, units, boilerplate of benchmarks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from groundplane.core.errors import InputError

__all__ = ["MAX_CHARACTERS", "CleanQuestion", "clean", "split_list", "split_options"]

# Longer text is no question about a scene; the bound also bounds the work of every pattern.
MAX_CHARACTERS = 1_500

_UNITS = {
    "mm": r"mm|millimet(?:er|re)s?",
    "cm": r"cms?|centimet(?:er|re)s?",
    "m": r"m|met(?:er|re)s?",
    "ft": r"ft|feet|foot",
    "in": r"inch(?:es)?|in(?= (?:of|from)\b)",
    "yd": r"yards?|yds?",
    "px": r"px|pixels?",
}
_CUBIC_UNITS = {
    "m3": r"m3|m³|cubic m|cubic met(?:er|re)s?",
    "cm3": r"cm3|cm³|cubic centimet(?:er|re)s?",
    "ft3": r"ft3|ft³|cu\.? ?ft|cubic (?:feet|foot|ft)",
    "in3": r"in3|in³|cubic inch(?:es)?",
    "l": r"lit(?:er|re)s?|l",
}
_SQUARE_UNITS = {
    "m2": r"m2|m²|sqm|sq\.? ?m|square m|(?:square|sq\.?) met(?:er|re)s?",
    "ft2": r"ft2|ft²|sqft|sq\.? ?ft|(?:square|sq\.?) (?:feet|foot|ft)|square footage",
    "in2": r"in2|in²|(?:square|sq\.?) (?:inch(?:es)?|in)",
    "cm2": r"cm2|cm²|(?:square|sq\.?) centimet(?:er|re)s?",
}
ALL_UNITS = _SQUARE_UNITS | _CUBIC_UNITS | _UNITS
_ANY_UNIT = "|".join(ALL_UNITS.values())

_CONTRACTIONS = (
    (r"\bits (?=(?:size|colou?r|material|shape|height|width|depth|length)\b)", "its_"),
    (r"\b(what|where|how|who|which|there|here|it|that|when)'?s\b(?! own)", r"\1 is"),
    (r"\bits_", "its "),
    (r"\b(what|where|how|which|who)'?re\b", r"\1 are"),
    (r"\bi ?'?m\b", "i am"),
    (r"\b(you|we|they)'re\b", r"\1 are"),
    (r"\bi'd\b", "i would"),
    (r"\b(i|you|we)'ve\b", r"\1 have"),
    (r"\bisn'?t\b", "is not"),
    (r"\baren'?t\b", "are not"),
    (r"\bcan'?t\b|\bcannot\b", "can not"),
    (r"\bdon'?t\b", "do not"),
    (r"\bdoesn'?t\b", "does not"),
    (r"(\w)'s (on|in|at|under|near|to|behind|next|above|below|beside|between|from)\b", r"\1 is \2"),
    (r"(\w)'s\b", r"\1"),
)

# The order matters: longer openings first, and each may be followed by another.
_OPENINGS = re.compile(
    r"^(?:hey|hi|hello|ok(?:ay)?|so|well|um|now|right|excuse me|sorry|thanks|please|pls|plz|"
    r"quick question|question|just|"
    r"(?:can|could|would|will) (?:you|u) (?:please |pls |kindly |maybe )?(?:tell me|say|let me know"
    r"|show me|give me|measure|estimate|calculate|compute|check|work out|find out|find|"
    r"figure out|help me find out|name|list|count(?= (?:how|the number))|(?=count\b))|"
    r"(?:please |pls )?(?:tell me|let me know|give me|show me|say|measure|estimate|calculate|"
    r"compute|determine|check|work out|find out|figure out)|"
    r"(?:do|would) (?:you|u) (?:happen to )?know|any idea|"
    r"(?:i|we) (?:want|need|would like|like|wish) to (?:know|find out|see)|(?:i|we) (?:need|want|would like)|"
    r"i (?:wonder|am wondering|was wondering)|"
    r"(?:if )?you had to (?:guess|estimate),?|(?:roughly|approximately|about|exactly)|"
    r"(?:in|for|from) (?:this|the) (?:room|scene|picture|photo|image|video|apartment|flat|map)(?=,)|"
    r"if (?=(?:the|there|it|any|a|an)\b))[,:;.!]?\s+"
)
_CLOSINGS = re.compile(
    r"[,\s]+(?:yes or no|true or false|or not|please|pls|plz|thanks|thank you|cheers|roughly|approximately|approx|about|exactly|"
    r"then|though|actually|again|right now|currently|at the moment|do you think|would you say|"
    r"would you estimate|(?:as )?(?:seen|viewed) from above|in total|altogether|overall|all together)$"
)
_BOILERPLATE = (
    r"an object is to my back if i would have to turn at least 135 degrees in order to face it",
    r"the directions refer to the quadrants of a cartesian plane \(if i am standing at the origin "
    r"and facing along the positive y axis\)",
    r"if multiple rooms are shown, estimate the size of the combined space",
    r"if there are multiple instances of an object category, measure to the closest",
    r"measur(?:ing|ed) from the closest points? of each object,?",
    r"answer with the option letter from the given choices directly",
    r"please answer the question using a single word or phrase",
    r"these are frames of a video",
)
_OPTION = re.compile(r"(?:^|[\s,;(])\(?([A-Z])[.):]\s+")


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanQuestion:
    """A question ready for the patterns.

    Attributes:
        text: Lower case, no contraction, no politeness, no unit, no final mark.
        unit: The unit asked for, or None.
        choices: The options, as written, without their letters.
    """

    text: str
    unit: str | None
    choices: tuple[str, ...]


def split_options(question: str) -> tuple[str, tuple[str, ...]]:
    """Part the options that stand behind a question from it.

    Examples:
        >>> split_options("Is it left or right?\\nA. left\\nB. right")
        ('Is it left or right?', ('left', 'right'))
        >>> split_options("How far is plan A. from here?")
        ('How far is plan A. from here?', ())
    """
    marks = list(_OPTION.finditer(question))
    run = [mark for i, mark in enumerate(marks) if mark[1] == chr(ord("A") + i)]
    if len(run) < 2 or len(run) != len(marks):
        return question, ()
    ends = [*(mark.start() for mark in run[1:]), len(question)]
    choices = tuple(
        question[mark.end() : end].strip(" ,;\n\t.()") for mark, end in zip(run, ends, strict=True)
    )
    stem = re.sub(r"\s*(?:options|choices)\s*:?\s*$", "", question[: run[0].start()], flags=re.I)
    return (stem, choices) if stem.strip() and all(choices) else (question, ())


def strip_letter(choice: str) -> str:
    """An option without its letter: `A. left` is `left`."""
    return re.sub(r"^\(?[A-Z][.):]\s*", "", choice.strip())


def _take_unit(text: str) -> tuple[str, str | None]:
    """Remove a wish for a unit: `(in meters)`, `in cm`, `how many feet ...`."""
    wanted: str | None = None
    for unit, names in ALL_UNITS.items():
        pattern = (
            r",?\s*\(?\b(?:measured |expressed |given |stated |answer |value )?in (?:"
            + names
            + r")"
            r"\b\)?(?=[\s,.?!]|$)"
        )
        text, found = re.subn(pattern, "", text)
        if found:
            wanted = wanted or unit
    match = re.match(
        rf"(?:over |about |roughly |by )?how (?:many|much) (?P<unit>{_ANY_UNIT})\b(?P<rest>.*)",
        text,
    )
    if match:
        unit = next(u for u, names in ALL_UNITS.items() if re.fullmatch(names, match["unit"]))
        rest = match["rest"].strip()
        sized = unit in _SQUARE_UNITS or unit in _CUBIC_UNITS
        head = "how big" if sized else "how"
        rest, floor = re.subn(r"^of (?:the )?floor(?: space| area)? (?=does|do)", "", rest)
        separate = re.match(r"(?:separate|lie between|are between|do)\b", rest)
        adjective = re.match(r"(?:apart|away|long|tall|high|wide|deep|big|large|far)\b", rest)
        between = re.match(
            r"(?:there (?:is|are) |is |are |lie |lies )?(?:there |it )?(?:between|from)\b", rest
        )
        if re.search(r"\bthan\b", rest):
            return f"how much {rest}", wanted or unit
        if floor:
            return f"how much floor {rest}", wanted or unit
        if sized:
            return f"{head} {rest}", wanted or unit
        if (
            between
            or separate
            or rest.startswith(("apart", "away"))
            or " from " in rest
            or " apart" in rest
        ):
            return f"how far {rest}", wanted or unit
        if adjective:
            return f"how {rest}", wanted or unit
        if rest.startswith(("is ", "does ")) and not rest.startswith("is there"):
            return f"how long {rest}", wanted or unit
    return text, wanted


def _expand(text: str) -> str:
    """Lower case, plain quotes, no contraction, single spaces."""
    text = text.translate(str.maketrans("\u2018\u2019\u201c\u201d\u2013\u2014\u00a0", "''\"\"-- "))
    text = " ".join(text.lower().split())
    for pattern, full in _CONTRACTIONS:
        text = re.sub(pattern, full, text)
    text = re.sub(r"(\w)\(s\)", r"\1s", text)
    text = re.sub(r"\b(front|back)[- ](left|right)\b", r"\1_\2", text)
    text = re.sub(r"(?<=\w)-(?=[a-z])", " ", text)
    return _COMPOUND.sub(_in_feet, text).replace('"', "")


# `5 ft 3 in`, `5'3"`.
_COMPOUND = re.compile(
    r"\b(?P<feet>\d+) ?(?:(?:ft|feet|foot)(?:,| and)? ?|' ?)(?P<inches>\d+(?:\.\d+)?) ?"
    r"(?:in\b(?! (?:the|a|front)\b)|inch(?:es)?\b|\")"
)


def _in_feet(found: re.Match[str]) -> str:
    """Feet and inches as one number of feet."""
    return f"{float(found['feet']) + float(found['inches']) / 12:.6g} ft"


def _strip_ends(text: str) -> str:
    """Remove politeness in front and behind until nothing changes."""
    before = None
    while before != text:
        before = text
        text = _OPENINGS.sub("", text.strip(" ?!.,;:"))
        text = _CLOSINGS.sub("", text.strip(" ?!.,;:"))
    return text


def clean(question: str, choices: Sequence[str] = ()) -> CleanQuestion:
    """Clean a question for the patterns.

    Raises:
        InputError: If it is longer than `MAX_CHARACTERS`.

    Examples:
        >>> clean("Could you tell me how far the sofa's from the TV, in feet?")
        CleanQuestion(text='how far the sofa is from the tv', unit='ft', choices=())
    """
    if len(question) > MAX_CHARACTERS:
        raise InputError(
            f"the question has {len(question)} characters; at most {MAX_CHARACTERS} are read"
        )
    stem, found = split_options(question)
    text = _expand(stem)
    for sentence in _BOILERPLATE:
        text = re.sub(sentence + r"\s*[.?!]?", " ", text)
    text, unit = _take_unit(_strip_ends(" ".join(text.split())))
    text = _strip_ends(" ".join(text.split()))
    options = tuple(strip_letter(choice) for choice in choices) or found
    return CleanQuestion(text=text, unit=unit, choices=options)


def split_list(text: str) -> tuple[str, ...]:
    """The items of an enumeration.

    Examples:
        >>> split_list("the chair, the table or the tv")
        ('the chair', 'the table', 'the tv')
    """
    parts = re.split(r"\s*(?:,|;|/)\s*(?:(?:and|or) )?|\s+(?:and|or)\s+", text.strip(" ,:;()"))
    return tuple(part.strip() for part in parts if part.strip())
