"""What a model forgets of earlier tasks while it learns later ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from groundplane.core.errors import InputError, ShapeError

__all__ = ["Forgetting", "measure_forgetting"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgetting:
    """What is left of earlier tasks at the end.

    Attributes:
        tasks: Their names, in the order of learning.
        scores: Row t: the score of every task after task t was learnt.
        average: Mean score of all tasks at the end.
        backward_transfer: Mean over all tasks but the last of the score at the end, less that
            right after the task was learnt: below 0 where it was forgotten. None of one task.
        forgetting: For each task but the last its best score before the end, less that at the end.
        mean_forgetting: Their mean; None of one task.
    """

    tasks: tuple[str, ...]
    scores: tuple[tuple[float, ...], ...]
    average: float
    backward_transfer: float | None
    forgetting: tuple[float, ...]
    mean_forgetting: float | None

    def to_json(self) -> dict[str, Any]:
        """As a table that JSON can hold."""
        return asdict(self)

    def lines(self) -> list[str]:
        """In words, a line a fact."""
        said = [f"average score of {len(self.tasks)} tasks at the end: {self.average:.4f}"]
        if self.backward_transfer is not None:
            said.append(f"backward transfer: {self.backward_transfer:+.4f}")
            said += [
                f"forgetting of {task}: {lost:+.4f}"
                for task, lost in zip(self.tasks, self.forgetting, strict=False)
            ]
        return said


def measure_forgetting(
    scores: Sequence[Sequence[float]], tasks: Sequence[str] | None = None
) -> Forgetting:
    """Measure forgetting.

    Args:
        scores: Row t, column i: the score of task i after task t was learnt; more is better.
        tasks: Their names, in the order of learning; numbers by default.

    Raises:
        ShapeError: If the scores are no square, or there is another number of names.
        InputError: If there are no tasks, or a score is not finite.

    Source: backward transfer as of Lopez-Paz and Ranzato, Gradient Episodic Memory, 2017 (section
    3); forgetting as of Chaudhry et al., Riemannian Walk, 2018 (section 4).

    Examples:
        >>> got = measure_forgetting([[0.9, 0.2], [0.6, 0.8]], ["captions", "questions"])
        >>> round(got.backward_transfer, 6), round(got.average, 6)
        (-0.3, 0.7)
        >>> measure_forgetting([[0.9]]).backward_transfer is None
        True
    """
    rows = tuple(tuple(float(score) for score in row) for row in scores)
    count = len(rows)
    names = tuple(tasks) if tasks is not None else tuple(str(i + 1) for i in range(count))
    if not rows:
        raise InputError("forgetting: expected the scores of at least one task, got none")
    if len(names) != count or any(len(row) != count for row in rows):
        raise ShapeError(
            f"forgetting: expected one row and one column of scores a task, {len(names)} tasks, "
            f"got rows of {[len(row) for row in rows][:12]}"
        )
    if not all(math.isfinite(score) for row in rows for score in row):
        raise InputError(f"forgetting: expected finite scores, got {rows}")
    last, early = rows[-1], range(count - 1)
    lost = tuple(max(rows[t][i] for t in early) - last[i] for i in early)
    kept = [last[i] - rows[i][i] for i in early]
    return Forgetting(
        tasks=names,
        scores=rows,
        average=sum(last) / count,
        backward_transfer=sum(kept) / len(kept) if kept else None,
        forgetting=lost,
        mean_forgetting=sum(lost) / len(lost) if lost else None,
    )
