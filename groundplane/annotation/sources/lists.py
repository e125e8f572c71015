"""Files that list pictures: one path a line, or tables and JSON lines with a column of paths."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator
from typing import IO, Any

from groundplane.annotation.decoding.places import open_place
from groundplane.annotation.sources.addresses import is_address
from groundplane.annotation.sources.files import Named
from groundplane.core.errors import InputError, MediaError, listing
from groundplane.core.files import one_line

__all__ = ["is_list_name", "named_in"]

_COLUMNS = ("path", "file", "file_name", "filename", "file_path", "image", "image_path", "img")
# The longest line that is read; a path has 4 kB at most.
_LINE = 2**20


def is_list_name(path: str) -> bool:
    """Whether a file's ending says that it lists others.

    Examples:
        >>> is_list_name("photos.TXT"), is_list_name("photos.jpg")
        (True, False)
    """
    return path.lower().endswith((".txt", ".lst", ".jsonl", ".ndjson", ".csv", ".tsv"))


def named_in(file: str, *, column: str | None = None) -> Iterator[Named]:
    """The files that a list names, relative to its own folder; lines are read one at a time.

    A line that says nothing is passed over; one that makes no sense is a fault of its own.

    Args:
        file: The list.
        column: The key or column that holds the path; None for `path`, `file_name` or the like.

    Raises:
        MediaError: If it cannot be read.
        InputError: If a table has no such column.
    """
    folder = os.path.dirname(os.path.abspath(file))
    ending = os.path.splitext(file)[1].lower()
    try:
        with io.BufferedReader(open_place(file)) as lines:  # type: ignore[type-var]
            for number, text in _entries(lines, ending, column, file):
                yield _named(text, folder, f"{os.path.basename(file)}:{number}")
    except OSError as error:
        raise MediaError(f"{one_line(file)} cannot be read: {error.strerror}") from error


def named_file(path: str, folder: str) -> Named:
    """A file by its path, which may be relative to a folder."""
    whole = os.path.join(folder, path)
    name = os.path.relpath(os.path.normpath(whole), folder) if path else ""
    if name == ".." or name.startswith("../"):
        name = os.path.normpath(whole)
    return Named(path=name.lstrip("/"), file=whole)


def _named(text: str | None, folder: str, line: str) -> Named:
    if text is None or "\0" in text:
        return Named(path=line, fault=f"{line}: expected the path of a file")
    if is_address(text):
        return Named(path=text.partition("://")[2].strip("/") or text, file=text)
    return named_file(text, folder)


def _entries(
    lines: IO[bytes], ending: str, column: str | None, file: str
) -> Iterator[tuple[int, str | None]]:
    """The number of each line that says something, and the path in it; None where there is none."""
    if ending in (".csv", ".tsv"):
        yield from _cells(lines, "\t" if ending == ".tsv" else ",", column, file)
        return
    for number, line in enumerate(_lines(lines), start=1):
        if line is None:
            yield number, None
        elif ending in (".jsonl", ".ndjson"):
            if line.strip():
                yield number, _value(line, column)
        elif line:
            yield number, os.fsdecode(line)


def _lines(file: IO[bytes]) -> Iterator[bytes | None]:
    """Lines without their ends; None for one that is too long."""
    first = True
    while line := file.readline(_LINE):
        whole = line.endswith(b"\n") or len(line) < _LINE
        while not line.endswith(b"\n") and (more := file.readline(_LINE)):
            line = more  # the rest of a line that is too long
        line = line.removesuffix(b"\n").removesuffix(b"\r")
        yield (line.removeprefix(b"\xef\xbb\xbf") if first else line) if whole else None
        first = False


def _value(line: bytes, column: str | None) -> str | None:
    """The path in a line of JSON: a text, or an object that holds one."""
    try:
        value: Any = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if isinstance(value, dict):
        keys = (column,) if column is not None else _COLUMNS
        value = next((value[key] for key in keys if key in value), None)
    return value if isinstance(value, str) and value else None


def _cells(
    lines: IO[bytes], comma: str, column: str | None, file: str
) -> Iterator[tuple[int, str | None]]:
    text = io.TextIOWrapper(lines, encoding="utf-8-sig", errors="surrogateescape", newline="")
    rows = csv.reader(text, delimiter=comma)
    try:
        head = next(rows, [])
        known = [column] if column is not None else [name for name in _COLUMNS if name in head]
        if not known or known[0] not in head:
            raise InputError(
                f"{one_line(file)}: expected a column {column or 'path'!r}, got: {listing(head)}"
            )
        at = head.index(known[0])
        for row in rows:
            if row:
                yield rows.line_num, row[at] if at < len(row) and row[at] else None
    except csv.Error:
        yield rows.line_num, None
    finally:
        text.detach()
