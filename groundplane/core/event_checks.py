"""Whether an event of a session is what its type says: a model is not trusted to keep to it.

What a language model says may be led by words in a picture or in a prompt. An event with a field
of another type ends the run with the model's name; a request that is too large fails alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from groundplane.core.image import FrameMap
from groundplane.core.queries import Expression
from groundplane.core.session import Done, Event, Ground, Locate, Need, Query, Text
from groundplane.core.session_notes import Injected, Note

__all__ = ["malformed", "oversized"]

# Names of requests are the model's own; nobody needs a long one.
_NAME = 200
# Far more than any expert's vocabulary, or any question, has.
_PHRASES, _LETTERS, _NODES, _DEPTH = 20_000, 1_000, 2_000, 64


def malformed(event: Event) -> str:
    """What is wrong with the fields of an event; empty where nothing is.

    Examples:
        >>> malformed(Text(sequence=0, text="a"))
        ''
        >>> malformed(Text(sequence=0, text="a", tokens=-1))
        'expected a number of tokens of at least 0, got -1'
    """
    if type(event.sequence) is not int:
        return f"expected a whole number as sequence, got {event.sequence!r}"
    check = _CHECKS.get(type(event))
    return "" if check is None else check(event)


def oversized(event: Ground | Query) -> str:
    """Why a request is too large to be asked; empty where it is not.

    Examples:
        >>> oversized(Ground(sequence=0, request="g", phrases=("x" * 2000,)))
        'a phrase of 2000 characters, more than the 1000 that one may have'
        >>> oversized(Ground(sequence=0, request="g", phrases=()))
        ''
    """
    if isinstance(event, Query):
        return _oversized_query(event.expression)
    if len(event.phrases) > _PHRASES:
        return f"{len(event.phrases)} phrases, more than the {_PHRASES} that a request may have"
    return next((_long(p) for p in event.phrases if len(p) > _LETTERS), "")


def _long(phrase: str) -> str:
    return f"a phrase of {len(phrase)} characters, more than the {_LETTERS} that one may have"


def _oversized_query(expression: object) -> str:
    """Walks without recursion: a query may be deeper than the interpreter's stack."""
    stack: list[tuple[object, int]] = [(expression, 1)]
    nodes = 0
    while stack:
        item, depth = stack.pop()
        if isinstance(item, str) and len(item) > _LETTERS:
            return _long(item)
        parts: tuple[object, ...] = item if isinstance(item, tuple) else ()
        if dataclasses.is_dataclass(item):
            nodes += 1
            parts = tuple(getattr(item, field.name) for field in dataclasses.fields(item))
        if nodes > _NODES or depth > _DEPTH:
            return f"a query of more than {_NODES} nodes, or more than {_DEPTH} deep"
        stack += [(part, depth + 1) for part in parts]
    return ""


def _text(event: Text) -> str:
    if not isinstance(event.text, str):
        return f"expected str as text, got {type(event.text).__name__}"
    if type(event.tokens) is not int or event.tokens < 0:
        return f"expected a number of tokens of at least 0, got {event.tokens!r}"
    return "" if _words(event.refers) else "expected ids as a tuple of str"


def _ground(event: Ground) -> str:
    if not _words(event.phrases):
        return "expected phrases as a tuple of str"
    if type(event.image) is not int:
        return f"expected the index of an image, got {event.image!r}"
    return _name(event.request) or ("" if event.span is None else _span(event.span))


def _locate(event: Locate) -> str:
    boxes = event.boxes
    if not isinstance(boxes, np.ndarray) or not np.issubdtype(boxes.dtype, np.floating):
        return "expected boxes as an array of floating-point numbers"
    if not isinstance(event.frame_map, FrameMap):
        return f"expected a FrameMap, got {type(event.frame_map).__name__}"
    if type(event.image) is not int:
        return f"expected the index of an image, got {event.image!r}"
    return _span(event.span) or ("" if _words(event.ids) else "expected ids as a tuple of str")


def _query(event: Query) -> str:
    if not isinstance(event.expression, Expression):
        return f"expected an expression, got {type(event.expression).__name__}"
    return _name(event.request) or ("" if _words(event.on) else "expected `on` as a tuple of str")


def _need(event: Need) -> str:
    return "" if _words(event.requests) else "expected requests as a tuple of str"


def _injected(event: Injected) -> str:
    if not isinstance(event.text, str):
        return f"expected str as text, got {type(event.text).__name__}"
    return _name(event.request)


def _note(event: Note) -> str:
    words = isinstance(event.name, str) and isinstance(event.detail, str)
    return "" if words and len(event.name) <= _NAME else "expected a word and a line of text"


def _done(event: Done) -> str:
    known = ("complete", "not_understood", "length", "broken")
    return "" if event.finish in known else f"expected one of {', '.join(known)} as finish"


_CHECKS: Mapping[type, Callable[[Any], str]] = MappingProxyType(
    {
        Text: _text, Ground: _ground, Locate: _locate, Query: _query, Need: _need,
        Injected: _injected, Note: _note, Done: _done,
    }
)  # fmt: skip


def _words(value: object) -> bool:
    return isinstance(value, tuple) and all(isinstance(word, str) for word in value)


def _name(name: object) -> str:
    if isinstance(name, str) and len(name) <= _NAME:
        return ""
    return f"expected the name of a request, of at most {_NAME} characters"


def _span(span: object) -> str:
    pair = isinstance(span, tuple) and len(span) == 2 and all(type(at) is int for at in span)
    return "" if pair else f"expected a span of two whole numbers, got {str(span)[:80]}"
