"""The plot of the results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from mof_world.pictures import ATTRIBUTES, UNNAMED, render

__all__ = ["draw_results"]

_CLIP, _DINO, _BOTH, _CONTROL = "#c44e52", "#4c72b0", "#55a868", "#8c8c8c"
_SHOWN = 6


def draw_results(results: dict[str, Any], path: Path) -> None:
    """Draw accuracies with intervals, probes of the towers, and some pairs.

    Args:
        results: What the benchmark writes as JSON.
        path: Of the picture; its ending says the format.
    """
    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 3, figsize=(13, 5), width_ratios=(5, 4, 2.2), dpi=110)
    _draw_accuracies(axes[0], results["summary"], results["trials"])
    _draw_probes(axes[1], results["trials"])
    _draw_pairs(axes[2], results["trials"][0], results["size"]["held_out"])
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    pyplot.close(figure)


def _colour(name: str) -> str:
    if name == "contrastive":
        return _CLIP
    if name == "self-distilled":
        return _DINO
    return _CONTROL if name.startswith("contrastive") else _BOTH


def _draw_accuracies(axis: Any, summary: dict[str, Any], trials: list[dict[str, Any]]) -> None:
    names = list(summary)[::-1]
    means, widths = np.array([summary[name]["pair_accuracy"] for name in names]).T * 100
    axis.barh(
        names, means, xerr=np.nan_to_num(widths), color=[_colour(n) for n in names], capsize=3
    )
    for trial in trials:
        each = [100 * trial["heads"][name]["pair_accuracy"] for name in names]
        axis.plot(
            each, range(len(names)), "o", color="white", markeredgecolor="black", markersize=4
        )
    axis.axvline(25, color="black", linestyle=":", linewidth=1)
    axis.text(25.5, len(names) - 0.45, "chance", fontsize=8)
    axis.set_xlim(0, 100)
    axis.set_xlabel("blind pairs with both answers right, % (dots: trials; lines: 95 % interval)")
    axis.spines[["top", "right"]].set_visible(False)


def _draw_probes(axis: Any, trials: list[dict[str, Any]]) -> None:
    places = np.arange(len(ATTRIBUTES))
    for shift, (tower, label, colour) in zip(
        (-0.2, 0.2),
        (("clip", "contrastive", _CLIP), ("dinov2", "self-distilled", _DINO)),
        strict=True,
    ):
        rows = [[t["probes"][tower]["summary"][n] for n in ATTRIBUTES] for t in trials]
        axis.bar(places + shift, 100 * np.mean(rows, axis=0), 0.4, color=colour, label=label)
    chance = [100 / len(words) for words in ATTRIBUTES.values()]
    axis.hlines(chance, places - 0.45, places + 0.45, color="black", linestyles=":", linewidth=1)
    axis.set_xticks(places, [n + ("*" if n in UNNAMED else "") for n in ATTRIBUTES], rotation=35)
    axis.set_ylim(0, 100)
    axis.set_ylabel("linear probe of a tower's summary, %")
    axis.set_xlabel("* no caption names it; dotted: chance")
    axis.legend(loc="lower center", ncols=2, fontsize=8, bbox_to_anchor=(0.5, 1.0), frameon=False)
    axis.spines[["top", "right"]].set_visible(False)


def _draw_pairs(axis: Any, trial: dict[str, Any], held_out: int) -> None:
    """Pairs that the contrastive model fails and the interleaved one does not."""
    heads = trial["heads"]
    lost, won = (heads[name]["pair_right"] for name in ("contrastive", "interleaved"))
    shown = [i for i, both in enumerate(zip(lost, won, strict=True)) if both == (0, 1)][:_SHOWN]
    axis.set_axis_off()
    if not shown:
        axis.set_title("no pair that only\ninterleaved tells apart", fontsize=9)
        return
    pictures = render(held_out, seed=2 * trial["seed"] + 1).pixels
    gap = np.full((pictures.shape[1], 3, 3), 255, np.uint8)
    rows = [
        np.concatenate([pictures[a], gap, pictures[b]], axis=1)
        for a, b in (trial["pairs"][i] for i in shown)
    ]
    line = np.full((4, rows[0].shape[1], 3), 255, np.uint8)
    axis.imshow(np.concatenate([part for row in rows for part in (row, line)]))
    for place, index in enumerate(shown):
        y = (place + 0.5) * (pictures.shape[1] + 4)
        axis.text(rows[0].shape[1] + 3, y, trial["asked"][index], fontsize=8, va="center")
    axis.set_title("only interleaved is right", fontsize=9)
