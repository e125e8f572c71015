"""What a layer of mask-routed experts costs, against both experts over all tokens.

Run: python benchmarks/mask_routed.py [--tokens N] [--share S] [--device D]

One layer of the shape of InternLM2 1.8B (width 2048, 8192 within, gated), as Mono-InternVL has it
24 times; a part of the tokens are those of a picture. The formula runs both experts over all of
them and masks; ours gives each its own. Times are medians of interleaved runs. The ratio, printed
last, is the formula's time over ours: 2 is what two experts leave to be saved.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from groundplane.core.mask_routed import MaskRoutedExperts, Routes


class Gated(nn.Module):
    """The feed-forward network of a layer."""

    def __init__(self, width: int, within: int) -> None:
        super().__init__()
        self.gate, self.up = (nn.Linear(width, within, bias=False) for _ in range(2))
        self.down = nn.Linear(within, width, bias=False)

    def forward(self, hidden: Tensor) -> Tensor:
        """Gate, and bring back to the width."""
        down: Tensor = self.down(nn.functional.silu(self.gate(hidden)) * self.up(hidden))
        return down


def seconds(run: Callable[[], Tensor], device: torch.device) -> float:
    """Wall time of one run, the device's work included."""
    start = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


@torch.no_grad()
def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--share", type=float, default=0.5, help="of the tokens, a picture's")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeat", type=int, default=15)
    asked = parser.parse_args()
    device = torch.device(asked.device)
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    torch.manual_seed(0)
    layer = MaskRoutedExperts([Gated(2048, 8192), Gated(2048, 8192)]).to(device, dtype).eval()
    hidden = torch.randn(1, asked.tokens, 2048, device=device, dtype=dtype)
    mask = torch.arange(asked.tokens, device=device)[None] < asked.share * asked.tokens
    routes, weight = Routes.of(mask), mask[..., None].to(dtype)

    def formula() -> Tensor:
        text, visual = layer.experts
        mixed: Tensor = text(hidden) * (1 - weight) + visual(hidden) * weight
        return mixed

    def ours() -> Tensor:
        found: Tensor = layer(hidden, routes)
        return found

    gap = (formula() - ours()).abs().max().item()
    times: dict[str, list[float]] = {"formula": [], "ours": []}
    for _ in range(asked.repeat):
        times["formula"].append(seconds(formula, device))
        times["ours"].append(seconds(ours, device))
    middle = {name: statistics.median(values) for name, values in times.items()}
    print(f"{asked.tokens} tokens, {asked.share:.0%} of a picture, {device}, {dtype}")
    for name, value in middle.items():
        print(f"{name:8} {value * 1e3:8.2f} ms")
    print(f"largest difference {gap:.1e}")
    print(f"ratio = {middle['formula'] / middle['ours']:.2f}")


if __name__ == "__main__":
    main()
