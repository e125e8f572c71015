"""What a model says of pictures with numbers: text with `[2]` behind a name, or JSON by a schema.

By the schema a model cannot name a number that is not drawn: the numbers are an enumeration.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from groundplane.core.errors import InputError

__all__ = ["asked_with_marks", "marks_format", "read_pieces"]

_MOST_PIECES = 10_000
_SAID = {
    False: (
        "Where you name one of these things, write its number in square brackets right behind its "
        "name, such as: the {name} [1]. Write no other numbers in square brackets."
    ),
    True: (
        "Answer in pieces, in the order in which they are read one after the other: the text of a "
        "piece, and the numbers of the things that it names. A name of a thing with a number is a "
        "piece of its own."
    ),
}


def asked_with_marks(question: str, listed: str, *, name: str, structured: bool) -> str:
    """The question with the list of numbers and how to use them.

    Args:
        question: As asked.
        listed: The numbers with their words.
        name: What the first of them is called.
        structured: The answer is JSON by `marks_format`.

    Examples:
        >>> print(asked_with_marks("What is it?", "1: dog", name="dog", structured=False))
        What is it?
        <BLANKLINE>
        Numbers are drawn on the picture:
        1: dog
        Where you name one of these things, write its number in square brackets right behind its \
name, such as: the dog [1]. Write no other numbers in square brackets.
    """
    how = _SAID[structured].format(name=name)
    return f"{question}\n\nNumbers are drawn on the picture:\n{listed}\n{how}"


def marks_format(count: int) -> dict[str, Any]:
    """The `response_format` of a chat completion whose numbers are those that are drawn.

    Args:
        count: The highest number; the lowest is 1.

    Raises:
        InputError: If nothing is drawn.

    Examples:
        >>> schema = marks_format(2)["json_schema"]["schema"]
        >>> schema["properties"]["pieces"]["items"]["properties"]["marks"]["items"]["enum"]
        [1, 2]
    """
    if count < 1:
        raise InputError("schema of marks: expected one number at least, got none")
    marks = {"type": "array", "items": {"type": "integer", "enum": list(range(1, count + 1))}}
    piece = {
        "type": "object",
        "properties": {"text": {"type": "string"}, "marks": marks},
        "required": ["text", "marks"],
        "additionalProperties": False,
    }
    schema = {
        "type": "object",
        "properties": {"pieces": {"type": "array", "items": piece}},
        "required": ["pieces"],
        "additionalProperties": False,
    }
    said = {"name": "answer_with_marks", "strict": True, "schema": schema}
    return {"type": "json_schema", "json_schema": said}


def read_pieces(text: str, *, count: int) -> tuple[list[tuple[str, tuple[int, ...]]], list[str]]:
    """Read an answer by `marks_format`.

    Args:
        text: The whole of it.
        count: The highest number that is drawn.

    Returns:
        Each piece with the numbers of its things, and what was wrong with single pieces.

    Raises:
        InputError: If it is no answer by the schema.

    Examples:
        >>> read_pieces('{"pieces": [{"text": "A dog", "marks": [1, 9]}]}', count=2)
        ([('A dog', (1,))], ['mark 9 is none of the 2 that are drawn'])
        >>> read_pieces('{"pieces": []}', count=0)
        ([], [])
    """
    rows, faults = _rows(text)
    pieces = []
    for row in rows:
        said = row.get("text") if isinstance(row, Mapping) else None
        if not isinstance(said, str):
            raise InputError(f"a piece of the answer has no text: {str(row)[:60]!r}")
        given = row.get("marks")
        good = []
        for mark in given if isinstance(given, list) else []:
            whole = isinstance(mark, int) and not isinstance(mark, bool)
            if whole and 1 <= mark <= count:
                good.append(mark)
            else:
                faults.append(f"mark {str(mark)[:20]} is none of the {count} that are drawn")
        pieces.append((said, tuple(dict.fromkeys(good))))
    return pieces, faults


def _rows(text: str) -> tuple[list[Any], list[str]]:
    """The pieces of an answer as JSON has them; of one that was cut off those that are whole."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        saved = _saved(text)
        if not saved:
            raise InputError(f"the answer is no JSON: {text[:60]!r}") from error
        return saved, ["the answer is cut off; the pieces that are whole were kept"]
    rows = value.get("pieces") if isinstance(value, Mapping) else None
    if not isinstance(rows, list):
        raise InputError(f"the answer has no list of pieces: {text[:60]!r}")
    return rows, []


def _saved(text: str) -> list[Any]:
    decoder, rows, at = json.JSONDecoder(), [], text.find("[")
    for _ in range(_MOST_PIECES):
        at = text.find("{", at) if at >= 0 else -1
        if at < 0:
            break
        try:
            value, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            break
        rows.append(value)
    return rows
