"""Encoding and fusing pictures for a language model, against the way of the reference.

Two towers of full size with random weights, CLIP ViT-L/14 (the block before the last) and DINOv2
ViT-L/14 (before its last norm), see pictures of 336 by 336; two adapters bring 576 + 576 cells to
4096 numbers, and the tokens are interleaved. The reference way is written here from the
description of MMVP's code: one picture after the other, one tower after the other, and an
interleaved tensor that is made on the host, filled row by row there, and brought back.

First the numbers of both are compared, on fresh pictures; then it is counted what the fusing step
copies to the host and where a compiled graph breaks; then all are timed by turns.

- On a CPU: the interleaving alone, adapters apart, as a share of encoding, and against the
  reference way of the same step.
- With `--device cuda`, in bfloat16: pictures a second from bytes on the card to tokens, one at a
  time and 64 at a time, eager, compiled and as a CUDA graph, and with a stream a tower; against
  the reference loop as it is, and batched and compiled (its host round trip kept).
- `--tiny` runs all of it with towers of a few thousand weights, to see that it runs.

Run: python benchmarks/mof.py [--device cuda] [--tiny] [--json FILE]
"""

from __future__ import annotations

import argparse
import copy
import gc
import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from host_waits import HostWaits
from torch import Tensor, nn

from groundplane.core.fusion.layout import interleave, interleave_rows
from groundplane.core.fusion.making import make_fusion
from groundplane.core.fusion.operator import FusionRule
from groundplane.core.towers.encoding_all import encode_towers
from groundplane.core.towers.timm_towers import timm_tower
from groundplane.core.towers.tower import Tower, TowerConfig
from groundplane.core.views import canvas_to_tower

# 764 GFLOP a picture (608 million weights) at 790 TFLOP/s, what one H200 reaches in bfloat16.
FLOOR = 1034
_CLIP = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))


# -- both sides ---------------------------------------------------------------------------


class Ours(nn.Module):
    """Bytes in, tokens out, for a batch."""

    def __init__(self, towers: Sequence[Tower], fusion: nn.Module) -> None:
        super().__init__()
        self.towers = nn.ModuleList(towers)
        self.fusion = fusion
        self.streams: Sequence[Any] = ()

    def encode(self, canvas: Tensor) -> list[Tensor]:
        """One grid a tower."""
        outputs = encode_towers(self.towers, canvas, streams=self.streams)
        return [output.tokens for output in outputs]

    def forward(self, canvas: Tensor) -> Tensor:
        """Tokens of the language model's width."""
        tokens: Tensor = self.fusion(self.encode(canvas)).tokens
        return tokens


class Reference:
    """The loop: a picture, a tower, an adapter at a time, and the host in between."""

    def __init__(self, ours: Ours) -> None:
        self.towers = list(ours.towers)
        self.adapters = list(ours.fusion.adapters)

    def __call__(self, canvas: Tensor) -> Tensor:
        """Tokens of a batch."""
        return torch.cat([self.one(picture[None]) for picture in canvas])

    def one(self, canvas: Tensor) -> Tensor:
        """Tokens of some pictures at once."""
        grids = []
        for tower, adapter in zip(self.towers, self.adapters, strict=True):
            shares = canvas_to_tower(canvas, tower.config.size)
            grids.append(adapter(tower(shares).tokens))
        return through_host(grids)


def through_host(grids: Sequence[Tensor]) -> Tensor:
    """Interleave in a tensor of the host, as nobody says where it is to be."""
    batch, count, width = grids[0].shape
    mixed = torch.empty(batch, len(grids) * count, width, dtype=grids[0].dtype, device="cpu")
    for index, grid in enumerate(grids):
        mixed[:, index :: len(grids)] = grid.cpu()
    return mixed.to(grids[0].device)


def on_host_alone(grids: Sequence[Tensor]) -> Tensor:
    """The same step for tensors that are on the host: picture by picture, row by row."""
    pictures = []
    for index in range(grids[0].shape[0]):
        first = grids[0]
        mixed = torch.empty(1, len(grids) * first.shape[1], first.shape[2], dtype=first.dtype)
        for place, grid in enumerate(grids):
            mixed[:, place :: len(grids)] = grid[index : index + 1]
        pictures.append(mixed)
    return torch.cat(pictures) if len(pictures) > 1 else pictures[0]


def make(device: str, dtype: torch.dtype, *, tiny: bool) -> Ours:
    """Towers and adapters with random weights that keep the size of what passes through."""
    torch.manual_seed(0)
    small = {"embed_dim": 32, "depth": 3, "num_heads": 2} if tiny else {}
    size, width = (56, 64) if tiny else (336, 4096)
    told = (
        ("clip", "vit_large_patch14_clip_quickgelu_336", -2),
        ("dinov2", "vit_large_patch14_dinov2", -1),
    )
    towers = []
    for family, architecture, layer in told:
        config = TowerConfig(
            family=family,
            library="timm",
            architecture=architecture,
            settings={**small, "num_classes": 0},
            layer=layer,
            final_norm=False,
            size=size,
            mean=_CLIP[0],
            std=_CLIP[1],
        )
        tower = timm_tower(config, summary=False)
        with torch.no_grad():
            for name, weight in tower.named_parameters():
                if name.endswith("gamma"):  # made so small that no block would count
                    weight.fill_(0.5)
        towers.append(tower)
    shapes = [tower.shape for tower in towers]
    fusion = make_fusion(FusionRule(name="interleaved"), shapes, width, seed=0)
    return Ours(towers, fusion).eval().requires_grad_(False).to(device, dtype)


def canvas_of(count: int, ours: Ours, seed: int) -> Tensor:
    """Bytes of blocks and noise, on the device."""
    first = next(iter(ours.towers))
    size: int = first.config.size
    generator = torch.Generator().manual_seed(seed)
    blocks = torch.randint(0, 224, (count, 3, size // 14, size // 14), generator=generator)
    pixels = blocks.repeat_interleave(14, 2).repeat_interleave(14, 3)
    pixels += torch.randint(0, 32, pixels.shape, generator=generator)
    return pixels.to(torch.uint8).to(next(ours.parameters()).device)


# -- equality -----------------------------------------------------------------------------


@torch.inference_mode()
def check(ours: Ours, count: int, *, tolerance: float) -> float:
    """Compare tokens of fresh pictures, and the interleaving alone; stop where they differ."""
    canvas = canvas_of(count, ours, seed=1)
    got, expected = ours(canvas).float(), Reference(ours)(canvas).float()
    off = float((got - expected).norm() / expected.norm())
    if not got.shape == expected.shape or not off <= tolerance:
        raise SystemExit(f"tokens differ by {off:.2g} of their size: not timed")
    grids = [tower(canvas_to_tower(canvas, tower.config.size)) for tower in ours.towers]
    tokens = [grid.tokens[..., :8] for grid in grids]
    step = interleave(tokens).tokens
    if not torch.equal(step, through_host(tokens)):
        raise SystemExit("the interleaved rows differ: not timed")
    print(f"tokens {tuple(got.shape)} of both alike, off by {off:.1g} of their size", flush=True)
    return off


def copies(step: Callable[[Sequence[Tensor]], object], grids: Sequence[Tensor]) -> int:
    """How often a step leaves the device; a device without data stands for a card."""
    with torch.no_grad(), HostWaits() as mode:
        step([grid.to("meta") for grid in grids])
    return mode.count


def count_copies(ours: Ours) -> dict[str, int]:
    """Of the fusing step, with adapters, ours and the reference's, for one picture."""
    dtype = next(ours.parameters()).dtype
    shapes = [tower.shape for tower in ours.towers]
    grids = [torch.zeros(1, shape.num_cells, shape.width, dtype=dtype) for shape in shapes]
    fusion = copy.deepcopy(ours.fusion).to("meta")

    def reference(given: Sequence[Tensor]) -> Tensor:
        adapters = zip(fusion.adapters, given, strict=True)
        return through_host([adapter(grid) for adapter, grid in adapters])

    return {"ours": copies(fusion, grids), "reference": copies(reference, grids)}


def count_breaks(ours: Ours, canvas: Tensor) -> int:
    """Where a compiled graph of towers and fusion would break."""
    torch._dynamo.reset()
    with torch.no_grad():
        told = torch._dynamo.explain(ours)(canvas)
    return int(told.graph_break_count)


# -- timing -------------------------------------------------------------------------------


def seconds(work: Callable[[], object], device: str) -> float:
    """How long one call takes."""
    gc.collect()
    _wait(device)
    start = time.perf_counter()
    work()
    _wait(device)
    return time.perf_counter() - start


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def by_turns(works: dict[str, Callable[[], Any]], rounds: int, device: str) -> dict[str, float]:
    """Median seconds of each, timed one after the other again and again.

    The order turns too: what comes first finds the memory as the last one left it.
    """
    spent: dict[str, list[float]] = {name: [] for name in works}
    for work in works.values():
        work()
    for turn in range(rounds):
        names = list(works)
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            spent[name].append(seconds(works[name], device))
    return {name: statistics.median(times) for name, times in spent.items()}


@torch.inference_mode()
def on_cpu(ours: Ours, rounds: int) -> dict[str, Any]:
    """The interleaving alone, against the reference way, and as a share of encoding."""
    report: dict[str, Any] = {}
    width = ours.fusion.report().width
    cells = next(iter(ours.towers)).shape.num_cells
    for count in (1, 8):
        grids = [torch.randn(count, cells, width) for _ in ours.towers]
        spent = by_turns(
            {
                "ours": lambda grids=grids: interleave_rows(grids),
                "ours, and whose each row is": lambda grids=grids: interleave(grids),
                "reference": lambda grids=grids: on_host_alone(grids),
            },
            30 * rounds + 1,
            "cpu",
        )
        report[f"interleaving {count}, ms"] = {k: 1e3 * s for k, s in spent.items()}
        for name in list(spent)[:2]:
            report[f"ratio {count}, {name}"] = spent["reference"] / spent[name]
    canvas = canvas_of(1, ours, seed=2)
    features = ours.encode(canvas)
    spent = by_turns(
        {
            "encode": lambda: ours.encode(canvas),
            "fuse with adapters": lambda: ours.fusion(features),
        },
        rounds,
        "cpu",
    )
    report["encoding 1, s"] = spent["encode"]
    report["fusing 1 with adapters, share of encoding"] = (
        spent["fuse with adapters"] / spent["encode"]
    )
    report["interleaving, share of encoding"] = (
        report["interleaving 1, ms"]["ours, and whose each row is"] / 1e3 / spent["encode"]
    )
    return report


def graphed(ours: Ours, canvas: Tensor) -> Callable[[], Tensor]:
    """The whole as one CUDA graph: launched at once, over the same memory each time."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            ours(canvas)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        tokens: Tensor = ours(canvas)

    def replay() -> Tensor:
        graph.replay()
        return tokens

    return replay


def ways(
    ours: Ours, canvas: Tensor, *, device: str, compiles: bool
) -> dict[str, Callable[[], Tensor]]:
    """Ours in all its ways, and both references, over one batch."""
    reference, batched = Reference(ours), Reference(ours)
    found: dict[str, Callable[[], Tensor]] = {
        "eager": lambda: ours(canvas),
        "reference loop": lambda: reference(canvas),
        "reference, batched": lambda: batched.one(canvas),
    }
    if compiles:
        backend = "inductor" if device == "cuda" else "eager"
        compiled = torch.compile(ours, dynamic=False, fullgraph=True, backend=backend)
        tuned = Reference(ours)
        tuned.towers = [torch.compile(t, dynamic=False, backend=backend) for t in ours.towers]
        found["compiled"] = lambda: compiled(canvas)
        found["reference, batched and compiled"] = lambda: tuned.one(canvas)
    if device == "cuda":
        aside = Ours(list(ours.towers), ours.fusion)
        aside.streams = [torch.cuda.Stream() for _ in ours.towers]
        found["graph"] = graphed(ours, canvas)
        found["a stream a tower"] = lambda: aside(canvas)
        found["a stream a tower, graph"] = graphed(aside, canvas)
    return found


def agree(works: dict[str, Callable[[], Tensor]], *, tolerance: float) -> None:
    """Every way must give the same tokens; stop the script where one does not."""
    expected = works["eager"]().float()
    for name, work in works.items():
        off = float((work().float() - expected).norm() / expected.norm())
        if not off <= tolerance:
            raise SystemExit(f"{name}: tokens differ by {off:.2g} of their size: not timed")


@torch.inference_mode()
def on_card(
    ours: Ours,
    report: dict[str, Any],
    *,
    device: str,
    rounds: int,
    deadline: float,
    compiles: bool,
) -> None:
    """Pictures a second; what was measured is written into the report as it comes."""
    for count in (64, 1):
        if time.perf_counter() > deadline:
            report[f"batch {count}"] = "not measured: out of time"
            continue
        canvas = canvas_of(count, ours, seed=2)
        works = ways(ours, canvas, device=device, compiles=compiles)
        agree(works, tolerance=0.05)  # bfloat16 rounds elsewhere in a compiled graph
        spent = by_turns(works, rounds, device)
        rates = {f"{name}, pictures a second": count / s for name, s in spent.items()}
        best = min(s for name, s in spent.items() if not name.startswith("reference"))
        for name in [name for name in spent if name.startswith("reference")]:
            rates[f"ratio to {name}"] = spent[name] / best
        rates["share of the floor"] = count / best / FLOOR
        if "graph" in spent:
            rates["gain of streams, eager"] = spent["eager"] / spent["a stream a tower"]
            rates["gain of streams, graph"] = spent["graph"] / spent["a stream a tower, graph"]
        rates["interleaving, share"] = _interleaving_share(ours, canvas, best, rounds, device)
        report[f"batch {count}"] = rates
        print(f"batch {count}: {json.dumps(rates, indent=1)}", flush=True)


def _interleaving_share(ours: Ours, canvas: Tensor, best: float, rounds: int, device: str) -> float:
    """Of the fastest way; many times over, since once is about as long as a launch."""
    width, (clip, _) = ours.fusion.report().width, ours.encode(canvas)
    grids = [clip.new_ones(clip.shape[0], clip.shape[1], width) for _ in ours.towers]

    def many() -> None:
        for _ in range(20):
            interleave(grids)

    return by_turns({"step": many}, rounds, device)["step"] / 20 / best


def main() -> None:
    """Check and count, then time all by turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--tiny", action="store_true", help="small towers, and every part is run")
    parser.add_argument("--rounds", type=int, default=3, help="how often each side is timed")
    parser.add_argument("--eager", action="store_true", help="with a card: compile nothing")
    parser.add_argument(
        "--seconds", type=float, default=400, help="with a card: begin no part later"
    )
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    deadline = time.perf_counter() + options.seconds
    card = options.device == "cuda"
    report: dict[str, Any] = {
        "device": torch.cuda.get_device_name() if card else "cpu",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    try:
        exact = make(options.device, torch.float32, tiny=options.tiny)
        # A batch may be summed in another order than one picture; a card that rounds the factors
        # of convolutions to ten bits would round them unlike in a batch and alone.
        rounds, torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.allow_tf32, False
        report["off"] = check(exact, 2 if card or options.tiny else 1, tolerance=1e-5)
        torch.backends.cudnn.allow_tf32 = rounds
        report["copies to the host"] = count_copies(exact)
        print(f"copies to the host in the fusing step: {report['copies to the host']}")
        small = exact if card or options.tiny else make("cpu", torch.float32, tiny=True)
        report["graph breaks"] = count_breaks(small, canvas_of(1, small, seed=3))
        print(f"graph breaks of towers and fusion: {report['graph breaks']}", flush=True)
        if not card:
            report |= on_cpu(exact, options.rounds)
        if card or options.tiny:
            dtype = torch.bfloat16 if card else torch.float32
            ours = exact.to(dtype)
            on_card(
                ours,
                report,
                device=options.device,
                rounds=options.rounds,
                deadline=deadline,
                compiles=not options.eager,
            )
    finally:
        if options.json:
            options.json.write_text(json.dumps(report, indent=2), encoding="utf-8")
    print(json.dumps(report, indent=2))
    last = report["batch 64"]["ratio to reference loop"] if card else report["ratio 1, ours"]
    print(f"ratio = {last:.2f}")


if __name__ == "__main__":
    main()
