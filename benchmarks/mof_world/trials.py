"""One trial from pictures to answers, and what several trials say together."""

from __future__ import annotations

import contextlib
import logging
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from mof_world.heads import HEADS, answers, encode, train_head, write_conversations
from mof_world.pictures import ATTRIBUTES, NAMED, UNNAMED, Pictures, render
from mof_world.towers import save_contrastive, save_self_distilled, save_untrained
from numpy.typing import NDArray
from scipy import stats

from groundplane.core.blind_pairs import PairRule, find_blind_pairs

__all__ = ["Size", "interval", "pick_pairs", "probe", "run_trial", "summarise"]

TOWERS = ("clip", "dinov2", "untrained")
CONTROL = "contrastive twice"


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large a trial is.

    Attributes:
        pictures: To train on, for towers and language models alike.
        held_out: Pictures of the pairs; never trained on.
        contrastive: Steps of that tower.
        self_distilled: Steps of the other.
        head: Steps of each language model.
        pairs: At most; no picture is in two.
        rule: Which pairs are blind, by the cosines of both summaries. A small self-distilled tower
            takes no two pictures on one ground for very unlike, so that a limit for its cosine
            would leave nothing: of all pairs that are alike to the contrastive tower those with
            the greatest gap are taken.
    """

    pictures: int = 3000
    held_out: int = 1500
    contrastive: int = 500
    self_distilled: int = 800
    head: int = 400
    pairs: int = 200
    rule: PairRule = field(default_factory=lambda: PairRule(max_second=1.0, most=10_000))


QUICK = Size(
    pictures=160,
    held_out=120,
    contrastive=4,
    self_distilled=4,
    head=4,
    pairs=20,
    rule=PairRule(min_first=-1.0, max_second=1.0),
)


def run_trial(seed: int, size: Size, folder: Path) -> dict[str, Any]:
    """Everything anew from one seed: pictures, towers, language models.

    Args:
        seed: Of all that is random.
        size: How large.
        folder: For checkpoints and pictures; it must be the trial's own.

    Returns:
        What JSON can hold: seconds of the phases, probes, pairs, accuracies.
    """
    torch.set_num_threads(1)
    _quiet()
    clock = _Clock()
    train, held = render(size.pictures, seed=2 * seed), render(size.held_out, seed=2 * seed + 1)
    towers = folder / "towers"
    matched = save_contrastive(train, towers / "clip", steps=size.contrastive, seed=seed)
    clock.lap("contrastive tower")
    loss = save_self_distilled(train, towers / "dinov2", steps=size.self_distilled, seed=seed)
    save_untrained(towers / "untrained", seed=seed)
    clock.lap("self-distilled tower")
    data = write_conversations(train, folder / "data", seed=seed)
    seen = {name: (encode(train, towers, name), encode(held, towers, name)) for name in TOWERS}
    pairs, asked, found = pick_pairs(held, *(seen[n][1][1] for n in TOWERS[:2]), size)
    probes = {name: _probes(*both, train, held) for name, both in seen.items()}
    clock.lap("probes and pairs")
    heads = {}
    for head in HEADS:
        place = folder / head.name.replace(" ", "_")
        trained = train_head(head, towers, data, place, steps=size.head, seed=seed)
        right = answers(trained, held)
        heads[head.name] = {
            **_accuracies(right, pairs, asked),
            "tokens": trained.model.report.tokens,
            "trained_parameters": trained.report["trained_parameters"],
            "frozen": {k: v for k, v in trained.report["frozen"].items() if k.startswith("tower")},
            "last_loss": trained.report["losses"][-1][1],
        }
        clock.lap("language models")
    return {
        "seed": seed,
        "captions_matched": matched,
        "distillation_loss": loss,
        "probes": probes,
        "pairs_found": found,
        "pairs": pairs.tolist(),
        "cosines": {n: _mean_cosine(seen[n][1][1], pairs) for n in TOWERS},
        "asked": asked,
        "heads": heads,
        "seconds": clock.seconds,
    }


class _Clock:
    """Seconds a phase."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, phase: str) -> None:
        """Add what has passed since the last lap."""
        now = time.perf_counter()
        self.seconds[phase] = round(self.seconds.get(phase, 0.0) + now - self._last, 1)
        self._last = now


def pick_pairs(
    pictures: Pictures,
    first: Float[torch.Tensor, "n d"],
    second: Float[torch.Tensor, "n e"],
    size: Size,
) -> tuple[NDArray[np.int64], list[str], int]:
    """Blind pairs that a question can tell apart, those with the greatest gap first.

    A pair is asked for an attribute that captions do not name and in which its pictures differ,
    as the pairs of MMVP are asked for what people see in them.

    Args:
        pictures: Whose pairs.
        first: Summaries of the contrastive tower.
        second: Of the self-distilled one.
        size: How many, and which are blind.

    Returns:
        Pairs, what each is asked for, and how many blind pairs there are in all.

    Raises:
        RuntimeError: If there is none.
    """
    blind = find_blind_pairs(first, second, size.rule)
    draws = np.random.default_rng(0)
    used: set[int] = set()
    pairs: list[list[int]] = []
    asked: list[str] = []
    for a, b in blind.pairs.tolist():
        differing = [n for n in UNNAMED if pictures.truth[n][a] != pictures.truth[n][b]]
        if used & {a, b} or not differing or len(pairs) == size.pairs:
            continue
        used |= {a, b}
        pairs.append([a, b])
        asked.append(differing[draws.integers(len(differing))])
    if not pairs:
        raise RuntimeError(f"no blind pair by {size.rule} among {len(pictures)} pictures")
    return np.array(pairs, np.int64), asked, blind.num_found


def probe(
    rows: Float[torch.Tensor, "n d"],
    truth: Int[torch.Tensor, " n"],
    others: Float[torch.Tensor, "m d"],
    wanted: Int[torch.Tensor, " m"],
) -> float:
    """How often a ridge regression onto the answers is right on rows that it has not seen."""
    mean, spread = rows.mean(0), rows.std(0) + 1e-6
    a, b = (
        torch.nn.functional.pad((part - mean) / spread, (0, 1), value=1.0).double()
        for part in (rows, others)
    )
    answer = torch.nn.functional.one_hot(truth).double()
    damping = 1e-3 * len(a) * torch.eye(a.shape[1], dtype=a.dtype)
    weights = torch.linalg.solve(a.mT @ a + damping, a.mT @ answer)
    return float(((b @ weights).argmax(1) == wanted).double().mean())


def _probes(
    train_seen: tuple[torch.Tensor, torch.Tensor],
    held_seen: tuple[torch.Tensor, torch.Tensor],
    train: Pictures,
    held: Pictures,
) -> dict[str, dict[str, float]]:
    """What a linear reader finds in the summary, and in all cells side by side."""
    found: dict[str, dict[str, float]] = {"summary": {}, "cells": {}}
    for name in ATTRIBUTES:
        truth, wanted = torch.from_numpy(train.truth[name]), torch.from_numpy(held.truth[name])
        for what, place in (("cells", 0), ("summary", 1)):
            rows, others = train_seen[place].flatten(1), held_seen[place].flatten(1)
            found[what][name] = probe(rows, truth, others, wanted)
    return found


def _mean_cosine(summaries: Float[torch.Tensor, "n d"], pairs: NDArray[np.int64]) -> float:
    first, second = summaries[pairs[:, 0]], summaries[pairs[:, 1]]
    return float(torch.nn.functional.cosine_similarity(first, second).mean())


def _accuracies(
    right: NDArray[np.bool_], pairs: NDArray[np.int64], asked: list[str]
) -> dict[str, Any]:
    columns = list(ATTRIBUTES)
    each = dict(zip(columns, right.mean(0).tolist(), strict=True))
    place = [columns.index(name) for name in asked]
    both = right[pairs[:, 0], place] & right[pairs[:, 1], place]
    return {
        "pair_accuracy": float(both.mean()),
        "pair_right": both.astype(int).tolist(),
        "attributes": each,
        "named": float(np.mean([each[name] for name in NAMED])),
        "unnamed": float(np.mean([each[name] for name in UNNAMED])),
    }


def interval(values: list[float]) -> tuple[float, float]:
    """Mean and half the width of its 95 % confidence interval by Student's t; trials are apart.

    Examples:
        >>> interval([1.0, 1.0, 1.0])
        (1.0, 0.0)
    """
    if len(values) < 2:
        return float(np.mean(values)), float("nan")
    width = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    return float(np.mean(values)), float(width)


def summarise(trials: list[dict[str, Any]]) -> dict[str, dict[str, tuple[float, float]]]:
    """For each way of seeing: accuracies, and how much better its pairs are than the control's.

    Args:
        trials: Of `run_trial`.

    Returns:
        Name to measure to mean and half of the interval.
    """
    told: dict[str, dict[str, tuple[float, float]]] = {}
    for head in HEADS:
        rows = [trial["heads"][head.name] for trial in trials]
        base = [trial["heads"][CONTROL] for trial in trials]
        told[head.name] = {
            key: interval([row[key] for row in rows])
            for key in ("pair_accuracy", "named", "unnamed")
        }
        told[head.name]["over_control"] = interval(
            [
                row["pair_accuracy"] - other["pair_accuracy"]
                for row, other in zip(rows, base, strict=True)
            ]
        )
    return told


def _quiet() -> None:
    """No progress bars; the trainer's notes are not of interest."""
    import transformers

    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    logging.getLogger("accelerate").setLevel(logging.ERROR)
    with contextlib.suppress(RuntimeError):  # may be set once only
        torch.set_num_interop_threads(1)
