"""JSON in a stream of text: each object is read when it closes, so a cut list keeps the whole ones.

Fences, the brackets of lists, and objects that only hold a list are taken out; what is no JSON is
text. Inside an object only brackets and quotes are followed; it is parsed once, when it is whole.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from groundplane.core.locations import ProblemKind, Rung
from groundplane.grounding.dialects.grammar import TAG_LIMIT, Dialect, Reading
from groundplane.grounding.dialects.payloads import label_of
from groundplane.grounding.scanning.assembling import Assembler
from groundplane.grounding.scanning.literals import read_value

__all__ = ["ObjectLexer"]

# How far is looked past blanks to tell what a bracket opens, and how deep objects are looked into.
_LOOK = 256
_DEPTH = 6
# Keys that only hold; of any other, as in `{"dog": {"bbox": [..]}}`, a box has its name.
_NO_LABELS = frozenset(
    {"answer", "arguments", "bounding_box", "data", "input", "output", "parameters", "params"}
    | {"object", "objects", "result", "results", "response"}
)
_FENCES = frozenset({"", "json", "json5", "jsonc", "jsonl"})
_Span = tuple[int, int]


class ObjectLexer:
    """Finds the JSON objects of a text.

    Args:
        dialect: Reads the objects.
        sink: Is told what is found.
    """

    __slots__ = (
        "_base",
        "_buffer",
        "_closing",
        "_code",
        "_depth",
        "_dialect",
        "_escaped",
        "_fence",
        "_fruitful",
        "_inner",
        "_lists",
        "_opened",
        "_parts",
        "_quote",
        "_seen",
        "_silence",
        "_silent",
        "_sink",
        "_size",
        "_starts",
        "_swallowed",
        "_tail",
        "cut",
        "labelled",
        "triggers",
    )

    def __init__(self, dialect: Dialect, sink: Assembler) -> None:
        self._dialect, self._sink = dialect, sink
        self._buffer, self._base = "", 0
        # What is not shown, such as what a model thinks: its opening sign, its closing one; and
        # the closing one of what is open.
        silent = (kind for kind in dialect.syntax.enclosed if kind.role == "nothing")
        self._silence, self._silent = {kind.open: kind.close for kind in silent}, ""
        ignored = dict.fromkeys(tag[0] for tag in (*dialect.syntax.ignored, *self._silence))
        self.triggers = ("`", "[", "{", *(char for char in ignored if char not in "`[{"))
        self._seen = [-1] * len(self.triggers)
        # The fence that is open, whether anything was found in it, and foreign code in a fence.
        self._fence: _Span | None = None
        self._fruitful, self._code = False, False
        # The lists that are open, each with whether an object around it only holds it; and the
        # end of such an object, still to come.
        self._lists: list[tuple[int, bool]] = []
        self._tail = False
        self.cut = False
        """Whether a list or an object was cut off."""
        self.labelled = False
        """Whether any object has a label, even one without a place."""
        self._reset_object(0)

    def _reset_object(self, start: int) -> None:
        self._opened, self._parts, self._size = start, [""], 0
        self._quote, self._closing, self._escaped, self._depth = "", False, False, 0
        # Where a bracket closes within a string with nothing but commas and brackets after it.
        self._swallowed = 0
        self._starts: list[int] = []
        self._inner: list[_Span] = []

    @property
    def holds(self) -> bool:
        """Whether characters are held back, or the next ones are more than just text."""
        return bool(self._buffer or self._depth or self._lists or self._tail or self._silent)

    def pass_over(self, count: int) -> None:
        """Characters without any sign went by."""
        self._base += count

    def special(self, tag: str) -> None:
        """Take a special token: it is no part of any object."""
        if self._silent:
            self._buffer += tag
            self.feed("")
            return
        self._silent = "" if self._depth else self._silence.get(tag, "")
        self._sink.tag("ignored", tag, self._base + len(self._buffer))
        if not self._depth and not self._buffer:
            self._base += len(tag)
        else:
            # Offsets stay those of the raw text: blanks mean nothing where something is held.
            self.feed(" " * len(tag))

    def feed(self, piece: str) -> None:
        """Take the next characters."""
        self._buffer += piece
        self._seen = [-1] * len(self.triggers)
        at, end = 0, len(self._buffer)
        while at < end:
            state = (self._depth, len(self._lists), self._tail, self._silent)
            if self._silent:
                after = self._walk_silence(at)
            elif self._depth:
                after = self._walk_object(at)
            elif self._lists or self._tail:
                after = self._walk_list(at)
            else:
                after = self._walk_text(at, final=False)
            if after == at and state == (
                self._depth,
                len(self._lists),
                self._tail,
                self._silent,
            ):
                break
            at = after
        self._buffer = self._buffer[at:]
        self._base += at

    def close(self) -> None:
        """The text ends here: say what is left."""
        if self._silent:
            what = f"what ends with {self._silent!r} is never closed; dropped"
            span = (self._base, self._base + len(self._buffer))
            self._sink.problem(ProblemKind.TRUNCATED, what, span)
            self._buffer, self._base = "", span[1]
        elif not self._depth and not self._lists and not self._tail:
            self._seen = [-1] * len(self.triggers)
            at = 0
            while at < len(self._buffer) and not self._depth:
                at = self._walk_text(at, final=True)
        self._base += len(self._buffer)
        self._buffer = ""
        end = self._base
        self.cut = bool(self._depth or self._lists)
        if self._depth:
            span = (self._opened, end)
            what = "an object that is cut off; dropped"
            self._sink.problem(ProblemKind.TRUNCATED, what, span)
            self._salvage("".join(self._parts))
            self._depth = 0
        elif self._lists:
            what = "a list that is never closed; its objects were read"
            self._sink.problem(ProblemKind.UNTERMINATED, what, (self._lists[0][0], end))
        elif self._fence is not None:
            what = "a fence that is never closed; what it holds was read"
            self._sink.problem(ProblemKind.UNTERMINATED, what, (self._fence[0], end))

    # Text ------------------------------------------------------------------------------------

    def _walk_text(self, at: int, *, final: bool) -> int:
        end = len(self._buffer)
        look = at
        while (found := self._next(look)) < end:
            after = self._sign(found, final=final)
            if after is None:
                self._show(at, found)
                return found
            if after > found:
                self._show(at, found)
                self._apply(found, after)
                return after
            look = max(found + 1, -after)
        self._show(at, end)
        return end

    def _walk_silence(self, at: int) -> int:
        """Drop what is not shown as it comes, up to its closing sign."""
        buffer, close = self._buffer, self._silent
        found = buffer.find(close, at)
        if found >= 0:
            self._silent = ""
            return found + len(close)
        held = max(at, len(buffer) - len(close) + 1)
        while held < len(buffer) and not close.startswith(buffer[held:]):
            held += 1
        return held

    def _show(self, start: int, end: int) -> None:
        if end > start:
            self._sink.text(self._buffer[start:end], self._base + start)

    def _next(self, start: int) -> int:
        buffer, end = self._buffer, len(self._buffer)
        nearest = end
        for k, char in enumerate(self.triggers):
            # Found positions are kept, else a text full of one sign would take quadratic time.
            if self._seen[k] < start:
                found = buffer.find(char, start)
                self._seen[k] = found if found >= 0 else end
            nearest = min(nearest, self._seen[k])
        return nearest

    def _sign(self, at: int, *, final: bool) -> int | None:
        """Where the sign that begins here ends; `at` or less where it is text, None where unknown.

        A negative number is text up to there.
        """
        char = self._buffer[at]
        if char == "`":
            return self._fence_at(at, final=final)
        if self._code:
            return at
        if char in "[{":
            ahead = self._buffer[at + 1 : at + 1 + _LOOK].lstrip()
            if not ahead:
                short = len(self._buffer) - at <= _LOOK
                if short and final and char == "[" and self._fence is not None:
                    return at + 1
                return None if short and not final else at
            opens = "{[]" if char == "[" else "\"'}"
            if ahead[0] not in opens:
                return at
            if char == "[" and ahead[0] == "[":
                # A list of lists is one only if an object comes; else it is text.
                return at
            return self._container(at, final=final) if char == "{" else at + 1
        for tag in (*self._silence, *self._dialect.syntax.ignored):
            if self._buffer.startswith(tag, at):
                return at + len(tag)
            if not final and tag.startswith(self._buffer[at : at + TAG_LIMIT]):
                return None
        return at

    def _fence_at(self, at: int, *, final: bool) -> int | None:
        marks = self._buffer[at : at + 3]
        if marks.strip("`"):
            return at
        if len(marks) < 3:
            return at if final else None
        ahead = self._buffer[at + 3 : at + 3 + TAG_LIMIT]
        word = ahead[: len(ahead) - len(ahead.lstrip("abcdefghijklmnopqrstuvwxyzJSON5"))]
        if len(word) == len(ahead) and len(ahead) < TAG_LIMIT and not final:
            return None
        # At the end of the text the word may be cut off.
        known = word.lower() in _FENCES or (final and any(f.startswith(word) for f in _FENCES))
        if self._code or (self._fence is None and not known):
            # Code of another language is shown as it is, its fences with it.
            self._code = not self._code
            return -(at + 3)
        return at + 3 + (len(word) if self._fence is None else 0)

    def _container(self, at: int, *, final: bool) -> int | None:
        """Where the opening of a container or object ends."""
        keys = self._dialect.syntax.containers
        ahead = self._buffer[at + 1 : at + 1 + _LOOK]
        complete = len(ahead) == _LOOK or final
        rest = ahead.lstrip()
        for wanted in (f'"{key}"' for key in keys):
            left = rest
            for part in (wanted, ":", "["):
                if not left and not complete:
                    return None
                if not left.startswith(part):
                    if not complete and part.startswith(left):
                        return None
                    break
                left = left[len(part) :].lstrip()
            else:
                if not left and not complete:
                    return None
                if left[:1] in ("{", "]"):
                    return at + 1 + len(ahead) - len(left)
        return at + 1

    def _apply(self, at: int, after: int) -> None:
        sign = self._buffer[at:after]
        start = self._base + at
        if sign[0] == "`":
            self._turn_fence(start, self._base + after)
        elif sign == "{":
            self._begin_object(start)
        elif sign[0] == "{":
            self._lists.append((start, True))
            self._sink.shown.take_out()
        elif sign == "[":
            self._lists.append((start, False))
            self._sink.shown.take_out()
        else:
            self._silent = self._silence.get(sign, "")
            self._sink.tag("ignored", sign, start)

    def _turn_fence(self, start: int, end: int) -> None:
        if self._fence is None:
            self._fence, self._fruitful = (start, end), False
        else:
            if not self._fruitful:
                what = "a fence that holds no JSON; shown as text"
                self._sink.problem(ProblemKind.MALFORMED, what, (self._fence[0], end))
            self._fence = None
        self._sink.shown.take_out()

    # Lists -----------------------------------------------------------------------------------

    def _walk_list(self, at: int) -> int:
        self._fruitful = True
        char = self._buffer[at]
        if self._tail:
            if char == "}":
                self._tail = False
            return at + 1
        if char.isspace() or char == ",":
            return at + 1
        start = self._base + at
        if char == "{":
            self._begin_object(start)
        elif char == "[" and len(self._lists) < _DEPTH:
            self._lists.append((start, False))
        elif char == "]":
            self._tail = self._lists.pop()[1]
        else:
            what = "a list with something else than objects in it; it ends there"
            kind = ProblemKind.UNTERMINATED if char == "`" else ProblemKind.MALFORMED
            self._sink.problem(kind, what, (self._lists[0][0], start))
            self._lists = []
            return at
        return at + 1

    # Objects ---------------------------------------------------------------------------------

    def _begin_object(self, start: int) -> None:
        self._reset_object(start)
        self._parts, self._size, self._depth = ["{"], 1, 1
        self._starts = [0]

    def _walk_object(self, at: int) -> int:
        buffer, limit = self._buffer, self._dialect.syntax.object_limit
        end = min(len(buffer), at + limit - self._size)
        for place in range(at, end):
            char = buffer[place]
            if self._closing and char in ",:}])":
                # Only then was the quote before it the end of a string, and not one within it.
                self._quote, self._closing = "", False
            if self._quote:
                self._in_string(char, self._size + place - at + 1)
                if char == "\n" and self._depth == 1 and self._swallowed:
                    self._end_swallowed("".join((*self._parts, buffer[at:place])))
                    return place
            elif char in "\"'":
                self._quote = char
            elif char == "{":
                self._depth += 1
                self._starts.append(self._size + place - at)
            elif char == "}":
                self._close_bracket(self._size + place - at + 1)
                if not self._depth:
                    text = "".join((*self._parts, buffer[at : place + 1]))
                    self._object(text, (self._opened, self._base + place + 1))
                    return place + 1
        self._parts.append(buffer[at:end])
        self._size += end - at
        if self._size >= limit:
            self._too_long(limit)
        return end

    def _in_string(self, char: str, end: int) -> None:
        """One character of a string, or the one that ends it."""
        if self._escaped:
            self._escaped = False
        elif char == "\\":
            self._escaped = True
        elif char == self._quote:
            self._closing = True
        elif not char.isspace():
            self._closing = False
        if char == "\n":
            # JSON has no line break in a string: a quote too many ends with the line, and a
            # bracket right before the break ended the object.
            self._quote, self._closing = "", False
        if char not in ", \t\r\n]":
            self._swallowed = end if char == "}" else 0

    def _end_swallowed(self, text: str) -> None:
        """A string with a quote too many swallowed the end of its object, and maybe of the list."""
        end, rest = self._swallowed, text[self._swallowed :]
        self._depth = 0
        self._inner.append((0, end))
        self._object(text[:end], (self._opened, self._opened + end))
        for _ in range(rest.count("]")):
            if self._lists:
                self._tail = self._lists.pop()[1]

    def _close_bracket(self, end: int) -> None:
        self._depth -= 1
        start = self._starts.pop()
        while self._inner and self._inner[-1][0] > start:
            self._inner.pop()
        self._inner.append((start, end))

    def _too_long(self, limit: int) -> None:
        what = f"an object of more than {limit:,} characters; shown as text"
        self._sink.problem(ProblemKind.TOO_LONG, what, (self._opened, self._opened + 1))
        text = "".join(self._parts)
        if not self._salvage(text):
            self._sink.text(text, self._opened)
        self._depth, self._lists = 0, []

    def _object(self, text: str, span: _Span) -> None:
        """An object is whole."""
        found = read_value(text)
        readings = [] if found is None else list(self._readings(found[0], 0))
        if readings and found is not None:
            self._fruitful = True
            for reading in readings:
                self.labelled |= bool(reading.label)
                rung: Rung | None = None if found[1] else "literal"
                self._sink.object(reading, span, text, rung=rung)
            return
        if found is not None and not self._lists:
            self._sink.text(text, span[0])
            return
        self._fruitful = True
        if found is not None and isinstance(found[0], dict) and label_of(found[0]):
            self.labelled = True
        what = "an object that cannot be read" if found is None else "an object without a location"
        self._sink.problem(ProblemKind.MALFORMED, f"{what}; dropped", span)
        if found is None:
            self._inner.pop()
            self._salvage(text)

    def _salvage(self, text: str) -> bool:
        """Read the whole objects within a broken one."""
        any_found = False
        for start, end in self._inner:
            found = read_value(text[start:end])
            for reading in self._readings(found[0], 0) if found is not None else []:
                any_found = True
                span = (self._opened + start, self._opened + end)
                self._sink.object(reading, span, text[start:end], rung="salvage")
        self._inner = []
        return any_found

    def _readings(self, value: Any, depth: int, key: str = "") -> list[Reading]:
        """What an object says, or the objects within it; under a key that is their label."""
        if isinstance(value, dict):
            read = self._dialect.read_object
            reading = read(value) if read is not None else None
            if reading is not None:
                named = reading.label is None and key and key.lower() not in _NO_LABELS
                return [replace(reading, label=key) if named else reading]
            inside = list(value.items())
        elif isinstance(value, list):
            inside = [("", inner) for inner in value]
        else:
            return []
        if depth >= _DEPTH:
            return []
        return [found for name, part in inside for found in self._readings(part, depth + 1, name)]
