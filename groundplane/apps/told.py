"""How commands tell their results."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, redirect_stdout
from typing import TypeVar

__all__ = ["counted", "dump", "one_line", "quiet", "quietly"]

T = TypeVar("T")

# JSON lets these stand in a text, but many readers part lines at them.
_LINE_ENDS = {mark: f"\\u{mark:04x}" for mark in (0x85, 0x2028, 0x2029)}


def dump(record: object, *, indent: int | None = None) -> str:
    """JSON in letters that stdout can write, on one line unless indented."""
    plain = (sys.stdout.encoding or "").lower().replace("-", "") != "utf8"
    text = json.dumps(record, ensure_ascii=plain, indent=indent, allow_nan=False)
    return text.translate(_LINE_ENDS)


def counted(number: int, noun: str) -> str:
    """So many of a thing.

    Examples:
        >>> counted(1, "picture"), counted(2000, "picture")
        ('1 picture', '2,000 pictures')
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def one_line(text: str, most: int = 200) -> str:
    """Somebody else's text on one line.

    Examples:
        >>> one_line("a red\\n cup")
        'a red cup'
        >>> one_line("")
        ''
    """
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 3]}..."


def quiet() -> AbstractContextManager[object]:
    """What an expert's library prints meanwhile goes to stderr: stdout is for results alone."""
    return redirect_stdout(sys.stderr)


def quietly(items: Iterable[T]) -> Iterator[T]:
    """The same items; what is printed while one is made goes to stderr.

    Examples:
        >>> list(quietly(print("said to stderr") for _ in range(2)))
        [None, None]
    """
    remaining = iter(items)
    while True:
        with quiet():
            item = next(remaining, _END)
        if isinstance(item, _End):
            return
        yield item


class _End:
    """No item: the end of what is iterated over."""


_END = _End()
