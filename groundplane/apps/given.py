"""What is given on the command line, brought to values."""

from __future__ import annotations

from collections.abc import Sequence

from groundplane.core.errors import InputError

__all__ = ["expert_options"]


def expert_options(pairs: Sequence[str]) -> dict[str, str]:
    """Options of an expert, from `key=value`.

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
            raise InputError(f"--option {pair!r}: expected key=value")
        if key in options:
            raise InputError(f"--option {key!r} is given twice")
        options[key] = value
    return options
