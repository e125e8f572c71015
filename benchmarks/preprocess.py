"""A photo of 1280 by 960 pixels made ready for a detector, against the processors of transformers.

The peers are the image processor of Grounding DINO in transformers in both of its forms: with
Pillow and numpy, and with torchvision. All three resize to 1066 by 800, normalise and give float32.
First every pixel is compared: within one grey level.

Run: python benchmarks/preprocess.py
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from groundplane.core.pixels import PixelRule, prepare_pixels

RULE = PixelRule(size=800, longest=1333)
LEVEL = 1 / (255 * min(RULE.std))  # one grey level after normalising, of the widest channel


def peers() -> dict[str, Any]:
    """The processors by name; the last is missing where torchvision is."""
    from transformers.models.grounding_dino import image_processing_pil_grounding_dino as pil

    found = {"transformers with Pillow": pil.GroundingDinoImageProcessorPil()}
    try:
        from transformers.models.grounding_dino import image_processing_grounding_dino as vision

        found["transformers with torchvision"] = vision.GroundingDinoImageProcessor()
    except (ImportError, RuntimeError) as error:
        print(f"no peer with torchvision: {error}")
    return found


def photo(seed: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A picture with slopes, edges and noise."""
    rng = np.random.default_rng(seed)
    slope = np.add.outer(np.arange(960), np.arange(1280))[..., None] // 9 + [0, 40, 80]
    blocks = rng.integers(0, 200, (30, 40, 3)).repeat(32, 0).repeat(32, 1)
    noise = rng.integers(0, 32, (960, 1280, 3))
    return ((slope + blocks + noise) % 256).astype(np.uint8)


def theirs(processor: Any, picture: np.ndarray[Any, Any]) -> Tensor:
    """What a peer gives for one photo."""
    values: Tensor = processor(picture, return_tensors="pt", input_data_format="channels_last")[
        "pixel_values"
    ]
    return values


def check(processors: dict[str, Any]) -> None:
    """Compare every pixel; stop the script where one is off by more than a level."""
    for seed in range(3):
        picture = photo(seed)
        ours = prepare_pixels([picture], RULE).values
        for name, processor in processors.items():
            off = (ours - theirs(processor, picture)).abs().amax().item() / LEVEL
            if ours.shape != theirs(processor, picture).shape or not off <= 1.001:
                raise SystemExit(f"{name}: differs by {off:.2f} grey levels: not timed")
            print(f"photo {seed}, {name}: largest difference {off:.3f} grey levels")


def by_turns(
    works: Sequence[Callable[[], object]], rounds: int, clock: Callable[[], float]
) -> list[float]:
    """Median seconds of each, timed one after the other again and again."""
    spent: list[list[float]] = [[] for _ in works]
    for _ in range(rounds):
        for times, work in zip(spent, works, strict=True):
            start = clock()
            work()
            times.append(clock() - start)
    return [statistics.median(times) for times in spent]


def main() -> None:
    """Check, then time all by turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=31, help="how often each side is timed")
    parser.add_argument("--busy", action="store_true", help="other work runs too: time of one core")
    options = parser.parse_args()
    torch.set_num_threads(1 if options.busy else 2)
    clock = time.process_time if options.busy else time.perf_counter
    processors = peers()
    check(processors)
    picture = photo(0)
    works = [lambda: prepare_pixels([picture], RULE)]
    works += [lambda p=p: theirs(p, picture) for p in processors.values()]
    ours, *others = by_turns(works, options.rounds, clock)
    print(f"ours: {ours * 1e3:.2f} ms")
    # The stated peer last.
    for name, spent in reversed(list(zip(processors, others, strict=True))):
        print(f"{name}: {spent * 1e3:.2f} ms, {spent / ours:.1f} x")
    print(f"ratio = {others[0] / ours:.1f}")


if __name__ == "__main__":
    main()
