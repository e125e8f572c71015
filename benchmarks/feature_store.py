"""Encodings read from the feature store, against encoding the picture again.

CLIP-L/14 and DINOv2-L/14 at 336 pixels with random weights, and a small tower beside them, since
what is won is the encoder's time and a small one has little. Both are asked through
`StoredEncoder`, so the picture's key, the checksum and the frame are part of what is timed. Read
three ways: `cold` is the first read of a process, which opens the shard, with the file pushed out
of the system's memory; `first` the same with the file in memory; `again` a later read.

Run: python benchmarks/feature_store.py
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from torch import Tensor

from groundplane.core.feature_store import FeatureStore
from groundplane.core.features import FeatureGrid
from groundplane.core.frames import Frame
from groundplane.core.image import Image
from groundplane.core.pixels import PixelRule, prepare_pixels
from groundplane.core.stored_encoder import StoredEncoder
from groundplane.testing.detectors import make_image

LARGE = {
    "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16,
    "image_size": 336, "patch_size": 14,
}  # fmt: skip
SMALL = LARGE | {
    "hidden_size": 192,
    "num_hidden_layers": 6,
    "num_attention_heads": 3,
    "image_size": 224,
}


class Networks:
    """An encoder of one network or two, whose tokens are joined along their width."""

    def __init__(self, networks: Sequence[Any], key: str) -> None:
        self.networks = networks
        self.key = (key, torch.float32)
        self.size = networks[0].config.image_size
        self.rule = PixelRule(fit="stretch", size=self.size)

    @torch.inference_mode()
    def encode(self, images: Sequence[Image]) -> FeatureGrid:
        """See `Encoder.encode`."""
        pixels = prepare_pixels([image.pixels for image in images], self.rule).values
        outputs: list[Tensor] = [n(pixels).last_hidden_state[:, 1:] for n in self.networks]
        side = self.size // 14
        return FeatureGrid(
            tokens=torch.cat(outputs, dim=2),
            grid=(side, side),
            patch=14,
            frames=tuple(Frame.resized(image.size, (self.size, self.size)) for image in images),
        )


def make_networks(kind: str) -> Networks:
    """The encoder of a row of the table, with random weights."""
    torch.manual_seed(0)
    dino = transformers.Dinov2Model(
        transformers.Dinov2Config(**(LARGE if kind != "small" else SMALL))
    )
    if kind == "small":
        return Networks([dino.eval()], kind)
    clip = transformers.CLIPVisionModel(
        transformers.CLIPVisionConfig(**LARGE, intermediate_size=4096)
    )
    return Networks([clip.eval(), dino.eval()], kind)


def push_out(folder: Path) -> None:
    """Ask the system to forget what it holds of the shards in memory."""
    for path in (folder / "shards").iterdir():
        file = os.open(path, os.O_RDONLY)
        os.fsync(file)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(file)


def timed(work: Callable[[], object]) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def measure(networks: Networks, images: Sequence[Image], folder: Path) -> dict[str, float]:
    """Median seconds a picture: encoded, and read in the three ways."""
    spent: dict[str, list[float]] = {"encode": [], "cold": [], "first": [], "again": []}
    networks.encode(images[:1])
    with FeatureStore(folder) as store:
        for image in images:
            spent["encode"].append(timed(lambda image=image: networks.encode([image])))
            StoredEncoder(networks, store).encode([image])

    def read(image: Image, encoder: StoredEncoder) -> float:
        # The sum touches every number, which a view alone would not.
        def work() -> Tensor:
            return encoder.encode([image]).tokens.sum()

        return timed(work)

    for image in images:
        push_out(folder)
        spent["cold"].append(read(image, StoredEncoder(networks, FeatureStore(folder))))
        encoder = StoredEncoder(networks, FeatureStore(folder))
        spent["first"].append(read(image, encoder))
        spent["again"] += [read(image, encoder) for _ in range(5)]
    check(networks, images, folder)
    return {name: statistics.median(values) for name, values in spent.items()}


def check(networks: Networks, images: Sequence[Image], folder: Path) -> None:
    """What is read must be what was encoded, to the bit."""
    read = StoredEncoder(networks, FeatureStore(folder, read_only=True)).encode(images[:1])
    if not torch.equal(read.tokens, networks.encode(images[:1]).tokens):
        raise SystemExit("the store gives other numbers than the encoder")


def main() -> None:
    """Measure the small tower and the two large ones; the ratio is that of the slowest read."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=5)
    parser.add_argument(
        "--folder", type=Path, help="where the store is made; None: a temporary one"
    )
    options = parser.parse_args()
    torch.set_num_threads(2)
    rng = np.random.default_rng(0)
    images = [
        make_image(rng.integers(0, 256, (480, 640, 3), np.uint8)) for _ in range(options.pictures)
    ]
    print(f"{'':<8}{'encode':>12}{'cold':>12}{'first':>12}{'again':>12}   milliseconds a picture")
    ratio = 0.0
    for kind in ("small", "large"):
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            spent = measure(make_networks(kind), images, Path(folder))
        print(f"{kind:<8}" + "".join(f"{value * 1e3:>12.2f}" for value in spent.values()))
        times = {name: spent["encode"] / value for name, value in spent.items() if name != "encode"}
        print(f"{'':<20}" + "".join(f"{value:>10.0f} x" for value in times.values()))
        ratio = min(times.values())
    print(f"ratio = {ratio:.0f}")


if __name__ == "__main__":
    main()
