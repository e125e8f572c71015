"""The loss of a training, drawn."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from groundplane.core.errors import InputError
from groundplane.core.files import write_whole

__all__ = ["plot_losses"]

# Share of the old value in the running mean, a line.
_MEMORY = 0.9


def plot_losses(losses: Mapping[str, Sequence[tuple[int, float]]], path: Path) -> None:
    """Draw the loss of each stage over its steps: as it was, and its running mean.

    Args:
        losses: Name of the stage to pairs of step and loss, in nats a token.
        path: The picture, PNG.

    Raises:
        InputError: If there is no loss at all.
        OutputError: If the picture cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    shown = {name: list(pairs) for name, pairs in losses.items() if pairs}
    if not shown:
        raise InputError("loss plot: expected the loss of at least one step, got none")
    figure = Figure(figsize=(4.5 * len(shown), 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    for place, (name, pairs) in enumerate(shown.items(), start=1):
        axes = figure.add_subplot(1, len(shown), place)
        steps, values = zip(*pairs, strict=True)
        axes.plot(steps, values, color="#9db4d3", linewidth=1, marker=".", label="loss")
        axes.plot(steps, _running_mean(values), color="#1f4e8c", linewidth=2, label="running mean")
        axes.set(title=name, xlabel="step", ylabel="loss, nats a token")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    write_whole(path, buffer.getvalue())


def _running_mean(values: Sequence[float]) -> list[float]:
    """Exponential, without the pull to 0 at the beginning (Kingma and Ba, 2015)."""
    means, total = [], 0.0
    for count, value in enumerate(values, start=1):
        total = _MEMORY * total + (1 - _MEMORY) * value
        means.append(total / (1 - _MEMORY**count))
    return means
