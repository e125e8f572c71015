"""Whole jobs on a card against the loop over transformers that users run.

The networks have their full size and random weights: Grounding DINO with Swin-T, SAM 2 with
Hiera-T. `python benchmarks/annotate.py --device cuda` runs this.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from annotate import empty, make_job, make_pictures, steady_rate
from PIL import Image as PILImage

from groundplane.core.media import read_image

__all__ = ["LibraryLoop", "on_card", "packed_masks"]


class LibraryLoop:
    """The loop over transformers that users run, with networks of full size.

    Args:
        folder: Weights of both, in `dino` and `sam2`.
        device: Where they run.
        tuned: In bfloat16 where autocast allows.
    """

    def __init__(self, folder: Path, device: str, *, tuned: bool) -> None:
        import transformers
        from detect import Peer

        self.device = device
        self.tuned = tuned
        self.peer = Peer(folder / "dino", device)
        self.processor = transformers.AutoProcessor.from_pretrained(str(folder / "sam2"))
        self.sam = transformers.Sam2Model.from_pretrained(str(folder / "sam2")).eval().to(device)

    @torch.inference_mode()
    def run(self, files: Sequence[Path], threshold: float) -> list[dict[str, Any]]:
        """Open, detect, segment, keep; one picture at a time."""
        results = []
        for file in files:
            with torch.autocast(self.device, dtype=torch.bfloat16, enabled=self.tuned):
                results.append(self._one(file, threshold))
        return results

    def _one(self, file: Path, threshold: float) -> dict[str, Any]:
        image = read_image(np.asarray(PILImage.open(file).convert("RGB")), name=file.name)
        [found] = self.peer.detect([image], threshold)
        boxes = found["boxes"]
        masks: Any = []
        if len(boxes):
            inputs = self.processor(
                images=image.pixels, input_boxes=[boxes.float().tolist()], return_tensors="pt"
            ).to(self.device)
            made = self.sam(**inputs, multimask_output=False)
            [masks] = self.processor.post_process_masks(
                made.pred_masks.float().cpu(), inputs["original_sizes"].cpu()
            )
            masks = masks[:, 0].numpy()
        return {"file": file.name, "found": found, "masks": masks, "size": image.size}


def packed_masks(results: Sequence[dict[str, Any]], path: Path) -> None:
    """What the loop writes at its end."""
    from pycocotools import mask as coco_masks

    rows = []
    for result in results:
        for box, mask in zip(result["found"]["boxes"].tolist(), result["masks"], strict=True):
            packed = coco_masks.encode(np.asfortranarray(mask.astype(np.uint8)))
            counts = packed["counts"].decode("ascii")
            rows.append({"file": result["file"], "bbox": box, "counts": counts})
    path.write_text(json.dumps(rows))


def save_networks(folder: Path, sides: tuple[int, int]) -> None:
    """Both networks with random weights, in `dino` and `sam2`.

    What random weights make of a mask is noise of 160 kB, as no mask of a thing is. So the
    kernels that enlarge masks are made alike at each pixel of a cell, and the finer features are
    left out of them: masks of 6 to 20 kB, with the same work for the network.
    """
    import transformers
    from detect import save_model

    save_model(folder / "dino", shortest=sides[0], longest=sides[1])
    torch.manual_seed(0)
    model = transformers.Sam2Model(transformers.Sam2Config())
    with torch.no_grad():
        for name, weights in model.mask_decoder.named_parameters():
            if name.startswith("upscale_conv") and weights.dim() == 4:
                weights.copy_(weights.mean((2, 3), keepdim=True).expand_as(weights))
            elif name.startswith("conv_s"):
                weights.zero_()
    model.save_pretrained(str(folder / "sam2"))
    processor = transformers.Sam2Processor(transformers.Sam2ImageProcessor())
    processor.save_pretrained(str(folder / "sam2"))


def time_loops(
    folder: Path, files: Sequence[Path], device: str, report: dict[str, Any]
) -> tuple[float, tuple[str, ...]]:
    """Time the loops over transformers; the threshold that they used, and their names."""
    from detect import pictures_of

    threshold = 0.0
    # In bfloat16 it takes hours on a CPU.
    names = ("as shipped",) if device == "cpu" else ("as shipped", "bfloat16")
    for name in names:
        loop = LibraryLoop(folder, device, tuned=name == "bfloat16")
        threshold = threshold or loop.peer.threshold(pictures_of(1, (1280, 800), seed=1)[0])
        loop.run(files[:3], threshold)
        begun = time.perf_counter()
        results = loop.run(files, threshold)
        packed_masks(results, folder / "loop.json")
        report[f"loop {name}, pictures a second"] = len(files) / (time.perf_counter() - begun)
        report[f"loop {name}, regions a picture"] = statistics.mean(
            len(result["found"]["boxes"]) for result in results
        )
        print(json.dumps(report), flush=True)
        del loop, results
        torch.cuda.empty_cache()
    return threshold, names


def on_card(
    folder: Path, count: int, *, device: str = "cuda", sides: tuple[int, int] = (800, 1333)
) -> dict[str, Any]:
    """Pictures a second with networks of full size; what starting costs is left out."""
    save_networks(folder, sides)
    files = make_pictures(folder / "photos", count, (1280, 800))
    card = torch.cuda.get_device_name() if device == "cuda" else device
    report: dict[str, Any] = {"device": card, "pictures": count}
    threshold, loops = time_loops(folder, files[: max(2, count // 8)], device, report)
    options = {
        "grounding-dino.weights": str(folder / "dino"), "sam2.weights": str(folder / "sam2"),
        "grounding-dino.overlap": 1.0, "grounding-dino.floor": threshold,
    }  # fmt: skip
    for apart in (True, False):
        with empty(folder) as out, make_job(
            folder / "photos", out, options, device=device, apart=apart, deadline=None,
            floor=threshold, thresholds=threshold,
            workers=max(1, len(os.sched_getaffinity(0)) - 2),
        ) as job:  # fmt: skip
            where = "apart" if apart else "in this process"
            report[f"job {where}, pictures a second"] = steady_rate(job)
            report[f"job {where}, regions a picture"] = job.summary.regions / count
            report[f"job {where}, stages"] = dict(job.summary.stages)
            print(json.dumps(report), flush=True)
    best = max(value for key, value in report.items() if "job" in key and "a second" in key)
    for name in loops:
        key = "ratio" if name == "as shipped" else f"ratio to {name}"
        report[key] = best / report[f"loop {name}, pictures a second"]
    return report
