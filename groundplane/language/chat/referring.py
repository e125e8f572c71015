"""Words of an answer that name what an expert has found before: they refer to its regions."""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["Referrer"]

# Phrases that are looked out for at most.
_MOST = 256
# Letters that a plural adds.
_PLURAL = 2


class Referrer:
    """Splits a text, as it comes, into pieces that name something and pieces that do not.

    Examples:
        >>> referrer = Referrer()
        >>> referrer.add("dog", ["r1", "r2"])
        >>> referrer.feed("Two dogs "), referrer.close()
        ([('Two', ())], [(' ', ()), ('dogs', ('r1', 'r2')), (' ', ())])
        >>> Referrer().feed("a dog"), Referrer().close()
        ([('a dog', ())], [])
    """

    def __init__(self) -> None:
        self._ids: dict[str, tuple[str, ...]] = {}
        self._pattern: re.Pattern[str] | None = None
        self._longest, self._held, self._before = 0, "", ""

    def add(self, phrase: str, ids: Sequence[str]) -> None:
        """From now on the phrase, and its plural in `s` or `es`, refers to these regions."""
        key = " ".join(phrase.split()).casefold()
        if not key or not ids or (key not in self._ids and len(self._ids) >= _MOST):
            return
        self._ids[key] = tuple(dict.fromkeys((*self._ids.get(key, ()), *ids)))
        words = sorted(self._ids, key=len, reverse=True)
        either = "|".join(re.escape(word) for word in words)
        self._pattern = re.compile(rf"(?<!\w)({either})(?:e?s)?(?!\w)", re.IGNORECASE)
        # With the character behind it, which tells whether the word ends there.
        self._longest = len(words[0]) + _PLURAL + 1

    def feed(self, text: str) -> list[tuple[str, tuple[str, ...]]]:
        """Take the next characters; gives the pieces that are certain now."""
        self._held += text
        return self._split(max(0, len(self._held) - self._longest))

    def close(self) -> list[tuple[str, tuple[str, ...]]]:
        """The text ends here; gives the rest."""
        return self._split(len(self._held))

    def _split(self, until: int) -> list[tuple[str, tuple[str, ...]]]:
        """The pieces up to a character; a name that begins before it and is whole goes along."""
        pieces: list[tuple[str, tuple[str, ...]]] = []
        # One character before, so that a word that was begun is not taken for a new one.
        text, at = self._before + self._held, len(self._before)
        until += at
        while self._pattern is not None:
            # One that begins before `until` is there in full, with the character behind it.
            match = self._pattern.search(text, at)
            if match is None or match.start() >= until:
                break
            if match.start() > at:
                pieces.append((text[at : match.start()], ()))
            pieces.append((match.group(), self._ids.get(match.group(1).casefold(), ())))
            at = match.end()
        if until > at:
            pieces.append((text[at:until], ()))
            at = until
        self._held = text[at:]
        self._before = text[at - 1 : at] if at else ""
        return pieces
