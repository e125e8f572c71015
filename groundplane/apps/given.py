"""What is given on the command line, brought to values."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from groundplane.core.errors import InputError, OutputError

__all__ = ["check_apart", "check_file", "check_picture", "expert_options"]


def expert_options(pairs: Sequence[str], *, flag: str = "--option") -> dict[str, str]:
    """Options of an expert or a model, from `key=value`.

    Raises:
        InputError: If one is not of this form, or given twice.

    Examples:
        >>> expert_options(["weights=a=b"])
        {'weights': 'a=b'}
        >>> expert_options([])
        {}
    """
    options: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise InputError(f"{flag} {pair!r}: expected key=value")
        if key in options:
            raise InputError(f"{flag} {key!r} is given twice")
        options[key] = value
    return options


def check_picture(flag: str, path: Path) -> None:
    """Before any work: a picture can be drawn to this file at all.

    Raises:
        OutputError: If its ending is another one, or there is no such folder.
    """
    if path.suffix.lower() not in (".svg", ".png"):
        raise OutputError(f"{flag} {str(path)!r}: the ending must be .svg or .png")
    check_file(flag, path)


def check_file(flag: str, path: Path) -> None:
    """Before any work: there is a folder for a file that will be written.

    Raises:
        OutputError: If there is none.
    """
    if not os.path.isdir(os.path.dirname(os.path.realpath(path))):
        raise OutputError(f"{flag} {str(path)!r}: there is no such folder")


def check_apart(flag: str, path: Path, inputs: Iterable[str | Path | None]) -> None:
    """Before any work: what is written replaces nothing that is read.

    Raises:
        OutputError: If it is one of the inputs.
    """
    place = os.path.realpath(path)
    for given in inputs:
        if given is not None and os.path.realpath(given) == place:
            raise OutputError(f"{flag} {str(path)!r} is what is read; name another file")
