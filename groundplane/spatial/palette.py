"""Colours of labels, the same on plans, photos and models."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["label_colors"]

_PALETTE = (
    "#8fb8de", "#f2c38f", "#a8d5a2", "#d9b3e0", "#f0b5b0", "#a5d8d8",
    "#e3d58a", "#c2c8e8", "#d8bfa2", "#b8d98a", "#e8b0cf", "#b5c4cc",
)  # fmt: skip


def label_colors(labels: Sequence[str]) -> dict[str, str]:
    """A colour a label, the same for the same labels.

    Examples:
        >>> label_colors(["tv", "sofa", "tv"])
        {'sofa': '#8fb8de', 'tv': '#f2c38f'}
        >>> label_colors([])
        {}
    """
    return {label: _PALETTE[i % len(_PALETTE)] for i, label in enumerate(sorted(set(labels)))}
