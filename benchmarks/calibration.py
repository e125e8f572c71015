"""Whether error bars are true: intervals and probabilities on scenes with known noise.

The boxes of VSI-Bench's scenes are the truth. Each is observed with Gaussian noise of known size
on its centre and sides (a side that comes out shorter than a millimetre is set to one), and the map
is told that size. Then it is counted how often the truth lies in the 90 % intervals, and how often
what has a probability p is true.

Run: python benchmarks/calibration.py --scenes scenes.json [--plots docs/img] [--json OUT]
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from groundplane.spatial import relations
from groundplane.spatial.boxes import Boxes3D
from groundplane.spatial.chances.relation_chances import relation_probability, sampled_worlds
from groundplane.spatial.chances.uncertainty import covariance_of, distance_interval, size_interval
from groundplane.spatial.geometry.gap import box_gaps
from groundplane.spatial.map import CognitiveMap

Bin = tuple[float, float, int]
Figures = dict[str, Any]
NOISES = (0.02, 0.05, 0.1, 0.2)
# One of each pair of inverse relations, which hold of the same pairs seen from the other side.
VIEWER = ("left_of", "in_front_of")
RELATIONS = (
    *VIEWER, "near", "far", "touches", "next_to", "on", "under", "above", "inside", "taller",
    "bigger", "longer", "same_size", "parallel", "perpendicular", "aligned_with",
)  # fmt: skip
# Of a symmetric relation a pair counts once; so of sizes, where one is the larger or the other.
COUNTED_ONCE = frozenset(
    {
        "near",
        "far",
        "touches",
        "next_to",
        "same_size",
        "parallel",
        "perpendicular",
        "aligned_with",
        "taller",
        "bigger",
        "longer",
    }
)
BINS = 10
LEAST, MOST = 0.05, 0.95
LEAST_SIDE = 1e-3
# Percentiles of worlds, for the comparison of kinds of intervals.
COMPARED = 200


@dataclass
class Tally:
    """What was counted at one noise level."""

    inside: dict[str, list[Tensor]] = field(default_factory=lambda: defaultdict(list))
    told: dict[str, list[Tensor]] = field(default_factory=lambda: defaultdict(list))
    true: dict[str, list[Tensor]] = field(default_factory=lambda: defaultdict(list))

    def coverage(self) -> dict[str, tuple[float, int]]:
        """The share of intervals that hold the truth, and of how many."""
        every = {name: torch.cat(parts).double() for name, parts in self.inside.items()}
        return {name: (float(part.mean()), len(part)) for name, part in every.items() if len(part)}

    def of(self, name: str) -> tuple[Tensor, Tensor]:
        """Probabilities between 5 % and 95 % of a relation, and whether it was so."""
        told, true = torch.cat(self.told[name]), torch.cat(self.true[name]).double()
        open_ = (told > LEAST) & (told < MOST)
        return told[open_], true[open_]


def bins(told: Tensor, true: Tensor) -> list[Bin]:
    """Mean probability, share that was true, and number, of each bin that holds any."""
    which = (told * BINS).long().clamp(max=BINS - 1)
    rows = ((told[which == k], true[which == k]) for k in range(BINS))
    return [(float(p.mean()), float(t.mean()), len(p)) for p, t in rows if len(p)]


def pooled(parts: Iterable[list[Bin]]) -> list[Bin]:
    """The bins of several tallies together."""
    groups: dict[int, list[Bin]] = defaultdict(list)
    for row in (row for part in parts for row in part):
        groups[int(row[0] * BINS)].append(row)
    found = []
    for _, rows in sorted(groups.items()):
        number = sum(n for *_, n in rows)
        p, t = (sum(row[k] * row[2] for row in rows) / number for k in (0, 1))
        found.append((p, t, number))
    return found


def calibration_error(rows: list[Bin]) -> float:
    """The expected calibration error: the mean gap of the bins, by their numbers."""
    return sum(n * abs(p - t) for p, t, n in rows) / max(sum(n for *_, n in rows), 1)


def observe(truth: Boxes3D, sigma: float, generator: torch.Generator) -> Boxes3D:
    """The boxes as somebody saw them."""
    noise = torch.randn(len(truth), 6, generator=generator, dtype=torch.float64) * sigma
    variance = sigma**2 * torch.eye(6, dtype=torch.float64)
    return Boxes3D(
        centers=truth.centers + noise[:, :3],
        sizes=(truth.sizes + noise[:, 3:]).clamp(min=LEAST_SIDE),
        axes=truth.axes,
        covariance=variance.expand(len(truth), 6, 6).clone(),
    )


def count_intervals(
    truth: Boxes3D, seen: Boxes3D, sigma: float, tally: Tally, *, compare: bool
) -> None:
    """Distances by how far apart the things truly are, and longest sides."""
    upper = torch.ones(len(truth), len(truth), dtype=torch.bool).triu(1)
    gaps = box_gaps(truth, truth)[upper]
    bands = {
        "distance, separated": gaps > 0,
        "distance, touching": gaps == 0,
        "distance, apart by up to 2 sigma": (gaps > 0) & (gaps <= 2 * sigma),
        "distance, apart by more": gaps > 2 * sigma,
    }
    found = distance_interval(seen, seen)
    ways = {"": (found.low[upper], found.high[upper])}
    if compare:
        drawn = [box_gaps(w, w)[upper] for w in sampled_worlds(seen, samples=COMPARED)]
        low, high = torch.quantile(
            torch.stack(drawn), torch.tensor([0.05, 0.95], dtype=torch.float64), dim=0
        )
        middle = found.value[upper]
        ways |= {
            " (percentiles)": (low, high),
            " (pivot)": ((2 * middle - high).clamp(min=0), (2 * middle - low).clamp(min=0)),
        }
    for way, (low, high) in ways.items():
        hit = (gaps >= low) & (gaps <= high)
        for band, rows in bands.items():
            tally.inside[band + way].append(hit[rows])
    tally.inside["longest side"].append(size_interval(seen).holds(truth.sizes.amax(dim=1)))


def count_relations(
    truth: Boxes3D, seen: Boxes3D, generator: torch.Generator, tally: Tally,
    *, names: Sequence[str],
) -> None:  # fmt: skip
    """Every relation of every pair; a viewer looks in a random direction."""
    angle = torch.rand(1, generator=generator, dtype=torch.float64) * 2 * torch.pi
    view = torch.cat([angle.cos(), angle.sin(), torch.zeros(1, dtype=torch.float64)])
    every = ~torch.eye(len(truth), dtype=torch.bool)
    for name in names:
        looks = view if name in VIEWER else None
        pairs = every.triu() if name in COUNTED_ONCE else every
        arguments = (truth, truth) if looks is None else (truth, truth, looks)
        tally.true[name].append(getattr(relations, name)(*arguments)[pairs])
        tally.told[name].append(relation_probability(name, seen, seen, view=looks)[pairs])


def measure(
    scenes: Sequence[CognitiveMap], sigma: float, *, names: Sequence[str] = RELATIONS,
    compare: bool = False, told: float = 1.0,
) -> Tally:  # fmt: skip
    """Count over scenes; the map is told `told` times the true noise."""
    tally = Tally()
    for number, scene in enumerate(scenes):
        generator = torch.Generator().manual_seed(round(1000 * sigma) * 1000 + number)
        truth = scene.objects
        seen = observe(truth, sigma, generator)
        seen = replace(seen, covariance=told**2 * covariance_of(seen))
        count_intervals(truth, seen, sigma, tally, compare=compare)
        count_relations(truth, seen, generator, tally, names=names)
    return tally


def figures_of(tally: Tally) -> Figures:
    """What is told of one noise level, as plain JSON values."""
    return {
        "coverage": tally.coverage(),
        "relations": {name: bins(*tally.of(name)) for name in tally.told},
    }


def tell(figures: dict[str, Figures]) -> Iterator[str]:
    """The figures, as lines."""
    for sigma, found in figures.items():
        yield f"noise {sigma} m: share of the 90 % intervals that hold the truth"
        for name, (share, number) in found["coverage"].items():
            yield f"  {name:<48}{100 * share:6.1f} %  of {number}"
    yield f"relations: expected calibration error over {LEAST:g} < p < {MOST:g}, {BINS} bins"
    yield f"  {'':<16}" + "".join(f"{f'{sigma} m':>16}" for sigma in figures) + f"{'together':>16}"
    told = {name for found in figures.values() for name in found["relations"]}
    for name in (*(name for name in RELATIONS if name in told), "all"):
        parts = [_bins_of(found, name) for found in figures.values()]
        yield f"  {name:<16}" + "".join(f"{_figure(part):>16}" for part in (*parts, pooled(parts)))
    yield "all relations and noise levels together: probability told, share true, number"
    for p, t, n in pooled(_bins_of(found, "all") for found in figures.values()):
        yield f"  {p:.3f}  {t:.3f}  {n}"


def _bins_of(found: Figures, name: str) -> list[Bin]:
    """The bins of one relation, or of all together."""
    tables: dict[str, list[Bin]] = found["relations"]
    return pooled(tables.values()) if name == "all" else tables.get(name, [])


def _figure(rows: list[Bin]) -> str:
    number = sum(n for *_, n in rows)
    return f"{calibration_error(rows):.3f} ({number})" if number else "- (0)"


def draw(figures: dict[str, Figures], folder: Path) -> None:
    """One picture: reliability of the relations beside coverage of the intervals."""
    import matplotlib.pyplot as plt

    folder.mkdir(parents=True, exist_ok=True)
    figure, axes = plt.subplots(1, 2, figsize=(9, 4.2), layout="constrained")
    axes[0].plot([0, 1], [0, 1], color="0.7", lw=1)
    for sigma, found in figures.items():
        rows = _bins_of(found, "all")
        axes[0].plot([p for p, *_ in rows], [t for _, t, _ in rows], "o-", ms=4, label=f"{sigma} m")
    axes[0].set(
        xlabel="probability told", ylabel="share that was true", title="Relations of all kinds"
    )
    axes[0].legend(title="noise", frameon=False)
    axes[1].axhspan(85, 95, color="0.92")
    axes[1].axhline(90, color="0.7", lw=1)
    for band in ("distance, separated", "distance, touching", "longest side"):
        shares = [100 * found["coverage"][band][0] for found in figures.values()]
        axes[1].plot(list(figures), shares, "o-", ms=4, label=band)
    axes[1].set(xlabel="noise, m", ylabel="intervals that hold the truth, %", ylim=(70, 101),
                title="90 % intervals")  # fmt: skip
    axes[1].legend(frameon=False, loc="lower left")
    # No date and no random ids: the same figures give the same file.
    plt.rcParams["svg.hashsalt"] = "calibration"
    figure.savefig(folder / "calibration.svg", metadata={"Date": None})
    plt.close(figure)


def measured(options: argparse.Namespace) -> dict[str, Figures]:
    """Measure level by level."""
    names = CognitiveMap.scenes(options.scenes)[:: options.every]
    scenes = [CognitiveMap.load(options.scenes, scene=name) for name in names]
    scenes = [scene for scene in scenes if len(scene) > 1]
    figures = {}
    for sigma in options.noise or NOISES:
        start = time.perf_counter()
        tally = measure(
            scenes, sigma, names=options.relations, compare=options.compare, told=options.told
        )
        figures[f"{sigma:g}"] = figures_of(tally)
        seconds = time.perf_counter() - start
        sys.stderr.write(f"noise {sigma:g} m, {len(scenes)} scenes: {seconds:.0f} s\n")
    return figures


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=Path, help="scene file with the truth")
    parser.add_argument("--noise", type=float, action="append", help="metres; 4 levels if left out")
    parser.add_argument("--every", type=int, default=1, help="take every so manieth scene")
    parser.add_argument("--relations", nargs="*", default=RELATIONS, help="all if left out")
    parser.add_argument("--compare", action="store_true", help="other kinds of intervals as well")
    parser.add_argument(
        "--told", type=float, default=1.0, help="tell the map so many times the noise"
    )
    parser.add_argument("--plots", type=Path, help="folder for the picture")
    parser.add_argument("--json", type=Path, help="write the figures")
    parser.add_argument("--read", type=Path, nargs="+", help="figures of earlier runs, no new ones")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if (options.scenes is None) == (options.read is None):
        parser.error("give --scenes, or --read")
    if options.read is None:
        figures = measured(options)
    else:
        parts = [json.loads(path.read_text(encoding="utf-8")) for path in options.read]
        figures = {}
        for sigma, found in (pair for part in parts for pair in part.items()):
            known = figures.setdefault(sigma, {"coverage": {}, "relations": {}})
            known["coverage"] |= found["coverage"]
            known["relations"] |= found["relations"]
    print("\n".join(tell(figures)))
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    if options.plots is not None:
        draw(figures, options.plots)


if __name__ == "__main__":
    main()
