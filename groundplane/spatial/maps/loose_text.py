"""Reads the dictionaries that language models write where JSON was asked for.

A scanner that never fails: one pass over the text, a stack of at most 32 open brackets, and every
repair and every loss noted as a `Problem`. It accepts prose and Markdown fences round the
dictionary, any of the brackets `()[]` for a list, full-width brackets, commas and colons, single,
curly and missing quotes, comments, missing and trailing commas, brackets that do not match, and a
text that ends too early. What is written is never evaluated.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from groundplane.core.errors import InputError

__all__ = ["TEXT_LIMIT", "Entries", "Problem", "Problems", "Scan", "inside_tag", "scan"]

# No model writes as much; 5 MB of hostile text must still be read.
TEXT_LIMIT = 8 * 2**20
# A map of 10,000 objects has some 100,000 tokens; what comes after so many is not read.
TOKEN_LIMIT = 400_000
DEPTH_LIMIT = 32
# Of one kind so many problems are told one by one.
PROBLEM_LIMIT = 20

_TOKEN = re.compile(
    r"""
    (?P<space>\s+|//[^\n]*|\#[^\n]*)
  | (?P<open>[{\uff5b])
  | (?P<close>[}\uff5d])
  | (?P<list>[\[(\uff3b\uff08\u3010])
  | (?P<end>[\])\uff3d\uff09\u3011])
  | (?P<comma>[,;\uff0c\uff1b\u3001])
  | (?P<colon>[:=\uff1a])
  | (?P<number>[+\-\u2212]?(?:\d{1,40}(?:\.\d{0,40})?|\.\d{1,40})(?:[eE][+-]?\d{1,4})?)
  | (?P<double>"(?:[^"\\\n]|\\.){0,200}"?)
  | (?P<curly>[\uff02\u201c\u201d](?:[^"\uff02\u201c\u201d\\\n]|\\.){0,200}["\uff02\u201c\u201d]?)
  | (?P<single>'(?:[^'\\\n]|\\.|'(?!\s{0,8}(?:[:,\])}\uff1a\uff0c]|$))){0,200}'?)
  | (?P<bent>[\u2018\u2019](?:[^\u2019\\\n]|\\.|\u2019(?!\s{0,8}(?:[:,\])}\uff1a\uff0c]|$))){0,200}
        \u2019?)
  | (?P<word>[^\W\d_][\w\-./&']{0,60}(?:[ ][^\W\d_][\w\-./&']{0,60}){0,6})
  | (?P<junk>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_OPEN = re.compile(r"[{\uff5b]")
# JSON that was put into a string of JSON.
_ENCODED = re.compile(r'\{(?:\s|\\n){0,16}\\"')
_PLAIN_OPEN, _PLAIN_END = "[(", "])"
_STRAY = re.compile(r"\w")
_MARKUP = re.compile(r"```[ \t]{0,8}\w{0,20}|</?\w{1,20}>")
_FENCE = "```"
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
# Names of coordinates, as in `(x=1, y=2)`: they are no keys.
_AXES = frozenset("xyzXYZ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What was wrong with a text, and what was done about it.

    Attributes:
        kind: Such as `quotes`, `comma`, `bracket`, `truncated`, `prose`; the whole list stands in
            docs/maps.md.
        at: The character where it is.
        detail: What was found and what was made of it.
        lost: Whether something that was written is not in the result.
    """

    kind: str
    at: int
    detail: str
    lost: bool = False


@dataclass(slots=True, eq=False)
class Problems:
    """Collects problems; of a kind that is there very often, the first and the number are told."""

    found: list[Problem] = field(default_factory=list)
    _times: dict[tuple[str, bool], int] = field(default_factory=dict)

    def note(self, kind: str, at: int, detail: str, *, lost: bool = False) -> None:
        """Add one problem."""
        times = self._times.get((kind, lost), 0)
        self._times[kind, lost] = times + 1
        if times < PROBLEM_LIMIT:
            self.found.append(Problem(kind=kind, at=at, detail=detail, lost=lost))

    def told(self) -> tuple[Problem, ...]:
        """All problems in the order of the text, and how many more there are of a kind."""
        more = (
            Problem(
                kind=kind, at=self.found[-1].at, detail=f"{times - PROBLEM_LIMIT} more", lost=lost
            )
            for (kind, lost), times in self._times.items()
            if times > PROBLEM_LIMIT
        )
        return (*sorted(self.found, key=lambda problem: problem.at), *more)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entries:
    """One dictionary as written: a key may be there more than once.

    Values are `int`, `float`, `str`, `list` of values, or `Entries`; words without quotes, `null`
    and `true` among them, are strings.

    Attributes:
        pairs: Keys and values in order.
        at: The character where it begins.
    """

    pairs: tuple[tuple[str, object], ...]
    at: int

    def fields(self) -> Mapping[str, object]:
        """Values by key in lower case; the last counts."""
        return {key.strip().lower(): value for key, value in self.pairs}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """The dictionaries of a text that are in no other, and what was wrong."""

    roots: tuple[Entries, ...]
    problems: Problems


def scan(text: str) -> Scan:
    """Find the dictionaries in a text; see the module.

    Raises:
        InputError: If the text is longer than `TEXT_LIMIT` characters.

    Examples:
        >>> scan("Here it is: {'chair': [(1, 2), (3,").roots[0].pairs
        (('chair', [[1, 2], [3]]),)
        >>> scan("no map").roots
        ()
    """
    if len(text) > TEXT_LIMIT:
        raise InputError(
            f"map text: expected at most {TEXT_LIMIT} characters, got {len(text)}; "
            "give the model's answer only"
        )
    problems, outside = Problems(), []
    first = _OPEN.search(text)
    if first is not None and _ENCODED.match(text, first.start()):
        problems.note("quotes", 0, "a map within quotes was taken out of them")
        # As long as before, so that places in the text stay true.
        text = text.replace('\\"', ' "').replace("\\n", "  ")
    reader, at = _Reader(text=text, problems=problems), 0
    while (start := _OPEN.search(text, at)) is not None and reader.left > 0:
        outside.append(text[at : start.start()])
        at = reader.run(start.start())
    if reader.left > 0:
        outside.append(text[at:])
    if any(_FENCE in part for part in outside):
        problems.note("fence", 0, "Markdown fences round the map were taken off")
    if any(_STRAY.search(_MARKUP.sub("", part)) for part in outside):
        problems.note("prose", 0, "text round the map was passed over")
    return Scan(roots=tuple(reader.roots), problems=problems)


def inside_tag(text: str, tag: str) -> str:
    """What stands between a `<tag>` and its end, or the end of the text; else all of it.

    Of several tags the last one with a dictionary behind it counts, for a tag may be spoken of.

    Examples:
        >>> inside_tag("<cogmap>{}</cogmap><answer>A</answer>", "cogmap")
        '{}'
        >>> inside_tag("{}", "cogmap")
        '{}'
    """
    parts = re.split(f"<{tag}>", text, flags=re.IGNORECASE)[1:]
    for part in reversed(parts):
        inside = re.split(f"</{tag}>", part, maxsplit=1, flags=re.IGNORECASE)[0]
        if _OPEN.search(inside):
            return inside
    return text


@dataclass(slots=True, eq=False)
class _List:
    """An open list."""

    at: int
    bracket: str
    items: list[object] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class _Dict:
    """An open dictionary: what may become a key, the key that waits for its value, the pairs."""

    at: int
    pairs: list[tuple[str, object]] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)
    key: str | None = None
    gathered: bool = False  # whether the last value was put together from parts without brackets


class _Reader:
    """Reads dictionaries, each from its opening bracket on."""

    def __init__(self, *, text: str, problems: Problems) -> None:
        self.roots: list[Entries] = []
        self.left = TOKEN_LIMIT
        self._text = text
        self._problems = problems
        self._stack: list[_List | _Dict] = []
        self._sunk = 0  # brackets open beyond the greatest depth
        self._after_comma = True
        self._take: dict[str, Callable[[str, int], None]] = {
            "open": self._open, "close": self._close, "list": self._list, "end": self._end,
            "comma": self._comma, "colon": self._colon, "number": self._number, "word": self._word,
        }  # fmt: skip

    def run(self, at: int) -> int:
        """Read until the dictionary is closed; give the character after it."""
        match, size = _TOKEN.match, len(self._text)
        while at < size and self.left > 0:
            found = match(self._text, at)
            assert found is not None  # junk matches any character
            kind, start, at = found.lastgroup or "", at, found.end()
            if kind in ("space", "junk"):
                continue
            self.left -= 1
            if kind in ("double", "curly", "single", "bent"):
                at = self._string(found.group(), start)
            elif kind in ("number", "word") and at == size:
                break  # it may go on beyond the end
            else:
                self._take[kind](found.group(), start)
            if not self._stack:
                return at
        self._finish(at)
        return at

    def _finish(self, at: int) -> None:
        """The text ended before the dictionary did."""
        if self.left > 0:
            self._problems.note("truncated", at, "the text ends inside the map", lost=True)
        else:
            told = f"the map has more than {TOKEN_LIMIT} parts; the rest was not read"
            self._problems.note("size", at, told, lost=True)
        while self._stack:
            self._pop()

    # Brackets.

    def _open(self, _: str, at: int) -> None:
        self._push(_Dict(at))

    def _list(self, bracket: str, at: int) -> None:
        if bracket not in _PLAIN_OPEN:
            self._problems.note("bracket", at, f"{bracket!r} was read as '['")
        self._push(_List(at, bracket))

    def _push(self, frame: _List | _Dict) -> None:
        if self._sunk or len(self._stack) >= DEPTH_LIMIT:
            if not self._sunk:
                told = f"brackets more than {DEPTH_LIMIT} deep were passed over"
                self._problems.note("depth", frame.at, told, lost=True)
            self._sunk += 1
            return
        self._stack.append(frame)
        self._after_comma = True

    def _close(self, _: str, at: int) -> None:
        if self._rise():
            return
        self._trailing(at)
        while isinstance(self._stack[-1], _List):
            self._problems.note("bracket", at, "a list was closed that had no end")
            self._pop()
        self._pop()

    def _end(self, bracket: str, at: int) -> None:
        if self._rise():
            return
        if not any(isinstance(frame, _List) for frame in self._stack):
            self._problems.note("bracket", at, f"{bracket!r} closes nothing")
            return
        self._trailing(at)
        while isinstance(self._stack[-1], _Dict):
            self._problems.note("bracket", at, "a dictionary was closed that had no end")
            self._pop()
        opened = self._stack[-1].bracket
        if opened in _PLAIN_OPEN and bracket != _PLAIN_END[_PLAIN_OPEN.index(opened)]:
            self._problems.note("bracket", at, f"{opened!r} was closed with {bracket!r}")
        self._pop()

    def _trailing(self, at: int) -> None:
        top = self._stack[-1]
        if self._after_comma and (top.items if isinstance(top, _List) else top.pairs):
            self._problems.note("comma", at, "a comma with nothing after it")

    def _rise(self) -> bool:
        """Whether the bracket that closes belongs to those beyond the greatest depth."""
        self._sunk -= (sunk := self._sunk > 0)
        return sunk

    def _pop(self) -> None:
        frame = self._stack.pop()
        if isinstance(frame, _Dict):
            self._forget(frame)
        value: object = (
            frame.items
            if isinstance(frame, _List)
            else Entries(pairs=tuple(frame.pairs), at=frame.at)
        )
        if self._stack:
            self._value(value, frame.at)
        elif isinstance(value, Entries):
            self.roots.append(value)

    # What stands between brackets.

    def _comma(self, _: str, __: int) -> None:
        if not self._sunk and isinstance(top := self._stack[-1], _Dict):
            self._forget(top)
        self._after_comma = True

    def _forget(self, top: _Dict) -> None:
        """Drop a key that never got a value."""
        if top.key is not None or top.pieces:
            named = top.key if top.key is not None else " ".join(top.pieces)
            self._problems.note("dropped", top.at, f"{named[:40]!r} has no value", lost=True)
        top.key, top.pieces = None, []

    def _colon(self, _: str, at: int) -> None:
        if self._sunk:
            return
        top = self._stack[-1]
        if isinstance(top, _List):
            if not (top.items and isinstance(top.items[-1], str)):
                return
            word = top.items.pop()
            if word in _AXES:
                return
            while isinstance(self._stack[-1], _List):
                self._problems.note("bracket", at, f"a list had no end before {word!r}")
                self._pop()
            top = self._stack[-1]
            top.pieces = [str(word)]
        if top.pieces:
            top.key, top.pieces, top.gathered = " ".join(top.pieces), [], False

    def _number(self, token: str, at: int) -> None:
        token = token.replace("\u2212", "-")
        number: int | float = float(token) if any(c in token for c in ".eE") else int(token)
        if abs(number) > 1e300:  # infinity too
            self._problems.note("number", at, f"{token[:20]} is no coordinate", lost=True)
            return
        self._value(number, at)

    def _word(self, token: str, at: int) -> None:
        top = self._stack[-1]
        if isinstance(top, _Dict) and top.key is None and not self._sunk:
            self._problems.note("quotes", at, f"{token!r} has no quotes")
        self._value(token.rstrip(), at)

    def _string(self, token: str, start: int) -> int:
        """Take a text in quotes; give where it ends."""
        body, closed = token[1:], len(token) > 1 and token[-1] in "\"'\uff02\u201c\u201d\u2019"
        if closed:
            body, end = body[:-1], start + len(token)
        else:
            cut = re.split(r"[:,\[({]", body, maxsplit=1)[0]
            body, end = cut.rstrip("'\"\u201c\u201d\u2019"), start + 1 + len(cut)
            self._problems.note("quotes", start, f"{body[:40]!r} has no closing quote")
            if end >= len(self._text):
                return end  # a text that breaks off is no name
        if closed and token[0] != '"':
            self._problems.note("quotes", start, f"{token[0]} was read as a double quote")
        if not self._sunk:
            self._value(_unescape(body), start)
        return end

    def _value(self, value: object, at: int) -> None:
        if self._sunk:
            return
        top = self._stack[-1]
        if isinstance(top, _List):
            top.items.append(value)
        elif top.key is not None:
            top.pairs.append((top.key, value))
            top.key = None
        elif isinstance(value, str):
            self._piece(top, value, at)
        elif isinstance(value, Entries):
            self.roots.append(value)  # it has no key, so it may be a map of its own
        else:
            self._gather(top, value, at)
            return
        self._after_comma = False

    def _piece(self, top: _Dict, word: str, at: int) -> None:
        if not self._after_comma and not top.pieces:
            self._problems.note("comma", at, f"a comma is missing before {word[:40]!r}")
        top.pieces.append(word)

    def _gather(self, top: _Dict, value: object, at: int) -> None:
        """A number or a list without a key: part of a key, or of the value before it."""
        last = top.pairs[-1][1] if top.pairs else None
        bare = isinstance(value, int | float)
        if bare and top.pieces:
            top.pieces.append(f"{value:g}")
        elif top.gathered and isinstance(last, list):
            last.append(value)
        elif isinstance(last, int | float) if bare else isinstance(last, list):
            top.pairs[-1] = (top.pairs[-1][0], [last, value])
            top.gathered = True
            told = f"the values of {top.pairs[-1][0]!r} have no bracket round them"
            self._problems.note("bracket", at, told)
        else:
            self._problems.note("dropped", at, "a value without a key", lost=True)


def _unescape(body: str) -> str:
    """Resolve backslashes; half a surrogate pair becomes a replacement character."""
    if "\\" not in body:
        return body.strip()
    plain = _ESCAPE.sub(
        lambda found: (
            chr(int(found[1][1:], 16)) if len(found[1]) > 1 else _ESCAPES.get(found[1], found[1])
        ),
        body,
    )
    return plain.encode("utf-16", "surrogatepass").decode("utf-16", "replace").strip()
