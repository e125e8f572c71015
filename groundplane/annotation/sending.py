"""A finished export to an object store: file by file, each whole, the proof of all of them last."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from groundplane.annotation.exporting import LOSSES
from groundplane.annotation.sources.addresses import check_address
from groundplane.core.errors import InputError, OutputError
from groundplane.core.files import one_line
from groundplane.core.hub import need_library

__all__ = ["send_export"]

# Beside the files of an export: their names and SHA-256, written when all of them are there.
CONTENTS = "contents.json"


def send_export(folder: str | Path, address: str) -> int:
    """Copy an export to a store; nothing that stands there is replaced.

    A copy that was cut off has no `contents.json`, which lists every file with its SHA-256 and
    goes last. Another call goes on with it: what is there already must be the very same.

    Args:
        folder: An export that `groundplane export` wrote.
        address: Of a folder in a store, such as `s3://bucket/exports/run1`.

    Returns:
        How many files there are.

    Raises:
        InputError: If the folder is no export, or the address is not to be written to.
        OutputError: If something else stands there, or the store cannot be written.
        PluginBrokenError: If fsspec is not installed.

    Examples:
        >>> send_export("no such folder", "memory://exports")
        Traceback (most recent call last):
        ...
        groundplane.core.errors.InputError: no such folder: is no export; `groundplane export` makes one
    """  # noqa: E501
    place = Path(folder)
    check_address(address)
    if not (place / LOSSES).is_file():
        raise InputError(f"{one_line(str(place))}: is no export; `groundplane export` makes one")
    stores = need_library("fsspec", who=f"writing to {one_line(address)}")
    try:
        store, top = stores.core.url_to_fs(address)
        contents = dict(_sent(place, store, top.rstrip("/")))
        listed = json.dumps({"files": contents}, indent=1).encode("ascii") + b"\n"
        _put(store, f"{top.rstrip('/')}/{CONTENTS}", listed)
    except OutputError:
        raise
    except Exception as error:
        # Every store's client has errors of its own.
        said = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise OutputError(
            f"{one_line(address)}: cannot be written ({said}); what is there is whole, and the "
            "same call goes on"
        ) from error
    return len(contents)


def _sent(folder: Path, store: Any, top: str) -> Iterator[tuple[str, str]]:
    """Put each file; its name and SHA-256."""
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not path.is_file():
            continue
        name = path.relative_to(folder).as_posix()
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        _put(store, f"{top}/{name}", path, digest=digest)
        yield name, digest


def _put(store: Any, where: str, given: bytes | Path, *, digest: str = "") -> None:
    """Put a file that is not there; one that is must have the same bytes."""
    if isinstance(given, bytes):
        digest = hashlib.sha256(given).hexdigest()
    if store.exists(where):
        if _digest_there(store, where) != digest:
            raise OutputError(
                f"{one_line(where)}: something else stands there, and nothing is replaced; name "
                "another folder, or remove that one"
            )
    elif isinstance(given, bytes):
        store.pipe_file(where, given)
    else:
        store.makedirs(where.rpartition("/")[0], exist_ok=True)
        store.put_file(str(given), where)


def _digest_there(store: Any, where: str) -> str:
    """SHA-256 of what stands in a store."""
    total = hashlib.sha256()
    with store.open(where, "rb") as file:
        while part := file.read(2**20):
            total.update(part)
    return total.hexdigest()
