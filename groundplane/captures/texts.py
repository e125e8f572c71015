"""Files of text and folders of a capture that somebody else wrote: bounded, named, in order."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from groundplane.core.errors import InputError
from groundplane.core.files import one_line
from groundplane.core.media import is_picture_name

__all__ = [
    "listed",
    "natural",
    "need_number",
    "need_numbers",
    "need_object",
    "need_positive",
    "pictures_in",
    "read_json",
    "read_lines",
    "shown",
    "table",
    "within",
]

_MAX_BYTES = 2**28
# A line of COLMAP's images.txt holds every point that a picture shows.
_MAX_LINE = 2**25
_DIGITS = re.compile(r"([0-9]+)")


def read_lines(path: Path, *, max_bytes: int = _MAX_BYTES) -> Iterator[tuple[int, str]]:
    """Lines of a text file without their ends, with their numbers from 1.

    Raises:
        InputError: If it cannot be read, is no UTF-8, or is over a limit.
    """
    read = 0
    name = one_line(path.name)
    try:
        if not path.is_file():
            raise InputError(f"{name}: there is no such file in {one_line(path.parent.name)!r}")
        with path.open("rb") as file:
            number = 0
            while line := file.readline(_MAX_LINE + 1):
                number += 1
                read += len(line)
                if len(line) > _MAX_LINE or read > max_bytes:
                    raise InputError(
                        f"{name}, line {number}: expected lines of at most {_MAX_LINE} bytes and "
                        f"at most {max_bytes} bytes in all"
                    )
                yield number, line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
    except UnicodeDecodeError as error:
        raise InputError(f"{name}, line {number}: expected text in UTF-8") from error
    except OSError as error:
        raise InputError(f"{name}: cannot be read: {error.strerror or error}") from error


def table(path: Path, columns: int) -> Iterator[tuple[int, list[str]]]:
    """Rows of a text file in words, with their line numbers; `#` begins a comment.

    Args:
        path: The file.
        columns: How many words each row has; the last one holds what is left of its line.

    Raises:
        InputError: If a row has fewer.
    """
    for number, line in read_lines(path):
        if not line or line.startswith("#"):
            continue
        words = line.split(None, columns - 1)
        if len(words) < columns:
            raise InputError(
                f"{one_line(path.name)}, line {number}: expected {columns} columns, "
                f"got {len(words)}: {shown(line)}"
            )
        yield number, words


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        InputError: If it cannot be read, is over a limit or is no JSON object.
    """
    name = one_line(path.name)
    try:
        if not path.is_file():
            raise InputError(f"{name}: there is no such file in {one_line(path.parent.name)!r}")
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
        if len(data) > _MAX_BYTES:
            raise InputError(f"{name}: expected at most {_MAX_BYTES} bytes")
        document = json.loads(data.decode("utf-8-sig"))
    except OSError as error:
        raise InputError(f"{name}: cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{name}: expected JSON, got: {str(error)[:160] or 'too deep'}") from error
    return need_object(document, name)


def need_object(value: object, where: str) -> dict[str, Any]:
    """The value if it is a JSON object."""
    if not isinstance(value, dict):
        raise InputError(f"{where}: expected an object, got {shown(value)}")
    return value


def need_number(value: object, where: str) -> float:
    """A finite number, from JSON or a word of text.

    Raises:
        InputError: If it is something else.

    Examples:
        >>> need_number("1.5", "row 1"), need_number(2, "row 1")
        (1.5, 2.0)
        >>> need_number(True, "row 1")
        Traceback (most recent call last):
        ...
        groundplane.core.errors.InputError: row 1: expected a finite number, got True
    """
    try:
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            number = float(value)
            if math.isfinite(number):
                return number
    except (ValueError, OverflowError):
        pass
    raise InputError(f"{where}: expected a finite number, got {shown(value)}")


def need_positive(value: object, where: str) -> float:
    """A finite number above 0.

    Raises:
        InputError: If it is something else.
    """
    number = need_number(value, where)
    if number > 0:
        return number
    raise InputError(f"{where}: expected a number above 0, got {shown(value)}")


def need_numbers(value: object, shape: tuple[int, ...], where: str) -> Float[np.ndarray, "..."]:
    """Numbers of a shape, from JSON's lists or words of text; they need not be finite.

    Raises:
        InputError: If they are something else.
    """
    if _holds_numbers(value, shape):
        try:
            return np.array(value, dtype=np.float64)
        except (ValueError, OverflowError):
            pass
    size = " by ".join(map(str, shape))
    raise InputError(f"{where}: expected {size} numbers, got {shown(value)}")


def _holds_numbers(value: object, shape: tuple[int, ...]) -> bool:
    if not shape:
        return isinstance(value, str | int | float) and not isinstance(value, bool)
    return (
        isinstance(value, list)
        and len(value) == shape[0]
        and all(_holds_numbers(part, shape[1:]) for part in value)
    )


def within(folder: Path, name: object, where: str) -> Path:
    """A file of a capture by the name that its index states.

    Raises:
        InputError: If the name leads out of the folder, or is none.

    Examples:
        >>> within(Path("walk"), "./images/1.png", "transforms.json").as_posix()
        'walk/images/1.png'
        >>> within(Path("walk"), "../x.png", "transforms.json")
        Traceback (most recent call last):
        ...
        groundplane.core.errors.InputError: transforms.json: expected a name within the folder of \
the capture, got '../x.png'
    """
    if isinstance(name, str) and name and "\0" not in name:
        parts = name.replace("\\", "/").split("/")
        if parts[0] and ".." not in parts and not {"", "."}.issuperset(parts):
            return folder / "/".join(parts)
    raise InputError(
        f"{where}: expected a name within the folder of the capture, got {shown(name)}"
    )


def listed(folder: Path) -> list[str]:
    """Names of the files in a folder, hidden ones left out, numbers in order of size.

    Links to files count, those that lead nowhere or in a ring do not.

    Raises:
        InputError: If it cannot be listed.
    """
    try:
        with os.scandir(folder) as entries:
            names = [e.name for e in entries if not e.name.startswith(".") and _is_file(e)]
    except OSError as error:
        raise InputError(
            f"folder {one_line(folder.name)!r} cannot be listed: {error.strerror or error}"
        ) from error
    return sorted(names, key=natural)


def pictures_in(folder: Path) -> list[Path]:
    """The pictures in a folder, not below it, in natural order: 2.png before 10.png."""
    return [folder / name for name in listed(folder) if is_picture_name(name)]


def shown(value: object) -> str:
    """A value from a file on one line of bounded length."""
    return ascii(value) if len(ascii(value)) <= 80 else ascii(value)[:77] + "..."


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:  # a ring of links
        return False


def natural(name: str) -> tuple[list[tuple[int, str]], str]:
    """A key that sorts names as people count.

    Examples:
        >>> sorted(["10.png", "2.png", "a2", "a10"], key=natural)
        ['2.png', '10.png', 'a2', 'a10']
    """
    parts = _DIGITS.split(name)
    # Words stand at even places, digits at odd ones; the name itself settles 1 against 01.
    key = [(int(part) if at % 2 else 0, "" if at % 2 else part) for at, part in enumerate(parts)]
    return key, name
