"""What `--what-if` prints under an answer."""

from __future__ import annotations

from collections.abc import Sequence

from groundplane.core.answer import Value
from groundplane.spatial.chances.hedging import shown
from groundplane.spatial.chances.what_if import Flip

__all__ = ["tell_flips"]


def tell_flips(flips: Sequence[Flip], told: Value) -> list[str]:
    """One line a change that flips the answer, and one for all that do not.

    Args:
        flips: What was tried.
        told: The answer.

    Examples:
        >>> tell_flips((), 3)
        ['  what if: there is nothing to change']
    """
    if not flips:
        return ["  what if: there is nothing to change"]
    lines = [
        f"    {flip.perturbation.text}: {_then(flip.value, told)}" for flip in flips if flip.flips
    ]
    kept = [flip.perturbation.text for flip in flips if not flip.flips]
    head = "  what if (the least change that flips the answer):"
    if not lines:
        head = "  what if: no change that was tried flips the answer"
    return [head, *lines, *([f"    no flip: {'; '.join(kept)}"] if kept else [])]


def _then(value: Value, told: Value) -> str:
    """The answer then; of a set, what it gains and loses."""
    if not isinstance(value, tuple) or not isinstance(told, tuple):
        return shown(value)
    gained = tuple(name for name in value if name not in told)
    lost = tuple(name for name in told if name not in value)
    parts = [
        f"{word} {shown(names)}" for word, names in (("with", gained), ("without", lost)) if names
    ]
    return " and ".join(parts) or shown(value)
