"""Keys: sent, and shown nowhere, whatever a server says back."""

from __future__ import annotations

import email.utils
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from groundplane.language.chat.transport import Delta, ToolPart

__all__ = ["Secret", "retry_after"]

_SHOWN = "[key]"


class Secret:
    """A key that is taken out of everything that is read.

    Args:
        key: The key; empty: there is none.

    Examples:
        >>> Secret("abc").scrub("no key abc"), Secret("").scrub("abc"), Secret("abc")
        ('no key [key]', 'abc', Secret(...))
    """

    __slots__ = ("_key",)

    def __init__(self, key: str) -> None:
        self._key = key

    def __repr__(self) -> str:
        return "Secret(...)"

    def __reduce__(self) -> str:
        raise TypeError("a key is not pickled")

    @property
    def headers(self) -> Mapping[str, str]:
        """What a request carries."""
        return {"Authorization": f"Bearer {self._key}"} if self._key else {}

    def scrub(self, text: str) -> str:
        """A text without the key."""
        return text.replace(self._key, _SHOWN) if self._key else text

    def hidden(self, deltas: Iterable[Delta]) -> Iterator[Delta]:
        """Deltas without the key, wherever it is cut; its beginning is held back."""
        text = ""
        arguments: dict[int, str] = {}
        for delta in deltas:
            if not self._key:
                yield delta
                continue
            text, shown = self._split(text + delta.text, last=bool(delta.finish))
            calls = []
            for part in delta.calls:
                whole = arguments.get(part.index, "") + part.arguments
                arguments[part.index], said = self._split(whole, last=bool(delta.finish))
                id_, name = self.scrub(part.id), self.scrub(part.name)
                calls.append(replace(part, id=id_, name=name, arguments=said))
            if delta.finish:
                rest = [(index, held) for index, held in arguments.items() if held]
                calls += [ToolPart(index=index, arguments=held) for index, held in rest]
                arguments = {}
            stopped = self.scrub(delta.stopped_at)
            yield replace(delta, text=shown, calls=tuple(calls), stopped_at=stopped)

    def _split(self, text: str, *, last: bool) -> tuple[str, str]:
        """What is held back, and what may be shown."""
        text = self.scrub(text)
        most = 0 if last else min(len(self._key) - 1, len(text))
        kept = next((n for n in range(most, 0, -1) if text.endswith(self._key[:n])), 0)
        return text[len(text) - kept :], text[: len(text) - kept]


def retry_after(text: str) -> float:
    """Seconds that a `Retry-After` header asks for: a number or a date; 0 where it is neither.

    Examples:
        >>> retry_after("3"), retry_after("soon"), retry_after("")
        (3.0, 0.0, 0.0)
    """
    text = text.strip()
    if text.isdecimal() and text.isascii():
        return float(text[:9])
    try:
        when = email.utils.parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError):
        return 0.0
    return max(0.0, when - time.time())
