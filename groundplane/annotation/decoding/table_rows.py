"""Rows of Parquet files, read in order without holding a whole row group."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from groundplane.annotation.decoding.places import is_stored, open_place, stamp_of_open
from groundplane.core.errors import MediaError
from groundplane.core.files import one_line
from groundplane.core.hub import need_library
from groundplane.core.regular_files import stamp_of

__all__ = ["TableRows"]

# Rows that are held at a time: so many pictures.
_BATCH = 16
# Rows that are rather read over than looked up.
_AHEAD = 8 * _BATCH


@dataclass(slots=True)
class _Place:
    """Where reading stands: the next row, and the rows after it that are read already."""

    file: Any
    table: str
    column: str
    changed: int | None
    batches: Iterator[Any]
    first: int
    rows: list[Any] = field(default_factory=list)

    def go_to(self, row: int) -> bool:
        """Read on until a row is held; False where the row group ends before it."""
        while row >= self.first + len(self.rows):
            self.first += len(self.rows)
            self.rows = next(self.batches, [])
            if not self.rows:
                return False
        return True


class TableRows:
    """Gives the bytes in one column, row by row; going back begins the row group anew."""

    def __init__(self) -> None:
        self._place: _Place | None = None

    def read(self, table: str, *, row: int, column: str, changed: int | None) -> bytes:
        """The bytes in a row.

        Args:
            table: The file: a path or an address.
            row: Counted over the whole file.
            column: Its column of bytes, or of structures with a field `bytes`.
            changed: When the file was last changed, as it was listed; None takes it as it is.

        Raises:
            MediaError: If there are none, or the file has changed.
        """
        if not is_stored(table):
            # One in a store is looked at where it is opened: each look is a call over the network.
            _check(table, changed, stamp_of(Path(table).stat()))
        for _ in range(2):
            if not self._leads_to(table, column, changed, row):
                self.close()
                self._place = _open(table, column, row, changed)
            if self._place is not None and self._place.go_to(row):
                break
            self.close()  # the row group has ended before the row
        if self._place is None:
            raise MediaError(f"{one_line(table)} is broken: its row {row} is missing")
        data = self._place.rows[row - self._place.first]
        if not isinstance(data, bytes) or not data:
            raise MediaError(f"{one_line(table)}: row {row} holds no bytes in column {column!r}")
        return data

    def close(self) -> None:
        """Let go of the file that is open."""
        if self._place is not None:
            self._place.file.close()
            self._place = None

    def __del__(self) -> None:
        self.close()

    def _leads_to(self, table: str, column: str, changed: int | None, row: int) -> bool:
        """Whether what is open holds a row, or will after a few more."""
        place = self._place
        if place is None or (place.table, place.column, place.changed) != (table, column, changed):
            return False
        return place.first <= row < place.first + len(place.rows) + _AHEAD


def _open(table: str, column: str, row: int, changed: int | None) -> _Place:
    """Begin with the row group that holds a row."""
    parquet = need_library("pyarrow.parquet", who="a Parquet source", extra="parquet")
    with ExitStack() as opened:
        file = opened.enter_context(closing(open_place(table)))
        _check(table, changed, stamp_of_open(file))
        rows = parquet.ParquetFile(file)
        first = 0
        for group in range(rows.num_row_groups):
            count = rows.metadata.row_group(group).num_rows
            if row < first + count:
                opened.pop_all()  # it stays open for the rows
                return _Place(
                    file=file, table=table, column=column, changed=changed, first=first,
                    batches=_batches(rows, group, column),
                )  # fmt: skip
            first += count
    raise MediaError(f"{one_line(table)} has {first} rows and none of number {row}")


def _check(table: str, changed: int | None, now: tuple[int, int] | None) -> None:
    """Refuse a file that is not the one that was listed, where that can be told."""
    if changed is not None and now is not None and changed != now[1]:
        raise MediaError(f"{one_line(table)} has changed since it was listed")


def _batches(file: Any, group: int, column: str) -> Iterator[list[Any]]:
    for batch in file.iter_batches(
        batch_size=_BATCH, row_groups=[group], columns=[column], use_threads=False
    ):
        values = batch.column(0).to_pylist()
        yield [value.get("bytes") if isinstance(value, dict) else value for value in values]
