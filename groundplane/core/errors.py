"""Errors: each is a `GroundplaneError` and a built-in, and says what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "DetectorError",
    "EncoderError",
    "GroundplaneError",
    "InputError",
    "MediaError",
    "OutputError",
    "PluginBrokenError",
    "PluginNotFoundError",
    "ProtocolError",
    "SceneError",
    "ShapeError",
    "WeightsError",
    "WorkerError",
    "did_you_mean",
    "listing",
]


class GroundplaneError(Exception):
    """Base of every error that groundplane raises on purpose."""


class ShapeError(GroundplaneError, ValueError):
    """An array or tensor has the wrong shape."""


class InputError(GroundplaneError, ValueError):
    """A value given by the user is out of range, unknown or malformed."""


class MediaError(InputError):
    """An image or video cannot be read, or is refused by a limit."""


class SceneError(InputError):
    """A scene file is malformed; the message names the file and the field."""


class DetectorError(GroundplaneError, RuntimeError):
    """An expert broke its contract or failed; the message names it."""


class EncoderError(GroundplaneError, RuntimeError):
    """An encoder gave what no encoder may give, such as NaN; the message names it."""


class WeightsError(InputError):
    """A checkpoint cannot be found, fetched or read, or is refused; the message names it."""


class PluginNotFoundError(GroundplaneError, LookupError):
    """No plugin of that kind and name is installed."""


class PluginBrokenError(GroundplaneError, ImportError):
    """A plugin is installed but cannot be loaded, or breaks its protocol."""


class ProtocolError(GroundplaneError, RuntimeError):
    """A language model or resolver broke the session protocol."""


class WorkerError(GroundplaneError, RuntimeError):
    """A process of ours cannot be started, or ends again and again."""


class OutputError(GroundplaneError, OSError):
    """A result could not be written where the user asked for it."""


def did_you_mean(word: str, known: Iterable[str], *, limit: int = 3) -> str:
    """Give `" Did you mean 'a' or 'b'?"`, or nothing when no known word is near.

    Examples:
        >>> did_you_mean("opencb", ["opencv", "coco-file"])
        " Did you mean 'opencv'?"
        >>> did_you_mean("zzz", ["opencv"])
        ''
    """
    near = difflib.get_close_matches(word, list(known), n=limit, cutoff=0.6)
    return f" Did you mean {' or '.join(repr(name) for name in near)}?" if near else ""


def listing(names: Iterable[str], *, limit: int = 12, empty: str = "none") -> str:
    """Join names for a message, and say how many were left out.

    Examples:
        >>> listing(["a", "b", "c"], limit=2)
        'a, b and 1 more'
        >>> listing([])
        'none'
    """
    items = list(names)
    if not items:
        return empty
    shown = ", ".join(items[:limit])
    return shown if len(items) <= limit else f"{shown} and {len(items) - limit} more"
