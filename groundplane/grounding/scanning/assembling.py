"""Signs of a text, in order, to text that is shown, mentions and problems."""

from __future__ import annotations

from dataclasses import replace

from groundplane.core.answer import Mention
from groundplane.core.frames import Frame
from groundplane.core.locations import Problem, ProblemKind, Rung
from groundplane.core.regions import Regions
from groundplane.grounding.dialects.grammar import (
    PAYLOAD_LIMIT,
    Dialect,
    Enclosed,
    Numbered,
    Reading,
)
from groundplane.grounding.scanning.gathering import Group, Phrase
from groundplane.grounding.scanning.lexing import Role
from groundplane.grounding.scanning.nouns import noun_span
from groundplane.grounding.scanning.placing import Placer
from groundplane.grounding.scanning.showing import Shown

__all__ = ["PROBLEMS_LIMIT", "Assembler", "Event"]

Event = str | Mention | Problem

# Problems of one text at most: a hostile text must not make a million of them.
PROBLEMS_LIMIT = 1000
_NUMERIC = "0123456789.-+"
# As many commas or brackets make a payload look like a location, even where it is broken.
_MARKS = 2


class Assembler:
    """Ties places to phrases.

    One phrase is open at most, and one group of places. A group ends at the next text that is
    shown, at the next phrase, or at the end.

    Args:
        dialect: The language of the text.
        frame: The frame that its numbers live in.
        regions: What its indices pick from.
        rung: How the text is read, as its locations state it.
    """

    def __init__(
        self, dialect: Dialect, frame: Frame, regions: Regions | None = None, rung: Rung = "tokens"
    ) -> None:
        self._dialect, self._convention = dialect, dialect.convention
        self._placer, self._size = Placer(dialect.convention, frame), frame.image_size
        self._regions, self._rung = regions, rung
        self.shown = Shown()
        self._out: list[Event] = []
        self._group: Group | None = None
        # The phrase that is open: its opening sign, and what it holds so far.
        self._open: tuple[int, int] | None = None
        self._phrase, self._parts, self._long = Phrase(), [""], 0
        self._run: tuple[Numbered, list[str], tuple[int, int]] | None = None
        self._states: dict[str, int] = {}
        self._seen: set[tuple[object, ...]] = set()
        self._listed = False
        self._problems = 0

    @property
    def busy(self) -> bool:
        """Whether the next characters are more than just text."""
        waits = self._group is not None or self._open is not None or self._run is not None
        return waits or self.shown.holds

    def take(self) -> list[Event]:
        """What was found since this was asked last."""
        out, self._out = self._out, []
        return out

    def close(self, end: int) -> None:
        """The text ends here."""
        self._end_run()
        if self._open is not None:
            if self._convention.phrase != "after" and self._group is None:
                what = "a phrase that is never closed; shown as text"
                self.problem(ProblemKind.TRUNCATED, what, self._open)
            self._close_phrase()
        self._end_group()
        rest = self.shown.close()
        if rest:
            self._out.append(rest)
        if self._dialect.kind == "nothing":
            what = f"{self._dialect.name} has no published way to write locations"
            self.problem(ProblemKind.NO_LOCATION_LANGUAGE, what, (0, end))

    # What the lexer tells ----------------------------------------------------------------------

    def problem(self, kind: ProblemKind, message: str, span: tuple[int, int]) -> None:
        """Something is wrong."""
        self._problems += 1
        if self._problems < PROBLEMS_LIMIT:
            self._out.append(Problem(kind=kind, message=message, span=span))
        elif self._problems == PROBLEMS_LIMIT:
            what = f"more than {PROBLEMS_LIMIT:,} problems; the rest is not listed"
            self._out.append(Problem(kind=ProblemKind.TOO_MANY, message=what, span=span))

    def text(self, text: str, start: int) -> None:
        """Characters that are shown."""
        rest = text.lstrip()
        lead = len(text) - len(rest)
        if lead:
            self._blanks(text[:lead])
        body = rest.rstrip()
        if not body:
            return
        self._end_run()
        self._listed = False
        if self._open is None:
            self._end_group()
        raw = start + lead
        piece, begins = self.shown.show(body, raw + len(body))
        self._out.append(piece)
        if self._open is not None:
            self._lengthen(piece, body, begins, raw)
        if len(body) < len(rest):
            self._blanks(rest[len(body) :])

    def tag(self, role: Role, tag: str, start: int) -> None:
        """A tag without a payload."""
        span = (start, start + len(tag))
        if role == "state":
            self._state(tag, span)
            return
        self._end_run()
        if role == "phrase":
            self._open_phrase(span)
        elif role == "unphrase":
            self._unphrase(span)
        elif role == "unplace":
            self.problem(ProblemKind.MALFORMED, f"{tag!r} closes nothing; dropped", span)
        elif role == "ignored" and self._group is not None and self._open is not None:
            self._close_phrase()
        self.shown.take_out()
        if role == "ignored":
            self.shown.forget()

    def number(self, kind: Numbered, digits: str, start: int) -> None:
        """A tag with a number: more of the run, or the first of one."""
        end = start + len(kind.prefix) + len(digits) + len(kind.suffix)
        if kind.role == "state":
            self._end_run()
            self._state(f"{kind.prefix}{digits}{kind.suffix}", (start, end))
            return
        if self._run is not None and self._run[0] is kind:
            # Four numbers a box: beyond the limit of boxes nothing is kept.
            if len(self._run[1]) <= 4 * PAYLOAD_LIMIT:
                self._run[1].append(digits)
            self._run = (kind, self._run[1], (self._run[2][0], end))
        else:
            self._end_run()
            if self._open is not None and self._convention.phrase == "after":
                self._close_phrase()
                self._end_group()
            self._run = (kind, [digits], (start, end))
        self.shown.take_out()

    def place(self, kind: Enclosed, payload: str, span: tuple[int, int], *, closed: bool) -> None:
        """A payload."""
        self._end_run()
        if kind.role == "nothing":
            if not closed:
                what = f"{kind.open!r} is never closed; dropped"
                self.problem(ProblemKind.TRUNCATED, what, span)
            self.shown.take_out()
            return
        read = self._dialect.read
        reading = read(payload if closed else _unfinished(payload)) if read is not None else None
        if reading is None:
            self._no_location(kind, payload, span, closed=closed)
            return
        if not closed:
            reading = self._cut_short(kind, reading, span)
        if kind.phrase_after and self._group is not None and self._group.phrase.text:
            # The places before have their phrase already; these get one of their own.
            self._end_group()
        self._located(reading, span)
        if kind.phrase_after and payload.rstrip().endswith("/"):
            self._labelled((reading.label or "").strip(), span)
        elif kind.phrase_after:
            self._open_phrase(span, keep=True)

    def spill(self, kind: Enclosed, payload: str, start: int) -> None:
        """What began as a payload, but is just text; said where it looks like a location."""
        written = kind.open + payload
        span = (start, start + len(written))
        if kind.attributes or sum(payload.count(sign) for sign in ",<") >= _MARKS:
            what = f"what begins like a location, {written[:40]!r}, is none; shown as text"
            if "<" in kind.chars:
                # Its numbers stand in tags: no reader is to see those.
                what = what.replace("shown as text", "dropped")
                self.shown.take_out()
                written = ""
            self.problem(ProblemKind.MALFORMED, what, span)
        self.text(written, start)

    def object(
        self, reading: Reading, span: tuple[int, int], written: str, *, rung: Rung | None
    ) -> None:
        """A JSON object: its label is shown, and joined to the one before it by a comma."""
        self._end_group()
        self.shown.take_out()
        label = (reading.label or "").strip()
        phrase = Phrase(start=self.shown.at)
        if label:
            if self._listed:
                self.shown.join(", ")
            piece, begins = self.shown.show(label, span[1])
            self._out.append(piece)
            at = written.find(label)
            source = (span[0] + at, span[0] + at + len(label)) if at >= 0 else None
            phrase = Phrase(text=label, start=begins, source=source)
            self._listed = True
        self._group = Group(phrase, rung=rung)
        self._located(reading, span)
        self._end_group()

    def end(self, char: str, start: int) -> None:
        """A character that ends a phrase, where one is open; else text."""
        if self._open is None or self._convention.phrase != "after":
            self.text(char, start)
            return
        self._close_phrase()
        self._end_group()
        if char.isspace():
            self._blanks(char)
        else:
            self.shown.take_out()
            self.shown.join(", ")

    # Phrases -----------------------------------------------------------------------------------

    def _open_phrase(self, span: tuple[int, int], *, keep: bool = False) -> None:
        if self._open is not None and not keep:
            what = "a phrase within a phrase; the outer one was dropped"
            self.problem(ProblemKind.NESTED, what, span)
            self._open = None
        if not keep:
            if self._group is not None:
                # Nothing is shown between two phrases with their places: set them apart.
                self.shown.join(", ", gap=True)
            self._end_group()
        self._open = span
        self._phrase, self._parts, self._long = Phrase(), [], 0

    def _lengthen(self, piece: str, body: str, begins: int, raw: int) -> None:
        """More text of the phrase that is open."""
        end = raw + len(body)
        if not self._parts:
            self._phrase.start, self._phrase.source = begins, (raw, end)
            piece = body
        assert self._phrase.source is not None
        self._phrase.source = (self._phrase.source[0], end)
        self._parts.append(piece)
        self._long += len(piece)
        if self._long > PAYLOAD_LIMIT and self._open is not None:
            what = f"a phrase of more than {PAYLOAD_LIMIT:,} characters; shown as text"
            self.problem(ProblemKind.TOO_LONG, what, self._open)
            self._open, self._parts = None, []
            self._end_group()

    def _close_phrase(self) -> None:
        """The phrase is whole: places that follow are its, or those before it are."""
        phrase = self._phrase
        phrase.text = "".join(self._parts)
        if not self._parts:
            phrase.start = self.shown.at
        if self._group is None:
            self._group = Group(phrase, source=self._open or (0, 0))
        elif phrase.text:
            self._group.phrase = phrase
        self._open, self._parts = None, []

    def _unphrase(self, span: tuple[int, int]) -> None:
        if self._open is None:
            what = "the end of a phrase that was not begun; dropped"
            self.problem(ProblemKind.MALFORMED, what, span)
            return
        self._close_phrase()

    def _before(self) -> Phrase:
        """The phrase that stands before a place and is marked by nothing."""
        recent = self.shown.recent()
        self.shown.forget()
        if self._convention.phrase == "line":
            start, end = len(recent) - len(recent.lstrip()), len(recent.rstrip())
        elif self._convention.phrase == "before":
            start, end = noun_span(recent)
        else:
            return Phrase(start=self.shown.at)
        if start >= end:
            return Phrase(start=self.shown.at)
        back = len(recent) - start
        source = (self.shown.raw_end - back, self.shown.raw_end - (len(recent) - end))
        return Phrase(text=recent[start:end], start=self.shown.at - back, source=source)

    # Places ------------------------------------------------------------------------------------

    def _located(self, reading: Reading, span: tuple[int, int]) -> None:
        """Locations were read from these characters."""
        if self._open is not None:
            what = "a phrase that is not closed before its place; read all the same"
            self.problem(ProblemKind.UNTERMINATED, what, self._open)
            self._close_phrase()
        if self._group is None:
            self._group = Group(self._before())
        self.shown.take_out()
        if self._convention.phrase == "line":
            self.shown.join(", ", gap=True)
        group = self._group
        group.at(span)
        for kind, message in group.add(reading, self._placer, self._size):
            self.problem(kind, message, span)
        if reading.indices:
            for kind, message in group.pick(reading.indices, self._regions):
                self.problem(kind, message, span)

    def _state(self, token: str, span: tuple[int, int]) -> None:
        """A token whose hidden state locates the phrase."""
        self._end_run()
        order = self._states.get(token, 0)
        self._states[token] = order + 1
        if self._open is not None and self._convention.phrase != "after":
            what = "a phrase that is not closed before its place; read all the same"
            self.problem(ProblemKind.UNTERMINATED, what, self._open)
            self._close_phrase()
        if self._group is None:
            self._group = Group(self._before())
        if not self._group.states:
            what = f"{token!r} stands for a location or mask that an expert must decode"
            self.problem(ProblemKind.NEEDS_EXPERT, what, span)
        self._group.at(span)
        self._group.state(token, order)
        self.shown.take_out()

    def _end_run(self) -> None:
        """The run of numbers is whole."""
        if self._run is None:
            return
        kind, digits, span = self._run
        self._run = None
        read = self._dialect.read
        reading = read(",".join(digits)) if read is not None else None
        if reading is None:
            what = f"{kind.prefix}{digits[0]}{kind.suffix} outside a location; dropped"
            self.problem(ProblemKind.MALFORMED, what, span)
            return
        self._located(reading, span)
        if self._convention.phrase == "after":
            self._open_phrase(span, keep=True)

    def _cut_short(self, kind: Enclosed, reading: Reading, span: tuple[int, int]) -> Reading:
        """A payload that another tag or the end of the text cut short: what is whole of it."""
        shapes, broken = reading.shapes, bool(reading.problems)
        if kind.undivided:
            shapes, broken = (), True
        # Two numbers may be the first half of a box.
        sure = tuple(s for s in shapes if kind.attributes or s.kind != "point")
        broken |= len(sure) < len(shapes)
        whole = bool(sure or reading.indices or reading.boxes_3d or reading.absent)
        what = f"{kind.open!r} without {kind.close!r}"
        if whole and not broken:
            self.problem(ProblemKind.UNTERMINATED, what, span)
        else:
            self.problem(ProblemKind.TRUNCATED, f"{what}; what was cut off is dropped", span)
        return replace(reading, shapes=sure, problems=())

    def _no_location(
        self, kind: Enclosed, payload: str, span: tuple[int, int], *, closed: bool
    ) -> None:
        """A payload that is no location at all."""
        if kind.chars and closed:
            written = kind.open + payload + kind.close
            if payload.count(",") >= _MARKS:
                what = f"what looks like a location, {written[:40]!r}, is none; shown as text"
                self.problem(ProblemKind.MALFORMED, what, span)
            self.text(written, span[0])
        elif kind.chars and not any(char.isdigit() for char in payload):
            self.text(kind.open + payload, span[0])
        elif kind.chars or not closed:
            self.problem(ProblemKind.TRUNCATED, f"cut off after {kind.open!r}; dropped", span)
            self.shown.take_out()
        else:
            self.shown.take_out()
            self.text(payload, span[0] + len(kind.open))
            self.shown.take_out()

    def _end_group(self) -> None:
        """No more places come for the phrase."""
        group, self._group = self._group, None
        if group is None:
            return
        need = self._convention.phrase_need
        if not group.placed:
            what = f"{group.phrase.text!r} has no location"
            self.problem(ProblemKind.COUNT_MISMATCH, what, group.phrase.source or group.source)
            return
        if not group.phrase.text and need != "optional":
            fate = "dropped" if need == "dropped" else "kept"
            what = f"a location without a phrase; {fate}"
            self.problem(ProblemKind.NO_PHRASE, what, group.source)
            if need == "dropped":
                return
        mention, again = group.mention(group.rung or self._rung, self._seen)
        if again:
            what = f"the same place of {group.phrase.text!r} again; kept once"
            self.problem(ProblemKind.REPEATED, what, group.source)
        if mention is not None:
            self._out.append(mention)

    def _labelled(self, label: str, span: tuple[int, int]) -> None:
        """An element without content: its label is shown in its place."""
        if label and self._group is not None:
            piece, begins = self.shown.show(label, span[1])
            self._out.append(piece)
            self._group.phrase = Phrase(text=label, start=begins)
            self.shown.forget()
        self._end_group()

    def _blanks(self, blanks: str) -> None:
        excess = self.shown.wait(blanks)
        if excess:
            self._out.append(excess)


def _unfinished(payload: str) -> str:
    """A payload that is cut short, with a mark where something of its last row is missing.

    A number that the text is cut off in may have lost digits, and a comma says that another was
    to come.
    """
    whole = payload.rstrip(_NUMERIC)
    return f"{whole}?" if len(whole) < len(payload) or whole.rstrip().endswith(",") else payload
