"""JSON as models write it: strict first, then with single quotes, trailing commas, Python words,
and quotes within strings.

Nothing is evaluated; depth and length are bounded.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

__all__ = ["read_value"]

_DEPTH = 12
_WORDS = {
    "true": True,
    "false": False,
    "null": None,
    "True": True,
    "False": False,
    "None": None,
}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}


def read_value(text: str) -> tuple[Any, bool] | None:
    """A value, and whether it is strict JSON; None where it cannot be read.

    Examples:
        >>> read_value('{"a": [1, 2]}'), read_value("{'a': (1, 2,), 'b': None,}")
        (({'a': [1, 2]}, True), ({'a': [1, 2], 'b': None}, False))
        >>> read_value('{"a": }'), read_value("")
        (None, None)
    """
    try:
        return json.loads(text, parse_constant=_refuse), True
    except (ValueError, RecursionError):
        pass
    try:
        reader = _Reader(text)
        value = reader.value(0)
        reader.blanks()
    except (ValueError, IndexError):
        return None
    return (value, False) if reader.at == len(text) else None


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number")


class _Reader:
    """Reads one value from the left."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0

    def blanks(self) -> None:
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1

    def value(self, depth: int) -> Any:
        self.blanks()
        first = self.text[self.at]
        if depth > _DEPTH:
            raise ValueError("nested too deep")
        if first == "{":
            return self._object(depth)
        if first in "[(":
            return self._list("]" if first == "[" else ")", depth)
        return self._string(first) if first in "\"'" else self._word()

    def _object(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        self.at += 1
        while not self._ends("}"):
            if self.text[self.at] not in "\"'":
                raise ValueError("a key without quotes")
            key = self._string(self.text[self.at])
            self.blanks()
            if self.text[self.at] != ":":
                raise ValueError("a key without a value")
            self.at += 1
            found[key] = self.value(depth + 1)
            self._comma("}")
        return found

    def _list(self, closer: str, depth: int) -> list[Any]:
        found = []
        self.at += 1
        while not self._ends(closer):
            found.append(self.value(depth + 1))
            self._comma(closer)
        return found

    def _ends(self, closer: str) -> bool:
        self.blanks()
        if self.text[self.at] != closer:
            return False
        self.at += 1
        return True

    def _comma(self, closer: str) -> None:
        self.blanks()
        if self.text[self.at] == ",":
            self.at += 1
        elif self.text[self.at] != closer:
            raise ValueError("two values without a comma")

    def _string(self, quote: str) -> str:
        parts = []
        self.at += 1
        while (char := self.text[self.at]) != quote or not self._closes():
            self.at += 1
            if char == "\\":
                char = self.text[self.at]
                self.at += 1
                if char == "u":
                    char = chr(int(self.text[self.at : self.at + 4], 16))
                    self.at += 4
                else:
                    char = _ESCAPES.get(char, char)
            parts.append(char)
        self.at += 1
        return "".join(parts)

    def _closes(self) -> bool:
        """Whether the quote here ends its string: models forget to escape those within."""
        at = self.at + 1
        while at < len(self.text) and self.text[at].isspace():
            at += 1
        return at == len(self.text) or self.text[at] in ",:}])"

    def _word(self) -> Any:
        start = self.at
        while self.at < len(self.text) and (
            self.text[self.at].isalnum() or self.text[self.at] in "+-._"
        ):
            self.at += 1
        word = self.text[start : self.at]
        if word in _WORDS:
            return _WORDS[word]
        if len(word) > 24 or not word.isascii() or word.strip("0123456789.eE+-"):
            raise ValueError(f"{word[:24]!r} is no value")
        return float(word) if word.strip("-0123456789") else int(word)
