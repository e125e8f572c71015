"""Stories: sentences that say where things are, composed into answers.

A story is text alone, with no coordinates: `A is to the left of B. C is above B.` Each sentence is
read as plain English into a typed statement; a question is answered along the statements that tie
the two things together, and the answer names them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from groundplane.core.answer import Answer, Status, Step
from groundplane.core.errors import InputError, did_you_mean, listing
from groundplane.spatial.stories.chains import (
    Chain,
    Contradiction,
    Insides,
    Parents,
    Places,
    Statement,
    direction_of,
    in_steps,
    reached,
)
from groundplane.spatial.stories.grammar import read_tokens
from groundplane.spatial.stories.questions import (
    StoryQuestion,
    read_story_question,
    told_relation,
    word_story_answer,
)
from groundplane.spatial.stories.words import TITLE, UnreadError, plain, tokens_of

__all__ = ["MAX_CHARACTERS", "Story", "UnreadSentence"]

MAX_CHARACTERS = 2**20
_MAX_SENTENCE = 1_000
# Things within things that are looked at for a question, and pairs of them that are compared.
_MOST_HELD = 200
_MOST_PAIRS = 20
# A sentence ends at a mark, even where no space follows before the next one: `of B.C is above`.
_ENDS = re.compile(r"(?<=[.!?;])\s+|\n+|(?<=\w[.!?;])(?=[A-Z]\w* )")
_NUMBERED = re.compile(r"^\s*\d+[.):]\s+", re.M)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreadSentence:
    """A sentence of which nothing is used.

    Attributes:
        number: Which sentence, from 1.
        text: As written.
        reason: Why it cannot be used.
    """

    number: int
    text: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Story:
    """Statements of where things are, and what could not be read.

    Attributes:
        statements: What the sentences say, in order.
        unread: The sentences that are not used, each with the reason.
        names: The things, as first written, by their key.
        source: Name of the text.
    """

    statements: tuple[Statement, ...]
    unread: tuple[UnreadSentence, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    source: str = "story"
    _places: Places = field(init=False, repr=False)
    _insides: Insides = field(init=False, repr=False)
    _wrong: tuple[Contradiction, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        places = Places(s for s in self.statements if s.kind == "place")
        insides = Insides(s for s in self.statements if s.kind == "inside")
        object.__setattr__(self, "_places", places)
        object.__setattr__(self, "_insides", insides)
        object.__setattr__(
            self, "_wrong", (*insides.contradictions(places), *places.contradictions())
        )

    @classmethod
    def read(cls, text: str | Sequence[str], *, source: str = "story") -> Story:
        """Read a story; a sentence that cannot be read is kept in `unread`.

        Args:
            text: The story, or its sentences.
            source: What to call it.

        Raises:
            InputError: If it is no text, holds no sentence, or is longer than `MAX_CHARACTERS`.

        Examples:
            >>> story = Story.read("The lamp is above the table. The cat is left of the table.")
            >>> story.ask("Where is the lamp relative to the cat?").value
            'upper-right'
            >>> Story.read("It rains.").unread[0].reason
            "expected a name, got 'It'"
        """
        statements: list[Statement] = []
        unread: list[UnreadSentence] = []
        names: dict[str, str] = {}
        for number, sentence in enumerate(_sentences(text, source), start=1):
            try:
                statements += _read_sentence(number, sentence, names)
            except UnreadError as error:
                unread.append(UnreadSentence(number=number, text=sentence, reason=str(error)))
        return cls(
            statements=tuple(statements), unread=tuple(unread), names=names, source=source
        )  # fmt: skip

    @classmethod
    def load(cls, path: str | Path) -> Story:
        """Read a story from a text file, UTF-8.

        Raises:
            InputError: If the file cannot be read or is no story.
        """
        name = Path(path).name
        try:
            with Path(path).open("rb") as file:
                content = file.read(4 * MAX_CHARACTERS + 1)
        except OSError as error:
            raise InputError(f"story {name!r}: cannot be read: {error.strerror}") from error
        try:
            return cls.read(content.decode("utf-8-sig"), source=name)
        except UnicodeDecodeError as error:
            raise InputError(f"story {name!r}: not UTF-8 at byte {error.start}") from error

    def contradictions(self) -> tuple[Contradiction, ...]:
        """What in the story cannot all be true, the shortest circles first."""
        return self._wrong

    def ask(self, question: str) -> Answer:
        """Answer a question about two things; see `tell` for the sentence."""
        return self.tell(question)[0]

    def tell(self, question: str) -> tuple[Answer, str]:
        """Answer a question about two things, and word the answer.

        Returns:
            The answer and its sentence. A relation has the values `left`, `right`, `above`,
            `below`, `upper-left`, `upper-right`, `lower-left`, `lower-right`, `overlap`,
            `in front`, `behind`, `inside`, `contains`; a question for yes or no a truth value.
            `evidence` holds the sentences used, `steps` how they add up, `note` what contradicts.
            The status is `ambiguous` where chains of statements disagree (the value is then that
            of the shortest one) or where nothing ties the two things together (no value).
        """
        try:
            asked = read_story_question(question)
        except InputError as error:
            note = str(error)
            return Answer(value=None, status=Status.NOT_UNDERSTOOD, note=note), note
        answer = self._solve(asked)
        return answer, word_story_answer(asked, answer)

    def relation(self, subject: str, anchor: str) -> Answer:
        """Where one thing lies from another; names as in the story.

        Examples:
            >>> Story.read("A is left of B. C is left of B.").relation("A", "C").value
            'overlap'
        """
        return self._solve(StoryQuestion(subject=subject, anchor=anchor))

    def _solve(self, asked: StoryQuestion) -> Answer:
        keys = tuple(_key(name) for name in (asked.subject, asked.anchor))
        for key, name in zip(keys, (asked.subject, asked.anchor), strict=True):
            if key not in self.names:
                known = tuple(self.names.values())
                note = f"the story does not speak of {name!r}"
                note += f"; it speaks of {listing(known)}" if known else ""
                note += f".{near}" if (near := did_you_mean(name, known)) else ""
                note = self._noted(note)
                return Answer(value=None, status=Status.UNKNOWN_OBJECT, note=note)
        first, last = keys
        if first == last:
            answer = Answer(value="overlap", note="both names are those of one thing")
        else:
            answer = self._inside(first, last) or self._placed(first, last)
        return self._confirmed(asked, answer)

    def _inside(self, first: str, last: str) -> Answer | None:
        """Inside what is inside another is inside that other."""
        for value, inner, outer in (("inside", first, last), ("contains", last, first)):
            near = self._insides.outward(inner)
            if outer in near:
                measure = "inside a thing is inside all that it is inside"
                answer = self._answer(value, reached(near, outer), measure)
                chains = self._places.shortest(first, last)
                return self._checked(answer, chains[:1])
        return None

    def _placed(self, first: str, last: str) -> Answer:
        """The chain between the two, or between things that they are inside."""
        inner, outer = self._insides.outward(first), self._insides.outward(last)
        answer: Answer | None = None
        others: list[Chain] = []
        for a, b in islice(self._tied(inner, outer), _MOST_PAIRS):
            chains = self._places.shortest(a, b)
            held = (*reached(inner, a), *reached(outer, b))
            if held and chains[0].direction == "overlap":
                continue
            if answer is None:
                answer = self._chained(chains, held)
            else:
                others.append(chains[0])
        if answer is None:
            return self._untied(first, last, common=bool(inner.keys() & outer.keys()))
        return self._checked(answer, others)

    def _tied(self, inner: Parents, outer: Parents) -> Iterator[tuple[str, str]]:
        """Things that hold the two, or are they, and that a chain ties together; nearest first."""
        firsts, lasts = (
            [(len(reached(near, name)), name) for name in islice(near, _MOST_HELD)]
            for near in (inner, outer)
        )
        part = self._places.part
        pairs = [
            (i + j, a, b)
            for i, a in firsts
            for j, b in lasts
            if a != b and part(a) is not None and part(a) == part(b)
        ]
        pairs.sort(key=lambda pair: pair[0])
        return ((a, b) for _, a, b in pairs)

    def _checked(self, answer: Answer, others: Sequence[Chain]) -> Answer:
        """Left open where what holds the two, or a place beside what holds one, says otherwise."""
        values = dict.fromkeys([answer.value, *(c.direction for c in others)])
        if len(values) == 1 or (answer.value in ("inside", "contains") and "overlap" in values):
            return answer
        note = f"by what is inside what they lie otherwise: {listing(list(map(str, values)))}"
        return replace(
            answer, status=Status.AMBIGUOUS, note="; ".join(filter(None, [note, answer.note]))
        )

    def _untied(self, first: str, last: str, *, common: bool) -> Answer:
        a, b = self.names[first], self.names[last]
        note = f"the story does not say how {a!r} lies to {b!r}"
        if common:
            note += "; both are inside one thing, which says nothing of their places in it"
        return Answer(value=None, status=Status.AMBIGUOUS, note=self._noted(note))

    def _chained(self, shortest: Sequence[Chain], held: tuple[Statement, ...]) -> Answer:
        """What the shortest chain says, once all others have been compared with it."""
        chain = shortest[0]
        how = "the same for steps of any length" if chain.any_length else "it rests on equal steps"
        measure = f"{in_steps(chain.offset)}, each statement one step; {how}"
        answer = self._answer(chain.direction, (*held, *chain.statements), measure, chain=chain)
        if not self._places.disputed(chain.names[0], chain.names[-1]):
            return answer
        others, complete = self._places.chains(chain.names[0], chain.names[-1])
        values = dict.fromkeys(other.direction for other in (*shortest, *others))
        if complete and len(values) == 1:
            return answer
        taken = "the earliest of the shortest" if len(shortest) > 1 else "the shortest"
        what = "disagree" if len(values) > 1 else "that were compared agree"
        more = "" if complete else f" ({len(others)} were compared, and there are more)"
        note = f"the chains between them {what}: {listing(values)}{more}; {taken} was taken"
        return replace(answer, status=Status.AMBIGUOUS, note=self._noted(note))

    def _answer(
        self, value: str, said: Sequence[Statement], measure: str, *, chain: Chain | None = None
    ) -> Answer:
        steps = [Step(name="read", detail=self._told(statement)) for statement in said]
        if chain is not None:
            legs = [
                f"{self.names[name]} from {self.names[after]}: {in_steps(step)} ({statement.id})"
                for name, after, (statement, step) in zip(
                    chain.names, chain.names[1:], chain.legs(), strict=False
                )
            ]
            total = f"in all {in_steps(chain.offset)}: {value}"
            steps.append(Step(name="compose", detail="; ".join([*legs, total])))
        return Answer(
            value=value,
            evidence=tuple(dict.fromkeys(statement.id for statement in said)),
            measure=measure,
            note=self._noted(""),
            steps=tuple(steps),
        )

    def _told(self, statement: Statement) -> str:
        a, b = self.names[statement.subject], self.names[statement.anchor]
        where = "inside" if statement.kind == "inside" else f"{in_steps(statement.offset)} of"
        return f"{statement.id} {statement.text!r}: {a} is {where} {b}"

    def _noted(self, note: str) -> str:
        """The note with what contradicts and what was not read."""
        parts = [note] if note else []
        if self._wrong:
            more = f" (and {len(self._wrong) - 1} more)" if len(self._wrong) > 1 else ""
            parts.append(f"{self._wrong[0].describe()}{more}")
        if self.unread:
            shown = f"s{self.unread[0].number} {self.unread[0].text!r}: {self.unread[0].reason}"
            more = f"; and {len(self.unread) - 1} more" if len(self.unread) > 1 else ""
            parts.append(f"not used: {shown}{more}")
        return "; ".join(parts)

    def _confirmed(self, asked: StoryQuestion, answer: Answer) -> Answer:
        """Yes or no, where that was asked."""
        claim = asked.claim
        if claim is None or not isinstance(answer.value, str):
            return answer
        found = answer.value
        if claim.kind == "inside":
            value = found == "inside"
        else:
            value = _agrees(claim.offset, found, exactly=asked.exactly)
        measure = f"{told_relation(asked, found)}; {answer.measure}"
        return replace(answer, value=value, measure=measure)


def _agrees(wanted: tuple[int, int, int], found: str, *, exactly: bool) -> bool:
    """Whether a direction is one that was asked for: the upper left is also to the left."""
    asked = direction_of(wanted)
    if exactly or asked == "overlap":
        return asked == found
    return _parts(asked) <= _parts(found)


def _parts(direction: str) -> set[str]:
    """`upper-left, behind` is above, left and behind."""
    words = direction.replace("upper-", "above, ").replace("lower-", "below, ")
    return set(words.split(", "))


def _key(name: str) -> str:
    """Names are one whatever their case, article and spaces."""
    words = plain(name).casefold().split()
    return " ".join(words[1:] if len(words) > 1 and words[0] in ("the", "a", "an") else words)


def _sentences(text: str | Sequence[str], source: str) -> Iterator[str]:
    parts = [text] if isinstance(text, str) else list(text)
    if not all(isinstance(part, str) for part in parts):
        raise InputError(f"{source}: expected text or a list of sentences")
    if sum(map(len, parts)) > MAX_CHARACTERS:
        raise InputError(f"{source}: more than {MAX_CHARACTERS} characters; give it in parts")
    wholes = (TITLE.sub(r"\1", _NUMBERED.sub("", whole)) for whole in parts)
    found = [part.strip() for whole in wholes for part in _ENDS.split(whole)]
    if not any(found):
        raise InputError(f"{source}: there is no sentence in it")
    return (part for part in found if part)


def _read_sentence(number: int, sentence: str, names: dict[str, str]) -> list[Statement]:
    """The statements of a sentence; its names are noted even where it states nothing."""
    if len(sentence) > _MAX_SENTENCE:
        raise UnreadError(f"it has more than {_MAX_SENTENCE} characters")
    if sentence.endswith("?"):
        raise UnreadError("it is a question")
    tokens = tokens_of(plain(sentence))
    readings = read_tokens(tokens)
    for token in tokens:
        if token.kind == "name":
            names.setdefault(_key(token.text), token.text)
    for reading in readings:
        if _key(reading.subject) == _key(reading.anchor):
            raise UnreadError(f"{reading.subject!r} cannot lie beside itself")
    return [
        Statement(
            number=number, text=sentence, kind=reading.kind, offset=reading.offset,
            subject=_key(reading.subject), anchor=_key(reading.anchor),
        )
        for reading in readings
    ]  # fmt: skip
