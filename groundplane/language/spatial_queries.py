"""Queries as models write them: a small closed JSON language, read to expressions and back.

    {"op": "measure", "name": "distance", "of": ["chair", "table"], "unit": "m"}

Every node is an object with an `op`; where a set of things is wanted, a phrase alone stands for
the things that it names. The language can name things and measures and nothing else: no file, no
address, no tool. Its size and depth are bounded, whatever a model writes.
"""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from groundplane.core.errors import InputError, did_you_mean, listing
from groundplane.core.expressions import Select, Viewpoint
from groundplane.core.queries import Expression
from groundplane.language.query_forms import FORMS, NODE_KINDS, VIEWPOINT, Form, Kind, op_of
from groundplane.spatial.units import UNIT_WORDS

__all__ = ["LIMITS", "QueryLimits", "query_schema", "read_json", "read_query", "write_query"]

_TURNS = ("turn left", "turn right", "turn back")
_BIDI = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryLimits:
    """How large a query may be.

    Attributes:
        text: Characters of its JSON.
        phrase: Characters of a phrase or a word in it.
        items: Entries of a list.
        depth: Nodes within one another.
        nodes: Nodes in all.
    """

    text: int = 8_000
    phrase: int = 120
    items: int = 16
    depth: int = 12
    nodes: int = 64


LIMITS = QueryLimits()


def read_query(query: str | Mapping[str, object]) -> Expression:
    """Read a query that a model wrote.

    Args:
        query: JSON, or what was read from it.

    Raises:
        InputError: If it is no query; the message names the place and says what may stand there.

    Examples:
        >>> read_query('{"op": "count", "source": "chair"}')
        Count(source=Select(phrase='chair'))
        >>> read_query({})
        Traceback (most recent call last):
        groundplane.core.errors.InputError: query: expected an object with 'op', got no 'op'; ...
    """
    found = read_json(query, what="query") if isinstance(query, str) else query
    return cast(Expression, _Reader().node(found, "query", "query"))


def write_query(expression: Expression) -> dict[str, Any]:
    """Write an expression as a query; `read_query` gives it back.

    Args:
        expression: Any expression.

    Raises:
        InputError: If it holds something that is no node of a query.

    Examples:
        >>> from groundplane.core.queries import Count
        >>> write_query(Count(Select("chair")))
        {'op': 'count', 'source': 'chair'}
        >>> write_query(Select())
        {'op': 'select'}
    """
    return _written(expression)


def query_schema() -> dict[str, Any]:
    """The language as a JSON Schema (2020-12); closed, with the limits on words and lists.

    Depth and number of nodes cannot be said there; `LIMITS` has them.

    Examples:
        >>> schema = query_schema()
        >>> schema["$ref"], len(schema["$defs"]["query"]["anyOf"])
        ('#/$defs/query', 23)
    """
    defs: dict[str, Any] = {
        kind: {"anyOf": [{"$ref": f"#/$defs/op_{op}"} for op in ops]}
        for kind, ops in NODE_KINDS.items()
    }
    defs["set"]["anyOf"].insert(0, _text_schema("a phrase: the things that it names"))
    defs["right"]["anyOf"].append({"type": "integer"})
    defs["viewpoint"] = _object_schema(VIEWPOINT)
    defs |= {f"op_{op}": _object_schema(form, op=op) for op, form in FORMS.items()}
    dialect = "https://json-schema.org/draft/2020-12/schema"
    return {"$schema": dialect, "$ref": "#/$defs/query", "$defs": defs}


def read_json(text: str, *, what: str) -> Mapping[str, object]:
    """One JSON object, strictly: no key twice, no NaN, nothing behind it.

    Args:
        text: The object; a code fence around it does not count.
        what: What it is, for messages.

    Raises:
        InputError: If it is none, or longer than `LIMITS.text`.

    Examples:
        >>> read_json('{"a": 1}', what="query"), read_json("{}", what="query")
        ({'a': 1}, {})
    """
    if len(text) > LIMITS.text:
        raise InputError(
            f"{what}: expected at most {LIMITS.text} characters of JSON, got {len(text)}"
        )
    bare = text.strip().removeprefix("```json").removeprefix("```").removesuffix("```")
    try:
        found = json.loads(bare, object_pairs_hook=_once, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        why = "too many brackets" if isinstance(error, RecursionError) else str(error)
        raise InputError(f"{what}: expected one JSON object, got {_shown(text)}: {why}") from error
    if not isinstance(found, dict):
        raise InputError(f"{what}: expected one JSON object, got {_shown(text)}")
    return found


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands there twice")
    return found


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is no number")


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    text = " ".join("".join(char if char.isprintable() else " " for char in text[:200]).split())
    return repr(text if len(text) <= 60 else text[:59] + "…")


@dataclass(slots=True, eq=False)
class _Reader:
    """Reads one query; counts its nodes."""

    nodes: int = field(default=0)

    def node(self, value: object, kind: str, at: str) -> object:
        """A node of a kind; a phrase alone where that is a set, a number where it may be one."""
        self._count(at)
        if kind == "set" and isinstance(value, str):
            return Select(_text(value, at))
        if kind == "right" and isinstance(value, int) and not isinstance(value, bool):
            return value
        ops = NODE_KINDS[kind]
        if not isinstance(value, Mapping) or "op" not in value:
            got = "no 'op'" if isinstance(value, Mapping) else _shown(value)
            or_phrase = "a phrase or " if kind == "set" else ""
            raise InputError(
                f"{at}: expected {or_phrase}an object with 'op', got {got}; "
                f"'op' may be {listing(ops, limit=30)}"
            )
        op = value["op"]
        if not isinstance(op, str) or op not in ops:
            raise InputError(
                f"{at}.op: expected one of {listing(ops, limit=30)}, got {_shown(op)}."
                f"{did_you_mean(op[:40], ops) if isinstance(op, str) else ''}"
            )
        return self.fields({key: part for key, part in value.items() if key != "op"}, op, at)

    def fields(self, value: Mapping[str, object], op: str, at: str) -> object:
        form = VIEWPOINT if op == "viewpoint" else FORMS[op]
        unknown = [str(key) for key in value if key not in form.kinds]
        if unknown:
            raise InputError(
                f"{at}: {op!r} has no {_shown(unknown[0])}; it has {listing(form.kinds)}."
                f"{did_you_mean(unknown[0][:40], form.kinds)}"
            )
        missing = [n for n in form.kinds if not form.optional(n) and value.get(n) is None]
        if missing:
            raise InputError(
                f"{at}: {op!r} needs {listing(missing)}, got {listing(map(str, value))}"
            )
        made = {
            name: self._field(part, form.kinds[name], f"{at}.{name}")
            for name, part in value.items()
            if part is not None
        }
        absent = {n: form.default(n) for n in form.kinds if n not in made}
        try:
            return form.made(**made, **absent)
        except InputError as error:
            raise InputError(f"{at}: {error}") from error

    def _field(self, value: object, kind: Kind, at: str) -> object:
        if isinstance(kind, tuple):
            return _one_of(value, kind, at)
        kind = kind.removesuffix("?")
        if kind in NODE_KINDS:
            return self.node(value, kind, at)
        if kind == "viewpoint":
            self._count(at)
            if not isinstance(value, Mapping):
                raise InputError(f"{at}: expected an object with 'facing', got {_shown(value)}")
            return self.fields(value, "viewpoint", at)
        if kind == "sets":
            items = _list(value, at)
            return tuple(self.node(item, "set", f"{at}[{i}]") for i, item in enumerate(items))
        return _PLAIN[kind](value, at)

    def _count(self, at: str) -> None:
        self.nodes += 1
        depth = 1 + at.count(".")
        if self.nodes > LIMITS.nodes or depth > LIMITS.depth:
            raise InputError(
                f"query: expected at most {LIMITS.nodes} nodes, {LIMITS.depth} deep; "
                "ask for less at a time"
            )


def _text(value: object, at: str) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > LIMITS.phrase:
        got = f"{len(value)} characters" if isinstance(value, str) else _shown(value)
        raise InputError(f"{at}: expected 1 to {LIMITS.phrase} characters of text, got {got}")
    if any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") or c in _BIDI for c in value):
        raise InputError(f"{at}: expected text on one line, got {_shown(value)}")
    return value


def _one_of(value: object, words: Sequence[str], at: str) -> str:
    if not isinstance(value, str) or value not in words:
        hint = did_you_mean(value[:40], words) if isinstance(value, str) else ""
        raise InputError(
            f"{at}: expected one of {listing(words, limit=40)}, got {_shown(value)}.{hint}"
        )
    return value


def _list(value: object, at: str) -> Sequence[object]:
    if not isinstance(value, list | tuple) or len(value) > LIMITS.items:
        got = f"{len(value)} entries" if isinstance(value, list | tuple) else _shown(value)
        raise InputError(f"{at}: expected a list of at most {LIMITS.items}, got {got}")
    return value


def _number(value: object, at: str) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not abs(cast(float, value)) <= 1e9:
        raise InputError(f"{at}: expected a number within 1e9, got {_shown(value)}")
    return float(cast(float, value))


def _rank(value: object, at: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 1000:
        raise InputError(f"{at}: expected a whole number of 1 to 1000, got {_shown(value)}")
    return value


def _flag(value: object, at: str) -> bool:
    if not isinstance(value, bool):
        raise InputError(f"{at}: expected true or false, got {_shown(value)}")
    return value


def _turns(value: object, at: str) -> tuple[str | None, ...]:
    words = (*_TURNS, "?")
    return tuple(
        None if item is None else _one_of(item, words, f"{at}[{i}]")
        for i, item in enumerate(_list(value, at))
    )


def _options(value: object, at: str) -> tuple[tuple[str, ...], ...]:
    return tuple(
        tuple(_one_of(turn, _TURNS, f"{at}[{i}]") for turn in _list(option, f"{at}[{i}]"))
        for i, option in enumerate(_list(value, at))
    )


_PLAIN: Mapping[str, Callable[[object, str], object]] = {
    "text": _text,
    "unit": lambda value, at: _one_of(value, tuple(UNIT_WORDS), at),
    "number": _number,
    "degrees": lambda value, at: math.radians(_number(value, at)),
    "rank": _rank,
    "flag": _flag,
    "turns": _turns,
    "options": _options,
}


def _written(node: object) -> dict[str, Any]:
    op = "viewpoint" if isinstance(node, Viewpoint) else op_of(node)
    if op is None:
        raise InputError(f"query: expected a node of a query, got {type(node).__name__}")
    form = VIEWPOINT if op == "viewpoint" else FORMS[op]
    found: dict[str, Any] = {} if op == "viewpoint" else {"op": op}
    for name, kind in form.kinds.items():
        value = getattr(node, name)
        if not form.optional(name) or value != form.default(name):
            found[name] = _value(value, kind)
    return found


def _value(value: object, kind: Kind) -> object:
    if isinstance(value, Select) and value.phrase is not None:
        return value.phrase
    if kind == "degrees":
        # Rounded, so that whole degrees are written as such.
        return round(math.degrees(cast(float, value)), 9)
    if isinstance(value, tuple):
        return [_value(item, "set" if kind == "sets" else "") for item in value]
    plain = value is None or isinstance(value, str | int | float)
    return value if plain else _written(value)


def _text_schema(means: str) -> dict[str, Any]:
    return {"type": "string", "minLength": 1, "maxLength": LIMITS.phrase, "description": means}


def _object_schema(form: Form, *, op: str = "") -> dict[str, Any]:
    properties: dict[str, Any] = {"op": {"const": op}} if op else {}
    properties |= {name: _kind_schema(kind) for name, kind in form.kinds.items()}
    needed = [name for name in form.kinds if not form.optional(name)]
    return {
        "type": "object",
        "description": form.means,
        "properties": properties,
        "required": [*(["op"] if op else []), *needed],
        "additionalProperties": False,
    }


def _kind_schema(kind: Kind) -> dict[str, Any]:
    if isinstance(kind, tuple):
        return {"enum": list(kind)}
    kind = kind.removesuffix("?")
    if kind in NODE_KINDS or kind == "viewpoint":
        return {"$ref": f"#/$defs/{kind}"}
    most = {"maxItems": LIMITS.items}
    turn = {"enum": [*_TURNS, "?", None]}
    option = {"type": "array", "items": {"enum": list(_TURNS)}, **most}
    number = {"type": "number", "minimum": -1e9, "maximum": 1e9}
    plain: dict[str, dict[str, Any]] = {
        "text": _text_schema("one line"),
        "unit": {"enum": list(UNIT_WORDS)},
        "number": number,
        "degrees": {**number, "description": "degrees, counter-clockwise from what is faced"},
        "rank": {"type": "integer", "minimum": 1, "maximum": 1000},
        "flag": {"type": "boolean"},
        "turns": {"type": "array", "items": turn, **most},
        "options": {"type": "array", "items": option, **most},
        "sets": {"type": "array", "items": {"$ref": "#/$defs/set"}, **most},
    }
    return plain[kind]
