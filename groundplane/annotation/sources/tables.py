"""The pictures in a Parquet file, as data sets of Hugging Face keep them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

from groundplane.annotation.decoding.places import open_place, stamp_of_open
from groundplane.annotation.items import Item
from groundplane.core.errors import InputError, MediaError, listing
from groundplane.core.files import one_line
from groundplane.core.hub import need_library

__all__ = ["table_items"]

_NAMES = ("image", "img", "picture", "photo", "jpg", "jpeg", "png", "webp", "bytes")
_ROWS = 1024


def table_items(file: str, prefix: str, *, column: str | None = None) -> Iterator[Item]:
    """One item a row, named as the row says (`image.path`), or by its number.

    Args:
        file: A path or an address.
        prefix: What stands before the names.
        column: Holds bytes, or structures with the fields `bytes` and `path`; None for the only
            such column, or the one that is called `image` or the like.

    Raises:
        InputError: If there is no such column, or it cannot be told which.
        MediaError: If the file cannot be read.
    """
    parquet = need_library("pyarrow.parquet", who="a Parquet source", extra="parquet")
    arrow = need_library("pyarrow", who="a Parquet source", extra="parquet")
    try:
        with closing(open_place(file)) as opened:
            stamp = stamp_of_open(opened)
            table = parquet.ParquetFile(opened)
            column = _column(table.schema_arrow, column, file)
            for row, name in enumerate(_names(table, column)):
                yield Item(
                    path=prefix + (name or f"row-{row:09d}"),
                    where={"table": file, "row": row, "column": column},
                    stamp=stamp,
                )
    except (OSError, arrow.ArrowException) as error:
        said = " ".join(str(error).split())[:160]
        raise MediaError(f"{one_line(file)!r} cannot be read as a Parquet file ({said})") from error


def _column(schema: Any, wanted: str | None, file: str) -> str:
    """The column with pictures."""
    fit = [field.name for field in schema if _fits(field.type)]
    if wanted is not None:
        if wanted in fit:
            return wanted
        raise InputError(
            f"{one_line(file)}: expected a column {wanted!r} of bytes, got: {listing(fit)}"
        )
    called = [name for known in _NAMES for name in fit if name.lower() == known]
    if len(fit) == 1 or called:
        return str((called or fit)[0])
    raise InputError(
        f"{one_line(file)}: which column holds the pictures? Columns of bytes: {listing(fit)}"
    )


def _fits(kind: Any) -> bool:
    text = str(kind)
    if text.startswith("struct<"):
        return any(field.name == "bytes" and _fits(field.type) for field in kind)
    return text in ("binary", "large_binary", "binary_view")


def _names(table: Any, column: str) -> Iterator[str]:
    """What each row calls itself; nothing where it does not."""
    kind = table.schema_arrow.field(column).type
    named = str(kind).startswith("struct<") and any(field.name == "path" for field in kind)
    if not named:
        for _ in range(table.metadata.num_rows):
            yield ""
        return
    leaf = f"{column}.path"
    for batch in table.iter_batches(batch_size=_ROWS, columns=[leaf], use_threads=False):
        for value in batch.column(0).to_pylist():
            path = value.get("path") if isinstance(value, dict) else None
            yield path if isinstance(path, str) else ""
