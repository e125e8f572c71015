"""JSON, Python literals and brackets of numbers as language models really write them.

A model's list may lack its end, use single quotes, end in a comma, hold one broken entry or stand
in prose. Each object that is whole is read, whatever is wrong around it; a broken one is dropped
alone. One pass, no backing up: time grows with the length of the text, whatever is in it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from groundplane.core.locations import Rung

__all__ = ["Brackets", "LooseObject", "Reading", "narrow", "read_brackets", "read_values"]

_MAX_DEPTH = 32
_MAX_NUMBER = 40
# Far over any label; a string without an end must not swallow the answer.
_MAX_STRING = 4096

# The full-width forms of Chinese text and what they stand for, one character each, so that places
# in the text stay what they were. U+FF01 to U+FF5E are ASCII, moved up.
_WIDE = {0xFEE0 + ord(mark): mark for mark in "[](){}<>,;:.-0123456789"}
_WIDE |= str.maketrans("【】〈〉“”、", '[]<>"",')

_TOKEN = re.compile(r"\s*(?:([{}\[\](),:])|([-+]?\.?\d[\d.eE+-]*)|([\"'])|([A-Za-z_]\w*))")
_WORDS: dict[str, object] = {"true": True, "false": False, "null": None}
_LOOSE_WORDS: dict[str, object] = {"True": True, "False": False, "None": None}
_AFTER_STRING = re.compile(r"\s{0,16}(?:[,:}\])]|$)")


def narrow(text: str) -> str:
    """Full-width brackets, commas, colons, quotes and digits as plain ones, one for one.

    Examples:
        >>> narrow("猫［１，２］")
        '猫[1,2]'
        >>> narrow("")
        ''
    """
    return text.translate(_WIDE)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LooseObject:
    """An object that was read whole.

    Attributes:
        value: Its keys and values; objects within are plain dicts.
        span: Characters of the text, first and one past the last.
        depth: How many objects it lies in.
        rung: `json`; `literal` where it is no strict JSON; `salvage` where what it lies in is
            broken or cut off.
    """

    value: dict[str, object]
    span: tuple[int, int]
    depth: int
    rung: Rung


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reading:
    """What `read_values` found.

    Attributes:
        objects: In the order in which they end, so inner ones come before what holds them.
        cut: Where the text ends within an object or list: the place where that began; else None.
        broken: Places at which an object or list could not be read on.
    """

    objects: tuple[LooseObject, ...]
    cut: int | None
    broken: tuple[int, ...]


@dataclass(slots=True, eq=False, kw_only=True)
class _Open:
    """An object or list that is being read; `key` is a key that waits for its value."""

    start: int
    close: str
    items: list[object] = field(default_factory=list)
    pairs: dict[str, object] = field(default_factory=dict)
    key: str | None = None
    wants: Literal["key", "colon", "value", "comma"] = "value"


def read_values(text: str) -> Reading:
    """Read every object in a text.

    Args:
        text: An answer: JSON in a fence or bare, Python literals, cut off, in prose.

    Returns:
        All objects that are whole.

    Examples:
        >>> found = read_values('Here: [{"label": "cat", "bbox_2d": [1, 2, 3, 4]}, {"label": "do')
        >>> [(o.value["label"], o.rung) for o in found.objects], found.cut
        ([('cat', 'salvage')], 6)
        >>> read_values("no object").objects
        ()
    """
    return _Reader(text).read()


class _Reader:
    """One pass over a text with a stack of what is open."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._stack: list[_Open] = []
        self._objects: list[LooseObject] = []
        self._broken: list[int] = []
        self._loose = False
        self._first = 0
        self._no_end: dict[str, tuple[int, int]] = {}

    def read(self) -> Reading:
        at, text = 0, self._text
        while at < len(text):
            at = self._step(at) if self._stack else self._next_start(at)
        cut = self._stack[0].start if self._stack else None
        self._end_value(salvage=bool(self._stack))
        return Reading(objects=tuple(self._objects), cut=cut, broken=tuple(self._broken))

    def _next_start(self, at: int) -> int:
        """Skip prose up to what may begin a value."""
        starts = [p for p in (self._text.find("{", at), self._text.find("[", at)) if p >= 0]
        if not starts:
            return len(self._text)
        self._loose, self._first = False, len(self._objects)
        self._push(min(starts))
        return min(starts) + 1

    def _step(self, at: int) -> int:
        """Read one token within an object or list."""
        token = _TOKEN.match(self._text, at)
        if token is None:
            return len(self._text) if _REST.match(self._text, at) else self._fail(at)
        mark, number, quote, word = token.groups()
        end = token.end()
        if mark is not None:
            return end if self._mark(mark, end) else self._fail(end - 1)
        if number is not None:
            value = _number(number)
            return end if value is not None and self._take(value) else self._fail(end)
        if quote is not None:
            return self._string(quote, end)
        words = _WORDS if word in _WORDS else _LOOSE_WORDS
        self._loose |= words is _LOOSE_WORDS
        if word in words:
            return end if self._take(words[word]) else self._fail(end)
        if end == len(self._text):
            return end  # cut off within a word
        # A key without quotes; as a value a bare word says nothing that can be relied on.
        return end if self._stack[-1].wants == "key" and self._take(word) else self._fail(end)

    def _mark(self, mark: str, end: int) -> bool:
        top = self._stack[-1]
        if mark in "{[(":
            return self._may_hold() and self._push(end - 1)
        if mark == ":":
            ok, top.wants = top.wants == "colon", "value"
            return ok
        if mark == ",":
            ok = top.wants == "comma"
            top.wants = "key" if top.close == "}" else "value"
            return ok
        if mark != top.close:
            return False
        done = top.wants == "comma" or (top.key is None and top.wants != "colon")
        # A comma before the end is no JSON, and harmless.
        self._loose |= top.wants != "comma" and bool(top.items or top.pairs)
        return done and self._close(end)

    def _may_hold(self) -> bool:
        return self._stack[-1].wants == "value" and len(self._stack) < _MAX_DEPTH

    def _push(self, start: int) -> bool:
        opened = self._text[start]
        self._loose |= opened == "("
        close = {"{": "}", "[": "]", "(": ")"}[opened]
        self._stack.append(
            _Open(start=start, close=close, wants="key" if opened == "{" else "value")
        )
        return True

    def _close(self, end: int) -> bool:
        done = self._stack.pop()
        value: object = done.pairs if done.close == "}" else done.items
        if done.close == "}":
            depth = sum(opened.close == "}" for opened in self._stack)
            self._objects.append(
                LooseObject(value=done.pairs, span=(done.start, end), depth=depth, rung="json")
            )
        if not self._stack:
            self._end_value(salvage=False)
            return True
        return self._take(value)

    def _take(self, value: object) -> bool:
        """Put a value where one is wanted."""
        top = self._stack[-1]
        if top.wants == "key":
            if not isinstance(value, str):
                return False
            top.key, top.wants = value, "colon"
            return True
        if top.wants != "value":
            return False
        if top.close != "}":
            top.items.append(value)
        elif top.key is not None:
            top.pairs[top.key] = value
            top.key = None
        top.wants = "comma"
        return True

    def _string(self, quote: str, start: int) -> int:
        self._loose |= quote == "'"
        end = self._string_end(quote, start)
        if end is None:
            # Either the answer was cut off within it, or it cannot be told where it ends.
            if len(self._text) - start <= _MAX_STRING:
                return len(self._text)
            return self._fail(start)
        raw = self._text[start:end]
        return end + 1 if self._take(_unescaped(raw, quote)) else self._fail(end + 1)

    def _string_end(self, quote: str, start: int) -> int | None:
        """The quote that ends a string: one that a comma, colon, bracket or the end follows."""
        text = self._text
        limit = min(len(text), start + _MAX_STRING)
        since, until = self._no_end.get(quote, (0, 0))
        at = until if since <= start <= until else start
        while (at := text.find(quote, at, limit)) >= 0:
            before = at
            while before and text[before - 1] == "\\":
                before -= 1
            if (at - before) % 2 == 0:
                if _AFTER_STRING.match(text, at + 1):
                    return at
                self._loose = True
            at += 1
        # Nothing before the limit ends a string, so nobody has to look there again.
        self._no_end[quote] = (since if since <= start <= until else start, limit)
        return None

    def _fail(self, at: int) -> int:
        """Give up all that is open; what was whole in it is kept."""
        self._broken.append(min(at, len(self._text) - 1))
        self._stack.clear()
        self._end_value(salvage=True)
        # The mark that failed may begin something itself.
        return at if self._text[at : at + 1] in ("{", "[") else at + 1

    def _end_value(self, *, salvage: bool) -> None:
        """Say of the objects of one outermost value how they were read."""
        rung: Rung = "salvage" if salvage else "literal" if self._loose else "json"
        for index in range(self._first, len(self._objects)):
            found = self._objects[index]
            self._objects[index] = LooseObject(
                value=found.value, span=found.span, depth=found.depth, rung=rung
            )
        self._first = len(self._objects)


def _number(text: str) -> float | None:
    if len(text) > _MAX_NUMBER:
        return None
    try:
        return float(text)
    except ValueError:
        return None


def _unescaped(raw: str, quote: str) -> str:
    if "\\" not in raw:
        return raw
    try:
        body = raw.replace("\\'", "'") if quote == "'" else raw
        value = json.loads(f'"{body}"', strict=False)
    except ValueError:
        return raw
    return value if isinstance(value, str) else raw


# Brackets of numbers -------------------------------------------------------------------------

_OPENING, _CLOSING = "[({<", "])}>"
_REST = re.compile(r"\s*\Z")
_PART = re.compile(r"\s*(?:([\[({<])|([\])}>])|([,;])|([-+]?\.?\d[\d.]*))")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Brackets:
    """A bracket that holds numbers alone, or brackets of numbers.

    Attributes:
        groups: The numbers of each innermost bracket, split at `;` too.
        span: Characters of the text, first and one past the last.
        opening: How it opens, such as `[` or `[[`.
        whole: Whether it was closed; if not, the last numbers may be cut off and are left out.
    """

    groups: tuple[tuple[float, ...], ...]
    span: tuple[int, int]
    opening: str
    whole: bool


def read_brackets(text: str, *, opening: str = _OPENING) -> Iterator[Brackets]:
    """Find brackets of numbers, whatever their kind.

    Args:
        text: An answer.
        opening: Which brackets may begin one.

    Yields:
        Brackets with one number or more, in order.

    Examples:
        >>> [b.groups for b in read_brackets("a dog [[1, 2, 3, 4], [5, 6, 7, 8]] and (9, 10)")]
        [((1.0, 2.0, 3.0, 4.0), (5.0, 6.0, 7.0, 8.0)), ((9.0, 10.0),)]
        >>> list(read_brackets("3 of the 4 chairs [sic]"))
        []
    """
    at = 0
    while (start := _first_of(text, opening, at)) >= 0:
        found, at = _bracket(text, start)
        if found is not None:
            yield found


def _first_of(text: str, marks: str, at: int) -> int:
    match = re.compile(f"[{re.escape(marks)}]").search(text, at)
    return match.start() if match else -1


def _bracket(text: str, start: int) -> tuple[Brackets | None, int]:
    """The bracket that begins at a place, and where to go on."""
    groups: list[tuple[float, ...]] = []
    numbers: list[float] = []
    open_marks: list[str] = []
    lead, at = "", start
    while (part := _PART.match(text, at)) is not None:
        opened, closed, parting, number = part.groups()
        if opened is not None:
            if numbers or len(open_marks) >= _MAX_DEPTH:
                break
            lead += opened if not groups else ""
            open_marks.append(opened)
        elif closed is not None:
            if _OPENING[_CLOSING.index(closed)] != open_marks.pop():
                break
            groups += [tuple(numbers)] if numbers else []
            numbers = []
            if not open_marks:
                end = part.end()
                made = Brackets(groups=tuple(groups), span=(start, end), opening=lead, whole=True)
                return (made if groups else None), end
        elif parting == ";" and numbers:
            groups.append(tuple(numbers))
            numbers = []
        elif number is not None:
            value = _number(number)
            if value is None:
                break
            numbers.append(value)
        at = part.end()
    end = len(text) if _REST.match(text, at) else at
    kept = Brackets(groups=tuple(groups), span=(start, end), opening=lead, whole=False)
    cut_off = end == len(text) and bool(numbers)
    return (kept if groups or cut_off else None), max(at, start + 1)
