"""What the flags of `groundplane map` say, brought to values."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from groundplane.captures.options import CaptureOptions
from groundplane.core.errors import InputError
from groundplane.spatial.mapping.scaling import ScalingOptions

__all__ = ["capture_options", "known_sizes", "least_scores"]


def capture_options(
    *,
    fps: float | None = None,
    depth_scale: float | None = None,
    longest: int | None = None,
    intrinsics: str | None = None,
    up: str | None = None,
) -> CaptureOptions:
    """What flags say of a capture beside its files.

    Raises:
        InputError: If one is malformed.

    Examples:
        >>> capture_options(intrinsics="525,525,320,240").intrinsics
        (525.0, 525.0, 320.0, 240.0)
        >>> capture_options(up="0,-1").up
        Traceback (most recent call last):
        ...
        groundplane.core.errors.InputError: --up '0,-1': expected 3 numbers with commas between
    """
    lens = None if intrinsics is None else _numbers("--intrinsics", intrinsics, 4)
    axis = None if up is None else _numbers("--up", up, 3)
    return CaptureOptions(
        fps=fps,
        depth_scale=depth_scale,
        longest=longest,
        intrinsics=None if lens is None else (lens[0], lens[1], lens[2], lens[3]),
        up=None if axis is None else (axis[0], axis[1], axis[2]),
        whole=False,
    )


def _numbers(flag: str, text: str, count: int) -> list[float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != count:
        raise InputError(f"{flag} {text!r}: expected {count} numbers with commas between")
    return numbers


def least_scores(given: Iterable[str], phrases: Sequence[str]) -> dict[str, float]:
    """Least scores by phrase.

    Raises:
        InputError: If one is neither NUMBER nor PHRASE=NUMBER.

    Examples:
        >>> least_scores(["0.3", "sofa=0.5"], ["sofa", "tv"])
        {'sofa': 0.5, 'tv': 0.3}
        >>> least_scores([], ["sofa"])
        {}
    """
    general: dict[str, float] = {}
    named: dict[str, float] = {}
    for text in given:
        name, equals, number = text.rpartition("=")
        try:
            value = float(number)
        except ValueError as error:
            raise InputError(f"--threshold {text!r}: expected NUMBER or PHRASE=NUMBER") from error
        if equals:
            named[" ".join(name.split())] = value
        else:
            general = dict.fromkeys(phrases, value)
    return general | named


def known_sizes(given: Iterable[str], *, camera_height: float | None = None) -> ScalingOptions:
    """What is known of a place, from `LABEL=METRES`.

    Raises:
        InputError: If one is malformed.

    Examples:
        >>> known_sizes(["door=2.0"]).known
        {'door': 2.0}
        >>> known_sizes([]).known
        {}
    """
    known: dict[str, float] = {}
    for text in given:
        label, _, number = text.rpartition("=")
        try:
            known[" ".join(label.split())] = float(number)
        except ValueError as error:
            raise InputError(f"--known {text!r}: expected LABEL=METRES") from error
    if "" in known or not all(0 < metres < math.inf for metres in known.values()):
        got = "; ".join(f"{label}={metres:g}" for label, metres in known.items())
        raise InputError(f"--known: expected LABEL=METRES, such as door=2.0, got {got!r}")
    return ScalingOptions(known=known, camera_height=camera_height or 0.0)
