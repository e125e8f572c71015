"""Questions about stories, and their answers as sentences."""

from __future__ import annotations

import re
from dataclasses import dataclass

from groundplane.core.answer import Answer, Status
from groundplane.core.errors import InputError
from groundplane.spatial.stories.grammar import Reading, read_tokens
from groundplane.spatial.stories.words import Token, UnreadError, plain, tokens_of

__all__ = [
    "EXAMPLES",
    "StoryQuestion",
    "read_story_question",
    "told_relation",
    "word_story_answer",
]

EXAMPLES = (
    "What is the relation of A to B?",
    "Where is the lamp relative to the sofa?",
    "Is the lamp to the left of the sofa?",
)
_BE = r"(?:is|are|was|were|lies?|stands?|sits?)"
_LINK = (
    r"(?:relative to|in relation to|with respect to|compared (?:to|with)|(?:as )?seen from|from)"
)
_PUT = r"(?: (?:located|placed|positioned|situated|standing|sitting))?"
_ASK = r"(?:in (?:which|what) direction|where|how)"
_KIN = "relation(?:ship)? (?:of|between)"
_SPOT = "(?:position|place|location|direction)"
_HOW = (
    rf"{_ASK} (?:is|are) (?P<a>.+?){_PUT} {_LINK} (?P<b>.+)",
    rf"{_ASK} (?:does|do) (?P<a>.+?) (?:lie|stand|sit) {_LINK} (?P<b>.+)",
    rf"what is the (?:spatial )?{_KIN} (?P<a>.+?) (?:to|and|with|{_LINK}) (?P<b>.+)",
    rf"what is the (?:relative )?{_SPOT} of (?P<a>.+?) (?:to|{_LINK}) (?P<b>.+)",
    rf"(?:on|to|at) (?:which|what) side of (?P<b>.+?) {_BE} (?P<a>.+)",
    rf"which side of (?P<b>.+?) {_BE} (?P<a>.+?)(?: on| at)?",
)
_PATTERNS = tuple(re.compile(pattern, re.I) for pattern in _HOW)
_WHETHER = re.compile(r"(?P<verb>is|are|was|were|does|do) (?P<rest>.+)", re.I)
_IS = Token(kind="verb", text="is")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoryQuestion:
    """What is asked of a story.

    Attributes:
        subject: The thing that is looked for, as written.
        anchor: What it is seen from.
        claim: What is asked to be confirmed; None where the relation is asked for.
        exactly: Whether the claim shuts out a second direction (`directly`, `horizontally`).
    """

    subject: str
    anchor: str
    claim: Reading | None = None
    exactly: bool = False


def read_story_question(question: str) -> StoryQuestion:
    """Read a question about two things of a story.

    Raises:
        InputError: If it is of no known form; the message says which forms are.

    Examples:
        >>> read_story_question("What is the relation of the agent A to the agent B?").anchor
        'B'
        >>> read_story_question("Is the lamp to the left of the sofa?").claim.offset
        (-1, 0, 0)
    """
    text = re.sub(r"^(where|what)'s\b", r"\1 is", plain(question), flags=re.I)
    for pattern in _PATTERNS:
        match = pattern.fullmatch(text)
        if match is None:
            continue
        first, second = _one_name(match["a"]), _one_name(match["b"])
        if first is not None and second is not None:
            return StoryQuestion(subject=first, anchor=second)
    whether = _WHETHER.fullmatch(text)
    why = "it has none of the known forms"
    if whether is not None:
        try:
            return _claimed(whether["rest"])
        except UnreadError as error:
            why = str(error)
    shown = text if len(text) <= 120 else f"{text[:117]}..."
    raise InputError(
        f"question not understood: {shown!r}: {why}. Forms that are: {' | '.join(EXAMPLES)}"
    )


def _one_name(text: str) -> str | None:
    try:
        tokens = tokens_of(text)
    except UnreadError:
        return None
    return tokens[0].text if len(tokens) == 1 and tokens[0].kind == "name" else None


def _claimed(text: str) -> StoryQuestion:
    """`A to the left of B` after `is`."""
    tokens = tokens_of(re.sub(r"\b(contain|hold|enclose|overlap)\b", r"\1s", text))
    if not tokens or tokens[0].kind != "name":
        raise UnreadError("it asks of nothing by name")
    verb = () if len(tokens) > 1 and tokens[1].kind in ("contains", "same") else (_IS,)
    readings = read_tokens((tokens[0], *verb, *tokens[1:]))
    if len(readings) != 1:
        raise UnreadError("it asks two things at once" if readings else "it asks nothing")
    manners = {token.kind for token in tokens} & {"horizontal", "vertical"}
    exactly = bool(manners) or re.search(r"\b(?:directly|straight|exactly)\b", text) is not None
    claim = readings[0]
    return StoryQuestion(subject=claim.subject, anchor=claim.anchor, claim=claim, exactly=exactly)


_WORDS = {
    "left": "to the left of", "right": "to the right of", "above": "above", "below": "below",
    "upper-left": "to the upper left of", "upper-right": "to the upper right of",
    "lower-left": "to the lower left of", "lower-right": "to the lower right of",
    "overlap": "at the same place as", "inside": "inside", "contains": "around",
    "in front": "in front of", "behind": "behind",
}  # fmt: skip


def word_story_answer(asked: StoryQuestion, answer: Answer) -> str:
    """The answer as a sentence, with what must be known about it.

    Examples:
        >>> asked = StoryQuestion(subject="A", anchor="B")
        >>> word_story_answer(asked, Answer(value="upper-left"))
        'A is to the upper left of B.'
        >>> word_story_answer(asked, Answer(value=None, status=Status.AMBIGUOUS, note="it is open"))
        'It is open.'
    """
    sentence = re.match(r"s\d", answer.note)  # its id stays as it is
    note = answer.note if sentence else answer.note[:1].upper() + answer.note[1:]
    note = note if not note or note.endswith((".", "?", "!")) else f"{note}."
    if answer.value is None:
        return note or f"No answer: {answer.status.value}."
    if isinstance(answer.value, bool):
        told = f"{'Yes' if answer.value else 'No'}: {answer.measure.partition(';')[0]}."
    else:
        told = f"{told_relation(asked, str(answer.value))}."
    lead = "This is open: " if answer.status is Status.AMBIGUOUS else ""
    return f"{told} {lead}{note}".strip()


def told_relation(asked: StoryQuestion, value: str) -> str:
    """A relation of the two things asked for, as a clause; a second direction is joined by `and`.

    Examples:
        >>> told_relation(StoryQuestion(subject="A", anchor="B"), "upper-left")
        'A is to the upper left of B'
        >>> told_relation(StoryQuestion(subject="cat", anchor="lamp"), "left, behind")
        'The cat is to the left and behind the lamp'
    """
    plane, _, depth = value.partition(", ")
    words = _WORDS[plane]
    if depth:
        words = f"{words.removesuffix(' of')} and {_WORDS[depth]}"
    subject = re.sub("^the ", "The ", _the(asked.subject))
    return f"{subject} is {words} {_the(asked.anchor)}"


def _the(name: str) -> str:
    """Names of persons and letters take no article."""
    return name if len(name) < 2 or name[0].isupper() else f"the {name}"
