"""Captures whose streams have clocks: pictures, depths and poses found together by time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from groundplane.captures.lenses import Lens
from groundplane.captures.pairing import Trajectory, median_gap, pair
from groundplane.captures.shots import Shot
from groundplane.captures.texts import need_number, need_numbers, table
from groundplane.core.camera import DepthNoise
from groundplane.core.errors import InputError
from groundplane.core.files import one_line

__all__ = ["KINECT", "Stream", "TimedShots", "timed_rows", "together"]

# Nguyen, Izadi & Lovell, Modeling Kinect sensor noise for improved 3D reconstruction and
# tracking, 2012, equation 2: 0.0012 + 0.0019 (z - 0.4)^2 metres. Left out is the 0.4, which
# makes it a little more, at any depth above 0.2 metres.
KINECT = DepthNoise(base=0.0012, quadratic=0.0019)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stream:
    """Files with their times, rising.

    Attributes:
        times: Seconds, of any clock.
        files: One a time.
    """

    times: Float[np.ndarray, " n"]
    files: Sequence[Path]

    @classmethod
    def of(cls, rows: Sequence[tuple[float, Path]]) -> Stream:
        """A stream of rows in any order."""
        ordered = sorted(rows, key=lambda row: row[0])
        return cls(
            times=np.array([time for time, _ in ordered], dtype=np.float64),
            files=[file for _, file in ordered],
        )


def _no_lens(index: int) -> Lens | None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TimedShots:
    """Shots of pictures that were found together with what else was recorded.

    Attributes:
        times: Seconds since the first picture.
        pictures: One a shot.
        depths: One a shot, or None where the capture has none.
        lens_of: The lens of a shot, or None where it is not known.
        poses: Camera to world.
        known: Which of the poses are known.
        notes: What is to be said of the capture.
    """

    times: Float[np.ndarray, " n"]
    pictures: Sequence[Path]
    depths: Sequence[Path] | None
    poses: Float[np.ndarray, "n 4 4"]
    known: Bool[np.ndarray, " n"]
    lens_of: Callable[[int], Lens | None] = _no_lens
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.pictures)

    def place(self, index: int) -> tuple[Path, float]:
        """The picture of a frame and its time."""
        return self.pictures[index], float(self.times[index])

    def shot(self, index: int) -> Shot:
        """What the files tell of one frame."""
        return Shot(
            picture=self.pictures[index],
            time=float(self.times[index]),
            depth=self.depths[index] if self.depths is not None else None,
            lens=self.lens_of(index),
            pose=self.poses[index] if self.known[index] else None,
        )


def together(
    pictures: Stream,
    depths: Stream | None,
    trajectory: Trajectory | None,
    *,
    tolerance: float,
    where: str,
) -> TimedShots:
    """Find depths and poses of pictures by time; pictures without their depth are left out.

    Args:
        pictures: At least one.
        depths: None where the capture has none.
        trajectory: None where the capture has none.
        tolerance: Seconds.
        where: Names the capture, for messages.

    Returns:
        Shots without lenses; the notes count what was left out or has no pose.

    Raises:
        InputError: If nothing lies within the tolerance, which is no matter of a few lost frames.
    """
    notes = []
    rows, files = list(range(len(pictures.files))), None
    if depths is not None:
        chosen = pair(pictures.times, depths.times, tolerance)
        _need_some(chosen >= 0, pictures.times, depths.times, tolerance, f"{where}: depth")
        rows = np.flatnonzero(chosen >= 0).tolist()
        files = [depths.files[int(chosen[row])] for row in rows]
        if lost := len(pictures.files) - len(rows):
            what = f"{lost} of {len(pictures.files)} pictures have no depth within {tolerance:g} s"
            notes.append(f"{what} and were left out")
    times = pictures.times[rows]
    poses = np.tile(np.eye(4), (len(rows), 1, 1))
    known = np.zeros(len(rows), dtype=bool)
    if trajectory is not None:
        poses, known = trajectory.at(times, tolerance)
        _need_some(known, times, trajectory.times[trajectory.known], tolerance, f"{where}: poses")
        if lost := int(np.count_nonzero(~known)):
            notes.append(
                f"{lost} of {len(rows)} pictures have no pose recorded within {tolerance:g} s"
            )
    return TimedShots(
        times=times - pictures.times[0],
        pictures=[pictures.files[row] for row in rows],
        depths=files,
        poses=poses,
        known=known,
        notes=tuple(notes),
    )


def timed_rows(path: Path, columns: int) -> tuple[Float[np.ndarray, "n c"], Callable[[int], str]]:
    """Rows of numbers that begin with a time, in the order of time, and the place of each.

    Args:
        path: A file of text.
        columns: Numbers a row; all but the time may be infinite or NaN.

    Raises:
        InputError: If a row is malformed; the message names it.
    """
    lines, rows = [], []
    for number, words in table(path, columns):
        where = f"{one_line(path.name)}, line {number}"
        need_number(words[0], where)
        rows.append(need_numbers(words, (columns,), where))
        lines.append(number)
    values = np.stack(rows) if rows else np.zeros((0, columns))
    order = np.argsort(values[:, 0], kind="stable")
    return values[order], lambda row: f"{one_line(path.name)}, line {lines[order[row]]}"


def _need_some(
    found: Bool[np.ndarray, " n"],
    times: Float[np.ndarray, " n"],
    others: Float[np.ndarray, " m"],
    tolerance: float,
    what: str,
) -> None:
    if found.any():
        return
    if not len(others):
        raise InputError(f"{what}: the file has no row that is known")
    raise InputError(
        f"{what}: nothing within {tolerance:g} s of a picture, the median gap is "
        f"{median_gap(times, others):.3g} s; the streams are not synchronised. Try: files of "
        "one clock, or a larger tolerance"
    )
