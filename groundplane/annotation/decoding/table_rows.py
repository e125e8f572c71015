"""Rows of Parquet files, read in order without holding a whole row group."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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

    table: str
    column: str
    changed: int
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
            table: The file.
            row: Counted over the whole file.
            column: Its column of bytes, or of structures with a field `bytes`.
            changed: When the file was last changed, as it was listed; None takes it as it is.

        Raises:
            MediaError: If there are none, or the file has changed.
        """
        now = stamp_of(Path(table).stat())[1]
        if changed is not None and changed != now:
            raise MediaError(f"{one_line(table)} has changed since it was listed")
        for _ in range(2):
            if not self._leads_to(table, column, now, row):
                self._place = _open(table, column, row, now)
            if self._place is not None and self._place.go_to(row):
                break
            self._place = None  # the row group has ended before the row
        if self._place is None:
            raise MediaError(f"{one_line(table)} is broken: its row {row} is missing")
        data = self._place.rows[row - self._place.first]
        if not isinstance(data, bytes) or not data:
            raise MediaError(f"{one_line(table)}: row {row} holds no bytes in column {column!r}")
        return data

    def _leads_to(self, table: str, column: str, changed: int, row: int) -> bool:
        """Whether what is open holds a row, or will after a few more."""
        place = self._place
        if place is None or (place.table, place.column, place.changed) != (table, column, changed):
            return False
        return place.first <= row < place.first + len(place.rows) + _AHEAD


def _open(table: str, column: str, row: int, changed: int) -> _Place:
    """Begin with the row group that holds a row."""
    parquet = need_library("pyarrow.parquet", who="a Parquet source", extra="parquet")
    file = parquet.ParquetFile(table)
    first = 0
    for group in range(file.num_row_groups):
        count = file.metadata.row_group(group).num_rows
        if row < first + count:
            return _Place(
                table=table, column=column, changed=changed, first=first,
                batches=_batches(file, group, column),
            )  # fmt: skip
        first += count
    raise MediaError(f"{one_line(table)} has {first} rows and none of number {row}")


def _batches(file: Any, group: int, column: str) -> Iterator[list[Any]]:
    for batch in file.iter_batches(
        batch_size=_BATCH, row_groups=[group], columns=[column], use_threads=False
    ):
        values = batch.column(0).to_pylist()
        yield [value.get("bytes") if isinstance(value, dict) else value for value in values]
