"""From what a user names to what there is to annotate."""

from __future__ import annotations

import glob
import itertools
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import cast

import numpy as np
from PIL import Image as PILImage

from groundplane.annotation.sources.addresses import AddressListing, check_address, is_address
from groundplane.annotation.sources.files import FilesListing, Named
from groundplane.annotation.sources.folders import FolderListing
from groundplane.annotation.sources.given import Given, GivenListing
from groundplane.annotation.sources.lists import is_list_name, named_file, named_in
from groundplane.annotation.sources.source import Listing, Source
from groundplane.annotation.spec import JobSpec
from groundplane.core.errors import InputError, MediaError
from groundplane.core.files import one_line

__all__ = ["open_source", "source_of"]

_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
_MOST_SHARDS = 10_000_000


def open_source(
    given: Given | Iterable[Given] | Mapping[str, Given],
    *,
    frame_step: int = 1,
    column: str | None = None,
    http: bool = False,
) -> Source:
    """Open what there is to annotate; nothing is listed yet.

    Args:
        given: A folder of any depth; a picture or a video; a list of files (`.txt` with a path a
            line, `.jsonl`, `.csv`); a tar archive or a Parquet file with pictures in it; a pattern
            such as `shards/*.tar` or `shards/{000..127}.tar`; an address such as
            `s3://bucket/photos`. Or, in a program, pictures in any of the forms of `GivenListing`,
            singly, in an iterable, or by name in a mapping.
        frame_step: Every how manieth frame of a video is wanted.
        column: Which column of a list or a table names or holds the pictures.
        http: Whether addresses of the web (`https://`) are read; whoever writes a list of them can
            then have this machine call others.

    Raises:
        MediaError: If it is not there or cannot be read.
        InputError: If an argument makes no sense.
    """
    if isinstance(given, Mapping):
        given = cast("list[Given]", list(given.items()))
    if isinstance(given, bytes | np.ndarray | PILImage.Image | tuple):
        given = [cast("Given", given)]
    if isinstance(given, str | os.PathLike):
        text = os.fsdecode(given)
        name = text if is_address(text) else os.path.abspath(text)
        return Source(name, _named_source(text, column, http), frame_step=frame_step)
    if not isinstance(given, Iterable):
        raise InputError(f"source: expected a path or pictures, got {type(given).__name__}")
    listing = GivenListing(given, column=column, http=http)
    return Source("pictures of a program", listing, frame_step=frame_step)


def source_of(spec: JobSpec) -> Source:
    """The source of a job, opened as the job had it.

    Raises:
        MediaError: If it is not there (any more) or cannot be read.
    """
    return open_source(spec.source, frame_step=spec.frame_step, column=spec.column, http=spec.http)


def _named_source(text: str, column: str | None, http: bool) -> Listing:
    """The listing of a path, a pattern or an address."""
    if is_address(text):
        check_address(text, http=http)
        if os.path.splitext(text)[1]:
            name = text.rpartition("/")[2]
            return FilesListing(
                lambda: [Named(path=name, file=text)], column=column, alone=True, http=http
            )
        return AddressListing(text, http=http)
    if "\0" in text or not text:
        raise MediaError(f"source {text!r}: the path is malformed")
    if os.path.isdir(text):
        return FolderListing(text)
    if os.path.lexists(text):
        if is_list_name(text):
            return FilesListing(lambda: named_in(text, column=column), column=column, http=http)
        name = os.path.basename(text)
        one = Named(path=name, file=os.path.abspath(text))
        return FilesListing(lambda: [one], column=column, alone=True)
    if glob.has_magic(text) or _RANGE.search(text):
        return FilesListing(lambda: _matching(text), column=column)
    raise MediaError(f"source {one_line(text)!r} does not exist")


def _matching(pattern: str) -> Iterator[Named]:
    """The files that a pattern stands for, below the folder that it begins with."""
    top = os.path.abspath(os.path.dirname(re.split(r"[*?\[{]", pattern)[0]))
    found = False
    for one in _ranges(pattern):
        files = sorted(glob.iglob(one, recursive=True)) if glob.has_magic(one) else [one]
        for file in files:
            if not os.path.isdir(file):
                found = True
                yield named_file(os.path.abspath(file), top)
    if not found:
        raise MediaError(f"no file is called as {one_line(pattern)!r} says")


def _ranges(pattern: str) -> Iterator[str]:
    """`{000..127}` written out; the first number's width is kept."""
    parts = _RANGE.split(pattern)
    texts, bounds = parts[::3], list(zip(parts[1::3], parts[2::3], strict=True))
    count = 1
    for low, high in bounds:
        count *= max(0, int(high) - int(low) + 1)
    if not 0 < count <= _MOST_SHARDS:
        raise InputError(f"{one_line(pattern)!r} stands for {count} files")
    spans = [
        [str(number).zfill(len(low)) for number in range(int(low), int(high) + 1)]
        for low, high in bounds
    ]
    for numbers in itertools.product(*spans):
        yield "".join(itertools.chain(*itertools.zip_longest(texts, numbers, fillvalue="")))
