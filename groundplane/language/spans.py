"""Tokens to text as they come, and the stretches of it that ask for something."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from groundplane.grounding.dialects.grammar import PAYLOAD_LIMIT
from groundplane.language.triggers import Trigger

__all__ = ["Closed", "Detokeniser", "Given", "Piece", "State", "Watcher", "encode"]

# How a decoder writes bytes that are no whole sign yet, and the most tokens that one can take:
# a longer row of them is no text.
_PART = "\N{REPLACEMENT CHARACTER}"
_MOST_PARTS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Text that tokens stand for.

    Attributes:
        text: The text, or the tag of a special token.
        special: Whether it is a special token.
        tokens: How many tokens it came from.
    """

    text: str
    special: bool = False
    tokens: int = 1


class Detokeniser:
    """Reads token ids one by one; gives text as soon as it can no longer change.

    Args:
        tokenizer: Of transformers.
        tags: Tokens to be given as special ones even where the tokenizer counts them as words.
    """

    def __init__(self, tokenizer: Any, *, tags: Collection[str] = ()) -> None:
        self._tokenizer = tokenizer
        self._special = special_tokens(tokenizer, tags)
        self._window: list[int] = []
        self._old, self._known = 0, ""

    def feed(self, token: int) -> list[Piece]:
        """Take the next token; a sign whose bytes are not all there yet is held back."""
        tag = self._special.get(token)
        if tag is not None:
            held = self.close()
            self._window, self._old, self._known = [token], 1, tag
            return [*held, Piece(text=tag, special=True)]
        self._window.append(token)
        waiting = len(self._window) - self._old
        text = self._decode(self._window)
        if text.endswith(_PART) and waiting < _MOST_PARTS:
            return []
        return self._give(text, waiting)

    def close(self) -> list[Piece]:
        """No more tokens come: what was held back, as it is."""
        waiting = len(self._window) - self._old
        return self._give(self._decode(self._window), waiting) if waiting else []

    def _give(self, text: str, count: int) -> list[Piece]:
        piece = text[len(self._known) :]
        self._window = self._window[self._old :]
        self._old, self._known = len(self._window), self._decode(self._window)
        return [Piece(text=piece, tokens=count)] if piece else []

    def _decode(self, tokens: Sequence[int]) -> str:
        text: str = self._tokenizer.decode(
            list(tokens), skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        return text


def special_tokens(tokenizer: Any, tags: Collection[str] = ()) -> dict[int, str]:
    """The special tokens of a tokenizer, and those of its added words that are `tags`."""
    added = {
        number: token.content
        for number, token in tokenizer.added_tokens_decoder.items()
        if token.special or token.content in tags
    }
    known = zip(tokenizer.all_special_ids, tokenizer.all_special_tokens, strict=True)
    return {int(number): str(tag) for number, tag in [*known, *added.items()]}


def encode(tokenizer: Any, text: str, *, tags: Collection[str] = ()) -> list[int]:
    """Text to tokens; only `tags` become special ones, however the rest is spelled.

    Args:
        tokenizer: Of transformers.
        text: What a model is to read in the middle of its answer.
        tags: Signs of the model's own that the text may use.
    """
    known = {tag: number for number, tag in special_tokens(tokenizer, tags).items() if tag in tags}
    if not known:
        return _plain(tokenizer, text)
    longest = sorted(map(re.escape, known), key=len, reverse=True)
    ids: list[int] = []
    for part in re.split(f"({'|'.join(longest)})", text):
        if part in known:
            ids.append(known[part])
        elif part:
            ids += _plain(tokenizer, part)
    return ids


def _plain(tokenizer: Any, text: str) -> list[int]:
    coded = tokenizer(text, add_special_tokens=False, split_special_tokens=True)
    return [int(number) for number in coded["input_ids"]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """Text that goes on to the reader: a tag is given as such."""

    text: str
    special: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A tag whose hidden state locates something, and how many of it came before."""

    tag: str
    order: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Closed:
    """A stretch is whole.

    Attributes:
        trigger: Its kind; None of one that was given up: it is text.
        payload: What it holds.
    """

    trigger: Trigger | None
    payload: str


class Watcher:
    """Finds the stretches that triggers ask for, in any split of a text.

    Args:
        triggers: What to look for.
        passing: Those of them whose signs and payload go on to the reader as well; the others are
            taken out of the text.
        states: Tags to be told of; they go on to the reader.
        limit: Longest payload, characters; a longer one is text.

    Attributes:
        rest: After a `Closed`, which is the last of what `feed` gives: the text behind the sign
            that came with it. Feeding goes on with it, unless it is set to "".

    Examples:
        >>> ask = Trigger(open="<p>", close="</p>", ask=lambda asked: None, tell=lambda told: "")
        >>> watcher = Watcher([ask], passing=[ask])
        >>> [found.text for found in watcher.feed("a <") + watcher.feed("p>do")]
        ['a ', '<p>', 'do']
        >>> watcher.feed("g</p>.")[-1].payload, watcher.rest
        ('dog', '.')
        >>> watcher.close()
        [Given(text='.', special=False)]
    """

    def __init__(
        self,
        triggers: Sequence[Trigger],
        *,
        passing: Sequence[Trigger] = (),
        states: Sequence[str] = (),
        limit: int = PAYLOAD_LIMIT,
    ) -> None:
        self._openers = {trigger.open: trigger for trigger in reversed(triggers)}
        self._signs = tuple(sorted({*self._openers, *states}, key=len, reverse=True))
        self._passing = tuple(passing)
        self._states = dict.fromkeys(states, 0)
        self._limit = limit
        self._open: Trigger | None = None
        self._payload = ""
        self.rest = ""

    @property
    def opened(self) -> Trigger | None:
        """The kind of the stretch that is open."""
        return self._open

    @property
    def quiet(self) -> bool:
        """Whether nothing is held back and no stretch is open."""
        return self._open is None and not self.rest

    def feed(self, text: str, *, special: bool = False) -> list[Given | State | Closed]:
        """Take the next text, or the tag of a special token; gives what is certain now."""
        found: list[Given | State | Closed] = []
        if special:
            self._flush(found)
            self._special(text, found)
            return found
        self.rest += text
        while self.rest:
            before = len(self.rest)
            self._walk(found)
            if len(self.rest) == before or (found and isinstance(found[-1], Closed)):
                break
        return found

    def close(self) -> list[Given | State | Closed]:
        """The text ends here; a stretch that never closed is text."""
        found: list[Given | State | Closed] = []
        self._flush(found)
        if self._open is not None:
            self._give_up(found)
        return found

    def _walk(self, found: list[Given | State | Closed]) -> None:
        if self._open is None:
            at, sign = self._first(self.rest)
            if sign:
                self._text(self.rest[:at], found)
                self.rest = self.rest[at + len(sign) :]
                self._opener(sign, found, special=False)
                return
        else:
            at, sign = self.rest.find(self._open.close), self._open.close
            if at >= 0:
                self._text(self.rest[:at], found)
                self.rest = self.rest[at + len(sign) :]
                self._closer(sign, found, special=False)
                return
        signs = self._signs if self._open is None else (self._open.close,)
        keep = _held(self.rest, signs)
        self._text(self.rest[: len(self.rest) - keep], found)
        self.rest = self.rest[len(self.rest) - keep :]

    def _first(self, text: str) -> tuple[int, str]:
        best, which = len(text), ""
        for sign in self._signs:
            at = text.find(sign)
            if 0 <= at < best:
                best, which = at, sign
        return best, which

    def _special(self, tag: str, found: list[Given | State | Closed]) -> None:
        if self._open is not None and tag == self._open.close:
            self._closer(tag, found, special=True)
            return
        if self._open is not None and self._open not in self._passing:
            self._text(tag, found)
            return
        if self._open is not None:
            self._open = None  # another sign within a phrase: no phrase that can be asked for
        if tag in self._openers or tag in self._states:
            self._opener(tag, found, special=True)
        else:
            found.append(Given(text=tag, special=True))

    def _opener(self, sign: str, found: list[Given | State | Closed], *, special: bool) -> None:
        if sign in self._states:
            found += [
                Given(text=sign, special=special),
                State(tag=sign, order=self._states[sign]),
            ]
            self._states[sign] += 1
            return
        self._open, self._payload = self._openers[sign], ""
        if self._open in self._passing:
            found.append(Given(text=sign, special=special))

    def _closer(self, sign: str, found: list[Given | State | Closed], *, special: bool) -> None:
        trigger, payload = self._open, self._payload
        self._open, self._payload = None, ""
        assert trigger is not None
        if trigger in self._passing:
            found.append(Given(text=sign, special=special))
        found.append(Closed(trigger=trigger, payload=payload))

    def _text(self, text: str, found: list[Given | State | Closed]) -> None:
        if not text:
            return
        if self._open is None:
            found.append(Given(text=text))
            return
        self._payload += text
        if self._open in self._passing:
            found.append(Given(text=text))
        if len(self._payload) > self._limit:
            self._give_up(found)

    def _give_up(self, found: list[Given | State | Closed]) -> None:
        trigger, payload = self._open, self._payload
        self._open, self._payload = None, ""
        assert trigger is not None
        if trigger not in self._passing:
            found.append(Given(text=trigger.open + payload))
            found.append(Closed(trigger=None, payload=trigger.open))

    def _flush(self, found: list[Given | State | Closed]) -> None:
        held, self.rest = self.rest, ""
        self._text(held, found)


def _held(text: str, signs: Sequence[str]) -> int:
    """How many of the last characters could still become a sign."""
    for count in range(min(len(text), max(map(len, signs), default=1) - 1), 0, -1):
        tail = text[-count:]
        if any(sign.startswith(tail) for sign in signs):
            return count
    return 0
