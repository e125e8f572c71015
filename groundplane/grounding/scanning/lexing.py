"""Signs in a stream of text: which characters are a tag, a payload or just text.

Every character is looked at once. Only what could still become a sign is held back, at most
`TAG_LIMIT` characters outside a payload; a payload is held until it closes, at most to its limit.
"""

from __future__ import annotations

from typing import Literal, Protocol, runtime_checkable

from groundplane.core.locations import ProblemKind
from groundplane.grounding.dialects.grammar import (
    TAG_LIMIT,
    Enclosed,
    Numbered,
    Syntax,
)

__all__ = ["Sink", "TagLexer"]

# Stands for a bracket that ordinary tokens spell where only special tokens count.
_FORGED = "\ufffd"
_CLOSERS = {"<": ">", "[": "]", "{": "}", "(": ")"}

Role = Literal["phrase", "unphrase", "state", "join", "ignored", "unplace"]


@runtime_checkable
class Sink(Protocol):
    """Is told what the signs of a text are, in order, with offsets in the raw text."""

    def text(self, text: str, start: int) -> None:
        """Characters that are just text."""

    def tag(self, role: Role, tag: str, start: int) -> None:
        """A tag without a payload."""

    def number(self, kind: Numbered, digits: str, start: int) -> None:
        """A tag with a number, outside a payload."""

    def place(self, kind: Enclosed, payload: str, span: tuple[int, int], *, closed: bool) -> None:
        """A payload and the signs around it; not closed where another tag cut it short."""

    def spill(self, kind: Enclosed, payload: str, start: int) -> None:
        """What began as a payload, but is just text."""

    def end(self, char: str, start: int) -> None:
        """A character that may end a phrase."""

    def problem(self, kind: ProblemKind, message: str, span: tuple[int, int]) -> None:
        """Something is wrong with the signs themselves."""


class TagLexer:
    """Finds the tags and payloads of a dialect.

    Args:
        syntax: The dialect's signs.
        sink: Is told what is found.
        spelled: Tags count where characters spell them; else only where `special` brings them.
    """

    __slots__ = (
        "_base",
        "_buffer",
        "_ends",
        "_inline",
        "_kind",
        "_numbered",
        "_opened",
        "_openers",
        "_payload",
        "_prefixes",
        "_quote",
        "_seen",
        "_sink",
        "_spelled",
        "_tags",
        "_wide",
        "_within",
        "cut",
        "triggers",
    )

    def __init__(self, syntax: Syntax, sink: Sink, *, spelled: bool = True) -> None:
        self._sink = sink
        self._buffer, self._base = "", 0
        self._kind: Enclosed | None = None
        self._payload, self._opened, self._quote = "", 0, ""
        self._spelled, self._ends, self._numbered = spelled, syntax.ends, syntax.numbered
        self._within = frozenset(syntax.within)
        self._tags = _roles(syntax)
        self._openers = {kind.open: kind for kind in syntax.enclosed}
        self._wide = tuple(kind.open for kind in syntax.enclosed if kind.attributes)
        inline = [kind.open for kind in syntax.enclosed if kind.chars]
        self._inline = tuple(sorted(inline, key=len, reverse=True))
        literals = [*self._tags, *(o for o in self._openers if o not in inline)]
        self._prefixes = frozenset(tag[:n] for tag in literals for n in range(1, len(tag)))
        firsts = [opener[0] for opener in inline]
        if spelled:
            firsts += [tag[0] for tag in literals] + [kind.prefix[0] for kind in syntax.numbered]
        self.triggers = tuple(dict.fromkeys([*firsts, *syntax.ends]))
        self._seen = [-1] * len(self.triggers)
        self.cut = False

    @property
    def holds(self) -> bool:
        """Whether characters are held back."""
        return bool(self._buffer) or self._kind is not None

    def pass_over(self, count: int) -> None:
        """Characters without any sign went by."""
        self._base += count

    def feed(self, piece: str) -> None:
        """Take the next characters."""
        self._buffer += piece
        self._seen = [-1] * len(self.triggers)
        at, end = 0, len(self._buffer)
        while at < end:
            kind = self._kind
            after = self._walk(at, kind)
            if after == at and self._kind is kind:
                break
            at = after
        self._buffer = self._buffer[at:]
        self._base += at

    def special(self, tag: str) -> None:
        """Take a special token, as its tag."""
        self._flush()
        kind, start = self._kind, self._base
        self._base += len(tag)
        numbered = self._number(tag)
        if kind is not None and kind.role == "nothing":
            if tag == kind.close:
                self._finish(start + len(tag), closed=True)
            return
        if kind is not None and kind.chars:
            self._spill()
        elif kind is not None and (numbered or tag in self._within):
            self._payload += tag
            if len(self._payload) >= kind.limit:
                self._too_long()
            return
        elif kind is not None and tag == kind.close:
            self._finish(start + len(tag), closed=True)
            return
        elif kind is not None:
            self._finish(start, closed=False, nested=tag == kind.open)
        if tag in self._tags or tag in self._openers or numbered:
            self._apply(tag, start)
        else:
            # No sign of this dialect: a control token of its tokenizer.
            self._sink.tag("ignored", tag, start)

    def close(self) -> None:
        """The text ends here: say what is left."""
        self._flush()
        if self._kind is not None:
            self._finish(self._base, closed=False)

    def _flush(self) -> None:
        """What is held can no longer become a tag: it is text, or the rest of a payload."""
        held, self._buffer = self._buffer, ""
        start = self._base
        self._base += len(held)
        if not held:
            return
        if self._kind is not None:
            if not self._spelled:
                self._payload += held.replace("<", _FORGED)
            elif not self._may_become_tag(held):
                self._payload += held
        elif len(held) > 1 and self._spelled and self._may_become_tag(held):
            what = f"half a tag, {held!r}; dropped"
            self._sink.problem(ProblemKind.TRUNCATED, what, (start, self._base))
        else:
            self._sink.text(held, start)

    # Walking the buffer: each walk gives where it came to -------------------------------------

    def _walk(self, at: int, kind: Enclosed | None) -> int:
        if kind is None:
            return self._walk_text(at)
        if kind.chars:
            return self._walk_inline(at, kind)
        if kind.role == "nothing":
            return self._walk_nothing(at, kind)
        return self._walk_attributes(at, kind) if kind.attributes else self._walk_payload(at, kind)

    def _walk_text(self, at: int) -> int:
        buffer, end, base = self._buffer, len(self._buffer), self._base
        look = at
        while (found := self._next(look)) < end:
            sign = self._sign(found)
            if sign == "":
                look = found + 1
                continue
            if found > at:
                self._sink.text(buffer[at:found], base + at)
            if sign is None:
                return found
            at = look = found + len(sign)
            self._apply(sign, base + found)
            if self._kind is not None:
                return at
        if end > at:
            self._sink.text(buffer[at:], base + at)
        return end

    def _walk_payload(self, at: int, kind: Enclosed) -> int:
        buffer, end = self._buffer, len(self._buffer)
        room = kind.limit - len(self._payload)
        found = buffer.find("<", at, at + room)
        stop = found if found >= 0 else min(end, at + room)
        self._payload += buffer[at:stop]
        if stop - at >= room:
            self._too_long()
            return stop
        if stop == end:
            return end
        tag = self._tag_at(stop) if self._spelled else ""
        if tag is None:
            return stop
        if tag == kind.close:
            self._finish(self._base + stop + len(tag), closed=True)
            return stop + len(tag)
        if not tag or self._number(tag):
            return self._keep(tag or buffer[stop], stop, kind)
        self._finish(self._base + stop, closed=False, nested=tag == kind.open)
        return stop

    def _walk_nothing(self, at: int, kind: Enclosed) -> int:
        """What is not shown is not held, and so has no limit: a model may think at length."""
        buffer, close = self._buffer, kind.close
        found = buffer.find(close, at) if self._spelled else -1
        if found >= 0:
            self._finish(self._base + found + len(close), closed=True)
            return found + len(close)
        held = max(at, len(buffer) - len(close) + 1) if self._spelled else len(buffer)
        while held < len(buffer) and not close.startswith(buffer[held:]):
            held += 1
        return held

    def _keep(self, piece: str, at: int, kind: Enclosed) -> int:
        """A bracket or numbered tag belongs to the payload."""
        self._payload += piece if self._spelled else _FORGED
        if len(self._payload) >= kind.limit:
            self._too_long()
        return at + len(piece)

    def _walk_inline(self, at: int, kind: Enclosed) -> int:
        buffer, close = self._buffer, kind.close
        before = len(self._payload)
        chunk = buffer[at : at + kind.limit - before]
        used = len(chunk) - len(chunk.lstrip(kind.chars))
        if chunk[:used].endswith("<"):
            # It may begin a tag: it is the payload's only with what follows it.
            used -= 1
        self._payload += chunk[:used]
        stop = at + used
        found = self._payload.find(close, max(0, before - len(close) + 1))
        if found >= 0:
            stop = at + found + len(close) - before
            self._payload = self._payload[:found]
            self._finish(self._base + stop, closed=True)
        elif len(self._payload) >= kind.limit:
            self._too_long()
        elif buffer.startswith(close, stop):
            stop += len(close)
            self._finish(self._base + stop, closed=True)
        elif stop < len(buffer) and not self._undecided(stop, close):
            self._spill()
        return stop

    def _undecided(self, at: int, close: str) -> bool:
        """Whether the payload's end, or a tag, may begin here but is not whole yet."""
        # Of a long buffer only the next characters are copied.
        rest = self._buffer[at : at + len(close) + 1]
        last = at + len(rest) == len(self._buffer)
        return last and (rest == "<" or close.startswith(rest))

    def _walk_attributes(self, at: int, kind: Enclosed) -> int:
        buffer = self._buffer
        stop = min(len(buffer), at + kind.limit - len(self._payload))
        for place in range(at, stop):
            char = buffer[place]
            if self._quote:
                self._quote = "" if char == self._quote else self._quote
            elif char in "\"'":
                self._quote = char
            elif char == kind.close:
                self._payload += buffer[at:place]
                self._finish(self._base + place + 1, closed=True)
                return place + 1
            elif char == "<":
                self._payload += buffer[at:place]
                self._spill()
                return place
        self._payload += buffer[at:stop]
        if len(self._payload) >= kind.limit:
            self._too_long()
        return stop

    def _next(self, start: int) -> int:
        """The next character that may begin a sign; the buffer's end where there is none."""
        buffer, end = self._buffer, len(self._buffer)
        if len(self.triggers) == 1:
            found = buffer.find(self.triggers[0], start)
            return found if found >= 0 else end
        nearest = end
        for k, char in enumerate(self.triggers):
            # Where each was found last is kept: finding the others again and again would take
            # quadratic time in a text that is full of one of them.
            if self._seen[k] < start:
                found = buffer.find(char, start)
                self._seen[k] = found if found >= 0 else end
            nearest = min(nearest, self._seen[k])
        return nearest

    # Signs -----------------------------------------------------------------------------------

    def _sign(self, at: int) -> str | None:
        """The sign that begins here, empty where none does; None where it is not known yet."""
        buffer = self._buffer
        if buffer[at] in self._ends:
            return buffer[at]
        if self._spelled:
            tag = self._tag_at(at)
            if tag != "":
                return tag
        for opener in self._inline:
            if buffer.startswith(opener, at):
                return opener
            if len(buffer) - at < len(opener) and opener.startswith(buffer[at:]):
                return None
        return ""

    def _tag_at(self, at: int) -> str | None:
        buffer = self._buffer
        for opener in self._wide:
            if buffer.startswith(opener, at):
                return opener
        close = buffer.find(_CLOSERS[buffer[at]], at + 1, at + TAG_LIMIT)
        if close >= 0:
            tag = buffer[at : close + 1]
            known = tag in self._tags or tag in self._openers or self._number(tag)
            return tag if known else ""
        held = buffer[at : at + TAG_LIMIT]
        if not self._may_become_tag(held):
            return ""
        if len(held) < TAG_LIMIT:
            return None
        span = (self._base + at, self._base + at + TAG_LIMIT)
        what = f"a tag of more than {TAG_LIMIT} characters; shown as text"
        self._sink.problem(ProblemKind.TOO_LONG, what, span)
        return ""

    def _may_become_tag(self, held: str) -> bool:
        if held in self._prefixes:
            return True
        for kind in self._numbered:
            digits = held[len(kind.prefix) :]
            if kind.prefix.startswith(held) or (
                held.startswith(kind.prefix) and digits.isdigit() and digits.isascii()
            ):
                return True
        return False

    def _number(self, tag: str) -> tuple[Numbered, str] | None:
        for kind in self._numbered:
            if tag.startswith(kind.prefix) and tag.endswith(kind.suffix):
                digits = tag[len(kind.prefix) : len(tag) - len(kind.suffix)]
                if digits.isdigit() and digits.isascii():
                    return kind, digits
        return None

    def _apply(self, sign: str, start: int) -> None:
        """Tell of a sign, or begin the payload that it opens."""
        role = self._tags.get(sign)
        if role is not None:
            self._sink.tag(role, sign, start)
        elif sign in self._openers:
            self._kind, self._payload = self._openers[sign], ""
            self._opened, self._quote = start, ""
        elif numbered := self._number(sign):
            self._sink.number(*numbered, start)
        else:
            self._sink.end(sign, start)

    def _finish(self, end: int, *, closed: bool, nested: bool = False) -> None:
        """The payload ends here, at its own sign or at another one."""
        kind, payload = self._kind, self._payload
        self._kind, self._payload = None, ""
        assert kind is not None
        span = (self._opened, end)
        if nested:
            what = f"{kind.open!r} within {kind.open!r}; the outer one was dropped"
            self._sink.problem(ProblemKind.NESTED, what, span)
        else:
            self._sink.place(kind, payload, span, closed=closed)

    def _spill(self) -> None:
        """The payload turned out to be just text."""
        kind, payload = self._kind, self._payload
        self._kind, self._payload = None, ""
        assert kind is not None
        self._sink.spill(kind, payload, self._opened)

    def _too_long(self) -> None:
        kind = self._kind
        assert kind is not None
        what = f"more than {kind.limit:,} characters after {kind.open!r}; shown as text"
        span = (self._opened, self._opened + len(kind.open))
        self._sink.problem(ProblemKind.TOO_LONG, what, span)
        self._spill()


def _roles(syntax: Syntax) -> dict[str, Role]:
    roles: dict[str, Role] = {}
    for kind in syntax.enclosed:
        if not kind.chars and not kind.attributes:
            roles[kind.close] = "unplace"
    roles |= dict.fromkeys(syntax.ignored, "ignored")
    roles |= dict.fromkeys(syntax.joins, "join")
    roles |= dict.fromkeys(syntax.states, "state")
    for opening, closing in syntax.phrases:
        roles[opening], roles[closing] = "phrase", "unphrase"
    return roles
