"""What belongs together by time: pictures, depths, and poses between two that were recorded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from groundplane.captures.poses import between
from groundplane.core.errors import InputError

__all__ = ["Trajectory", "median_gap", "pair"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trajectory:
    """Where a camera was at some times.

    Attributes:
        times: Seconds, rising.
        poses: Camera to world, rigid.
        known: Whether each is known.
    """

    times: Float[np.ndarray, " m"]
    poses: Float[np.ndarray, "m 4 4"]
    known: Bool[np.ndarray, " m"]

    def at(
        self, times: Float[np.ndarray, " n"], tolerance: float
    ) -> tuple[Float[np.ndarray, "n 4 4"], Bool[np.ndarray, " n"]]:
        """Poses at other times, and which of them are known.

        Between two known poses that lie at most twice the tolerance apart the pose is found on
        the way from one to the other; else the nearer one is taken, if it lies within the
        tolerance.
        """
        if not len(self.times):
            return np.tile(np.eye(4), (len(times), 1, 1)), np.zeros(len(times), dtype=bool)
        after = np.searchsorted(self.times, times).clip(0, len(self.times) - 1)
        before = (after - 1).clip(0)
        gaps = self.times[after] - self.times[before]
        inside = (self.times[before] <= times) & (times <= self.times[after])
        both = inside & self.known[before] & self.known[after] & (gaps <= 2 * tolerance)
        share = np.where(gaps > 0, (times - self.times[before]) / np.where(gaps > 0, gaps, 1), 1)
        poses = between(self.poses[before], self.poses[after], np.where(both, share, 0.0))
        off_before = np.where(self.known[before], np.abs(self.times[before] - times), np.inf)
        off_after = np.where(self.known[after], np.abs(self.times[after] - times), np.inf)
        nearest = np.where(off_before < off_after, before, after)
        poses = np.where(both[:, None, None], poses, self.poses[nearest])
        return poses, both | (np.minimum(off_before, off_after) <= tolerance)


def pair(
    times: Float[np.ndarray, " n"], others: Float[np.ndarray, " m"], tolerance: float
) -> Int[np.ndarray, " n"]:
    """Which of the others lies nearest to each time, within a tolerance; each is taken once.

    Args:
        times: Seconds.
        others: Seconds, rising.
        tolerance: Seconds.

    Returns:
        Indices of the others; -1 where none is near, or where it is nearer to another time.

    Examples:
        >>> pair(np.array([0.0, 0.033, 0.066]), np.array([0.02, 0.06]), 0.02).tolist()
        [-1, 0, 1]
        >>> pair(np.zeros(0), np.zeros(0), 0.02).tolist()
        []
    """
    chosen = np.full(len(times), -1)
    if not len(others):
        return chosen
    nearest, gaps = _nearest(times, others)
    rows = np.flatnonzero(gaps <= tolerance)
    # The nearest pairs first; of those that want the same one the first gets it.
    rows = rows[np.argsort(gaps[rows], kind="stable")]
    _, first = np.unique(nearest[rows], return_index=True)
    chosen[rows[first]] = nearest[rows[first]]
    return chosen


def median_gap(times: Float[np.ndarray, " n"], others: Float[np.ndarray, " m"]) -> float:
    """Seconds from each time to the nearest of the others, in the middle of all.

    Raises:
        InputError: If there are none.
    """
    if not (len(times) and len(others)):
        raise InputError("median gap: expected times on both sides, got none")
    return float(np.median(_nearest(times, others)[1]))


def _nearest(
    times: Float[np.ndarray, " n"], others: Float[np.ndarray, " m"]
) -> tuple[Int[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    after = np.searchsorted(others, times).clip(0, len(others) - 1)
    before = (after - 1).clip(0)
    nearer = np.abs(others[before] - times) <= np.abs(others[after] - times)
    nearest = np.where(nearer, before, after)
    return nearest, np.abs(others[nearest] - times)
