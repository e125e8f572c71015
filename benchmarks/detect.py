"""Whole detections, from pictures to boxes, against the loop over transformers that users run.

Both sides have the same random weights, of a Grounding DINO of full size (Swin-T, 172 million
parameters). The peer is the usual loop: processor, model and post-processing, a picture at a
time. Ours is the detector `grounding-dino`, asked for all pictures at once. First the boxes of
both are compared, on fresh pictures; then both are timed by turns.

On a CPU pictures are run at 512 by 320 pixels. With `--device cuda` they are run at 1333 by 800,
alone and sixteen at a time, against the loop as it ships (float32) and tuned (bfloat16 where
autocast allows, sixteen pictures a batch, compiled).

Run: python benchmarks/detect.py [--device cuda] [--json FILE]
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import os
import re
import signal
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

# Nothing that one call made may be used by the next.
os.environ["GROUNDPLANE_CACHE_BYTES"] = "0"

import numpy as np
import torch
import transformers

from groundplane.core.detection import DetectRequest, DetectResult
from groundplane.core.image import FrameMap, Image, Source
from groundplane.plugins.grounding_dino import GroundingDinoDetector, GroundingDinoOptions
from groundplane.testing.checkpoints import word_pieces

PHRASES = ("person", "red car", "wooden chair", "umbrella", "small dog", "green bottle")
KEPT = 20  # boxes of the first picture that the threshold lets pass, about
FLOOR = 0.05
_STILL = ("bbox_embed", "sampling_offsets", "attention_weights")


# -- both sides ---------------------------------------------------------------------------


def save_model(folder: Path, *, shortest: int, longest: int) -> None:
    """Random weights in the format of the published checkpoints."""
    torch.manual_seed(0)
    # The vocabulary is made up, its size is BERT's: the table of words is not what takes time.
    config = transformers.GroundingDinoConfig(text_config=transformers.BertConfig())
    model = transformers.GroundingDinoForObjectDetection(config)
    # As initialised, text and picture hardly reach each other, boxes stay where they were
    # proposed, samples are taken at fixed places, and all scores saturate: nothing to compare.
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith(("vision_param", "text_param")):
                weight.fill_(0.5)
            elif name.endswith("decoder.layer_norm.weight"):
                weight.mul_(0.1)
            elif weight.dim() == 2 and any(part in name for part in _STILL):
                weight.normal_(std=0.03)
    model.save_pretrained(str(folder))
    pictures = transformers.GroundingDinoImageProcessor(
        size={"shortest_edge": shortest, "longest_edge": longest}
    )
    words = transformers.BertTokenizer(vocab=word_pieces())
    processor = transformers.GroundingDinoProcessor(image_processor=pictures, tokenizer=words)
    processor.save_pretrained(str(folder))


def pictures_of(count: int, size: tuple[int, int], seed: int) -> list[Image]:
    """Pictures of blocks and noise."""
    made = []
    for i in range(count):
        rng = np.random.default_rng(1000 * seed + i)
        width, height = size
        blocks = rng.integers(0, 224, (-(-height // 40), -(-width // 40), 3), dtype=np.uint8)
        pixels = blocks.repeat(40, 0).repeat(40, 1)[:height, :width].copy()
        pixels += rng.integers(0, 32, pixels.shape, dtype=np.uint8)
        source = Source(name=f"{seed}-{i}", content_hash=f"{seed}-{i}")
        made.append(Image(pixels=pixels, source=source, frame_map=FrameMap.identity()))
    return made


class Peer:
    """The loop over transformers."""

    def __init__(self, folder: Path, device: str) -> None:
        self.device = device
        self.processor = transformers.AutoProcessor.from_pretrained(str(folder))
        model_class = transformers.AutoModelForZeroShotObjectDetection
        self.model = model_class.from_pretrained(str(folder)).eval().to(device)

    @torch.inference_mode()
    def outputs(self, images: Sequence[Image]) -> tuple[Any, Any]:
        """What the model says of some pictures at once."""
        inputs = self.processor(
            images=[image.pixels for image in images],
            text=[list(PHRASES)] * len(images),
            return_tensors="pt",
        ).to(self.device)
        return self.model(**inputs), inputs

    def detect(
        self, images: Sequence[Image], threshold: float, *, batch: int = 1
    ) -> list[dict[str, Any]]:
        """As users do it, one picture at a time or some together."""
        found: list[dict[str, Any]] = []
        for start in range(0, len(images), batch):
            part = images[start : start + batch]
            out, inputs = self.outputs(part)
            found += self.processor.post_process_grounded_object_detection(
                out,
                inputs["input_ids"],
                threshold=threshold,
                text_threshold=threshold,
                target_sizes=[(image.size[1], image.size[0]) for image in part],
            )
        return found

    def threshold(self, image: Image) -> float:
        """One that lets about `KEPT` boxes pass, in the widest gap between scores near there."""
        logits = self.outputs([image])[0].logits[0].float()
        best = logits.sigmoid().amax(1).sort(descending=True).values.cpu()
        near = best[KEPT // 2 : 2 * KEPT]
        gap = int((near[:-1] - near[1:]).argmax())
        return float(near[gap] + near[gap + 1]) / 2


def ours_of(folder: Path, device: str, dtype: torch.dtype | None, batch: int) -> Any:
    """Our detector, which keeps all that the peer keeps."""
    options = GroundingDinoOptions(weights=str(folder), floor=FLOOR, overlap=1.0, batch=batch)
    return GroundingDinoDetector(options, device=device, dtype=dtype)


def ask(detector: Any, images: Sequence[Image], threshold: float) -> list[DetectResult]:
    """All pictures at once."""
    each = (threshold,) * len(PHRASES)
    results: list[DetectResult] = detector.detect(
        [DetectRequest(image=image, phrases=PHRASES, thresholds=each) for image in images]
    )
    return results


# -- equality -----------------------------------------------------------------------------


def compare(peer: dict[str, Any], ours: DetectResult) -> tuple[int, int, float]:
    """Boxes of phrases on the peer's side, how many of them are ours too, and the worst off.

    Off is in shares of the picture's longer side. The peer also keeps boxes for the marks between
    phrases; they name no phrase and are left out.
    """
    longest = max(ours.regions.image_size)
    wide, high = ours.regions.image_size
    total, shared, worst = 0, 0, 0.0
    boxes = ours.regions.boxes.cpu()
    ids = ours.regions.phrase_ids.cpu()
    for box, label in zip(peer["boxes"].cpu(), peer["text_labels"], strict=True):
        named = set(re.findall(r"\w+", label))
        corners = torch.stack(
            [
                box[0].clamp(0, wide),
                box[1].clamp(0, high),
                box[2].clamp(0, wide),
                box[3].clamp(0, high),
            ]
        )
        for index, phrase in enumerate(PHRASES):
            if not named & set(phrase.split()):
                continue
            total += 1
            mine = boxes[ids == index]
            off = float((mine - corners).abs().amax(1).min()) / longest if len(mine) else 1.0
            if off < 0.02:
                shared += 1
                worst = max(worst, off)
    return total, shared, worst


def check(peer: Peer, detector: Any, images: Sequence[Image], *, tolerance: float) -> float:
    """Compare boxes of fresh pictures; stop the script where they differ. Gives the threshold."""
    threshold = peer.threshold(images[0])
    total = shared = 0
    worst = 0.0
    for theirs, ours in zip(
        peer.detect(images, threshold), ask(detector, images, threshold), strict=True
    ):
        counts = compare(theirs, ours)
        total, shared, worst = total + counts[0], shared + counts[1], max(worst, counts[2])
    # A score within rounding of the threshold may fall on either side, and a card resizes pictures
    # within a grey level of how the host does.
    if not total or shared < 0.95 * total or worst > tolerance:
        raise SystemExit(f"{shared} of {total} boxes are alike, worst {worst:.2g}: not timed")
    print(f"{shared} of {total} boxes alike, the worst off by {worst:.1g} of the picture's side")
    return threshold


# -- timing -------------------------------------------------------------------------------


def seconds(work: Callable[[], object], device: str) -> float:
    """How long one call takes; on one core, how long the core worked for it."""
    one_core = device == "cpu" and torch.get_num_threads() == 1
    clock = time.process_time if one_core else time.perf_counter
    gc.collect()
    _wait(device)
    start = clock()
    work()
    _wait(device)
    return clock() - start


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def by_turns(works: dict[str, Callable[[], object]], rounds: int, device: str) -> dict[str, float]:
    """Median seconds of each, timed one after the other again and again."""
    for work in works.values():
        work()
    spent: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            spent[name].append(seconds(work, device))
    return {name: statistics.median(times) for name, times in spent.items()}


def on_cpu(folder: Path, rounds: int) -> dict[str, float]:
    """Pictures at 512 by 320, one at a time on both sides."""
    peer, detector = Peer(folder, "cpu"), ours_of(folder, "cpu", None, 1)
    threshold = check(peer, detector, pictures_of(2, (1024, 640), seed=1), tolerance=1e-3)
    image = pictures_of(1, (1024, 640), seed=2)
    spent = by_turns(
        {
            "ours": lambda: ask(detector, image, threshold),
            "loop": lambda: peer.detect(image, threshold),
        },
        rounds,
        "cpu",
    )
    return {
        "ours_s": spent["ours"],
        "loop_s": spent["loop"],
        "ratio": spent["loop"] / spent["ours"],
    }


def on_card(
    folder: Path,
    report: dict[str, Any],
    *,
    device: str,
    size: tuple[int, int],
    rounds: int,
    deadline: float,
) -> None:
    """Pictures of a size; what was measured is written into the report as it comes."""
    peer = Peer(folder, device)
    exact = ours_of(folder, device, torch.float32, 16)
    # Convolutions too in full float32 while both are compared; then as torch ships.
    shipped = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    threshold = check(peer, exact, pictures_of(2, size, seed=1), tolerance=1e-3)
    torch.backends.cudnn.allow_tf32 = shipped
    del exact
    detector = ours_of(folder, device, torch.bfloat16, 16)
    report["bfloat16_boxes_alike"] = _alike(peer, detector, pictures_of(4, size, seed=3), threshold)
    for count in (1, 16):
        images = pictures_of(count, size, seed=2)
        works: dict[str, Callable[[], object]] = {
            "ours": lambda images=images: ask(detector, images, threshold),
            "as shipped": lambda images=images: peer.detect(images, threshold),
            "bfloat16, batched": lambda images=images: _tuned(peer, images, threshold),
        }
        spent = by_turns(works, rounds, device)
        report[f"batch {count}"] = _rates(spent, count)
        print(f"batch {count}: {json.dumps(report[f'batch {count}'])}", flush=True)
        report[f"parts, batch {count}, ms"] = _parts(detector, images, threshold, device)
        print(f"parts: {report[f'parts, batch {count}, ms']}", flush=True)
    try:
        with _at_most(deadline - time.perf_counter()):
            peer.model = torch.compile(peer.model, dynamic=False)
            for count in (16, 1):
                images = pictures_of(count, size, seed=2)
                tuned = by_turns(
                    {
                        "ours": lambda images=images: ask(detector, images, threshold),
                        "compiled": lambda images=images: _tuned(peer, images, threshold),
                    },
                    rounds,
                    device,
                )
                report[f"compiled, batch {count}"] = _rates(tuned, count)
    except Exception as error:  # noqa: BLE001 - the compiler may fail in any way; that is a result
        report["compiled"] = f"not measured: {type(error).__name__}: {str(error)[:200]}"


def _tuned(peer: Peer, images: Sequence[Image], threshold: float) -> object:
    with torch.autocast(peer.device, dtype=torch.bfloat16):
        return peer.detect(images, threshold, batch=16)


def _alike(peer: Peer, detector: Any, images: Sequence[Image], threshold: float) -> str:
    """How many boxes are the same with bfloat16 products; random weights magnify rounding."""
    counts = [
        compare(theirs, ours)
        for theirs, ours in zip(
            peer.detect(images, threshold), ask(detector, images, threshold), strict=True
        )
    ]
    return f"{sum(c[1] for c in counts)} of {sum(c[0] for c in counts)} within 0.02"


def _rates(spent: dict[str, float], count: int) -> dict[str, float]:
    """Milliseconds a picture, pictures a second of ours, and the ratio to each peer."""
    rates = {f"{name}, ms a picture": 1e3 * s / count for name, s in spent.items()}
    rates |= {f"ratio to {name}": s / spent["ours"] for name, s in spent.items() if name != "ours"}
    return rates | {"ours, pictures a second": count / spent["ours"]}


def _parts(
    detector: Any, images: Sequence[Image], threshold: float, device: str
) -> dict[str, float]:
    """Milliseconds of the parts of one call: the encoder of pictures, and what reads prompts."""
    network = detector._expert._network
    spent: dict[str, float] = {}

    def timed(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any) -> Any:
            _wait(device)
            start = time.perf_counter()
            out = work(*arguments)
            _wait(device)
            spent[name] = spent.get(name, 0.0) + 1e3 * (time.perf_counter() - start)
            return out

        return run

    network.encode = timed("encode", network.encode)
    network.read = timed("read", network.read)
    try:
        whole = 1e3 * seconds(lambda: ask(detector, images, threshold), device)
    finally:
        del network.encode, network.read
    return spent | {"whole": whole}


@contextlib.contextmanager
def _at_most(limit: float) -> Iterator[None]:
    """Stop what runs after some seconds."""

    def stop(*_: object) -> None:
        raise TimeoutError(f"took longer than {limit:.0f} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(max(1, int(limit)))
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def main() -> None:
    """Check, then time all by turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--rounds", type=int, default=3, help="how often each side is timed")
    parser.add_argument("--busy", action="store_true", help="other work runs too: time of one core")
    parser.add_argument("--seconds", type=float, default=140, help="limit with a card")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    deadline = time.perf_counter() + options.seconds
    if options.device == "cpu":
        torch.set_num_threads(1 if options.busy else 2)
    transformers.utils.logging.disable_progress_bar()
    report: dict[str, Any] = {
        "device": torch.cuda.get_device_name() if options.device == "cuda" else "cpu",
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sides = (800, 1333) if options.device == "cuda" else (320, 512)
        save_model(folder, shortest=sides[0], longest=sides[1])
        try:
            if options.device == "cuda":
                on_card(
                    folder,
                    report,
                    device="cuda",
                    size=(1333, 800),
                    rounds=options.rounds,
                    deadline=deadline,
                )
            else:
                report |= on_cpu(folder, options.rounds)
        finally:
            if options.json:
                options.json.write_text(json.dumps(report, indent=2), encoding="utf-8")
    print(json.dumps(report, indent=2))
    if options.device == "cpu":
        print(f"ratio = {report['ratio']:.2f}")
    else:
        print(f"ratio = {report['batch 16']['ratio to as shipped']:.1f}")


if __name__ == "__main__":
    main()
