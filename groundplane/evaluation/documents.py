"""Files of benchmarks: JSON, JSON lines or CSV, checked field by field; errors name their place."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groundplane.core.errors import InputError
from groundplane.core.files import one_line

__all__ = ["Row", "read_csv", "read_json", "rows_of"]

_MAX_BYTES = 2**31
# What the published pickles of referring expressions begin with, in the protocols there are.
_PICKLES = (b"\x80", b"(lp", b"(dp", b"(l.", b"(d.")
_PICKLE_ENDINGS = frozenset({".p", ".pkl", ".pickle"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One object of a file.

    Attributes:
        values: Its fields.
        place: The file and where in it the object stands, as messages name it.
    """

    values: Mapping[str, Any]
    place: str

    def __contains__(self, key: object) -> bool:
        return key in self.values

    def first(self, *keys: str) -> str:
        """The first of these fields that is there.

        Raises:
            InputError: If none is.
        """
        for key in keys:
            if key in self.values:
                return key
        raise InputError(f"{self.place}: expected {' or '.join(map(repr, keys))}, got neither")

    def text(self, key: str, *, empty: bool = False) -> str:
        """A field that must be text, and unless `empty` not blank.

        Raises:
            InputError: If it is not.
        """
        value = self.values.get(key)
        if not isinstance(value, str) or not (value.strip() or empty):
            raise self.error(key, "text", value)
        return value

    def number(self, key: str, *, least: float = -math.inf) -> float:
        """A field that must be a finite number of at least `least`.

        Raises:
            InputError: If it is not.
        """
        value: Any = self.values.get(key)
        if not _is_number(value) or value < least:
            what = "a number" if least == -math.inf else f"a number of at least {least:g}"
            raise self.error(key, what, value)
        return float(value)

    def whole(self, key: str) -> int:
        """A field that must be a whole number.

        Raises:
            InputError: If it is not.
        """
        value = self.values.get(key)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.error(key, "a whole number", value)
        return value

    def name(self, key: str) -> str:
        """A field that names something: a text or a whole number, given as text.

        Raises:
            InputError: If it is neither.
        """
        value = self.values.get(key)
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        return self.text(key)

    def ordinal(self, key: str) -> int:
        """A field that must be a whole number from 1, given as a number or as text.

        Raises:
            InputError: If it is not.
        """
        name = self.name(key).strip()
        if not (name.isascii() and name.isdigit() and len(name) < 10 and int(name)):
            raise self.error(key, "a whole number from 1", self.values[key])
        return int(name)

    def four(self, key: str) -> tuple[float, float, float, float]:
        """A field that must be four finite numbers.

        Raises:
            InputError: If it is not.
        """
        value = self.values.get(key)
        if not isinstance(value, list) or len(value) != 4 or not all(map(_is_number, value)):
            raise self.error(key, "four numbers", value)
        a, b, c, d = map(float, value)
        return a, b, c, d

    def rows(self, key: str) -> list[Row]:
        """A field that must be a list of objects.

        Raises:
            InputError: If it is not.
        """
        value = self.values.get(key)
        if not isinstance(value, list) or not all(isinstance(item, Mapping) for item in value):
            raise self.error(key, "a list of objects", value)
        return [Row(values=v, place=f"{self.place}.{key}[{i}]") for i, v in enumerate(value)]

    def error(self, key: str, expected: str, got: object) -> InputError:
        """An error about one field."""
        if key not in self.values:
            return InputError(f"{self.place}.{key}: expected {expected}, but it is missing")
        return InputError(f"{self.place}.{key}: expected {expected}, got {_shown(got)}")


def read_json(path: str | Path, *, what: str) -> Any:
    """Read a file of JSON, or of JSON lines, which gives the list of its lines.

    Args:
        path: UTF-8, with or without a byte order mark.
        what: What messages call it, such as `annotations`.

    Raises:
        InputError: If it is missing, too large, a pickle, not UTF-8 or not JSON.
    """
    named = f"{what} {one_line(Path(path).name)!r}"
    text = _decoded(_bytes_of(Path(path), named), named)
    if not text.strip():
        raise InputError(f"{named}: the file is empty")
    try:
        return json.loads(text)
    except RecursionError as error:
        raise InputError(f"{named}: not JSON that can be read: nested too deeply") from error
    except ValueError as error:
        if "Extra data" not in str(error):
            raise InputError(f"{named}: not JSON: {error}") from error
    return list(_lines(text, named))


def read_csv(path: str | Path, *, what: str, columns: Mapping[str, Sequence[str]]) -> list[Row]:
    """Read a table of texts whose first line names its columns.

    Args:
        path: UTF-8, with or without a byte order mark, any line ends; fields may be quoted.
        what: What messages call it, such as `questions`.
        columns: By the name that rows shall have, the names that the file may have, whatever
            their case and the spaces around them. Other columns are left out.

    Raises:
        InputError: If it is missing, too large, not UTF-8 or no CSV, lacks a column or has it
            twice, or a line has another number of fields than the first.
    """
    named = f"{what} {one_line(Path(path).name)!r}"
    text = _decoded(_bytes_of(Path(path), named), named)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        lines = [(reader.line_num, fields) for fields in reader if any(map(str.strip, fields))]
    except csv.Error as error:
        raise InputError(f"{named}: line {reader.line_num}: not CSV: {error}") from error
    if not lines:
        raise InputError(f"{named}: the file is empty")
    (_, head), *rest = lines
    places = {key: _column(head, names, key, named) for key, names in columns.items()}
    for number, fields in rest:
        if len(fields) != len(head):
            raise InputError(
                f"{named}: line {number}: expected {len(head)} fields, as the first line has, got "
                f"{len(fields)}; a field that holds a comma must be quoted"
            )
    return [
        Row(
            values={key: fields[place].strip() for key, place in places.items()},
            place=f"{named}: line {number}",
        )
        for number, fields in rest
    ]


def rows_of(document: Any, *, path: str | Path, what: str, key: str = "") -> list[Row]:
    """The objects of a list: of the document itself, or of its field `key`.

    Raises:
        InputError: If there is no such list, it is empty, or holds anything but objects.
    """
    named = f"{what} {one_line(Path(path).name)!r}"
    items = document
    if key:
        items = document.get(key) if isinstance(document, Mapping) else None
    elif isinstance(document, Mapping):
        items = [document]  # a file of JSON lines with one line
    if not isinstance(items, list):
        whose = f"an object with a list {key!r}" if key else "a list of objects"
        raise InputError(f"{named}: expected {whose}, got {_shown(document)}")
    for place, item in enumerate(items):
        if not isinstance(item, Mapping):
            raise InputError(f"{named}: {key}[{place}]: expected an object, got {_shown(item)}")
    return [Row(values=item, place=f"{named}: {key}[{i}]") for i, item in enumerate(items)]


def _bytes_of(path: Path, named: str) -> bytes:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise InputError(f"{named}: more than {_MAX_BYTES // 2**30} GB")
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{named}: cannot be read: {reason}") from error
    if path.suffix.lower() in _PICKLE_ENDINGS or data.startswith(_PICKLES):
        raise InputError(
            f"{named}: is a Python pickle, which can run any code when it is opened, so it is not "
            "opened; give the same expressions as JSON (docs/evaluation.md says in which forms)"
        )
    return data


def _decoded(data: bytes, named: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{named}: not UTF-8 at byte {error.start}") from error


def _column(head: Sequence[str], names: Sequence[str], key: str, named: str) -> int:
    """Where a column stands."""
    plain = [field.strip().casefold() for field in head]
    found = [place for place, field in enumerate(plain) if field in names]
    if len(found) != 1:
        how = "no column" if not found else f"{len(found)} columns"
        raise InputError(
            f"{named}: {how} for the {key} ({' or '.join(map(repr, names))}); the first line has "
            f"{_shown(list(head))}"
        )
    return found[0]


def _lines(text: str, named: str) -> Iterator[Any]:
    # Only \n parts lines: JSON lets other line ends stand within a text.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            yield json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{named}: line {number} is not JSON: {error}") from error


def _is_number(value: object) -> bool:
    if isinstance(value, int):
        return not isinstance(value, bool) and abs(value) < 2**53
    return isinstance(value, float) and math.isfinite(value)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
