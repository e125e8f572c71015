"""Brackets of numbers as language models really write them, and full-width signs.

One pass, no backing up: time grows with the length of the text, whatever is in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Brackets", "narrow", "read_brackets"]

_MAX_DEPTH = 32
_MAX_NUMBER = 40

# The full-width forms of Chinese text and what they stand for, one character each, so that places
# in the text stay what they were. U+FF01 to U+FF5E are ASCII, moved up.
_WIDE = {0xFEE0 + ord(mark): ord(mark) for mark in "[](){}<>,;:.-0123456789"}
_WIDE |= str.maketrans("【】〈〉“”、", '[]<>"",')

_OPENING, _CLOSING = "[({<", "])}>"
_REST = re.compile(r"\s*\Z")
_PART = re.compile(r"\s*(?:([\[({<])|([\])}>])|([,;])|([-+]?\.?\d[\d.]*))")


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


def _number(text: str) -> float | None:
    if len(text) > _MAX_NUMBER:
        return None
    try:
        return float(text)
    except ValueError:
        return None
