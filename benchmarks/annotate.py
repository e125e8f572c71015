"""What a job costs beside its stages, and whole jobs against the loop that people write.

Four figures on a CPU, all on pictures made here:

- overhead: processor time of a job, in all its processes, over that of its stages called one
  after the other in one process (decode, detect, segment, encode, append to the log), with a tiny
  Grounding DINO and a tiny SAM 2 of random weights. What starting costs is left out of both.
- workers: pictures a second of two decoding processes over one, where decoding is all there is.
- durable: what keeping a record costs, milliseconds, every 32 records brought to the disk.
- loop: pictures a second of the job over those of the loop (open, detect one picture, segment it,
  keep all in memory, write COCO at the end), with the same experts. First the regions of both are
  compared.

With `--device cuda` only the last, with networks of full size and random weights (Grounding DINO
with Swin-T, SAM 2 with Hiera-T), against the loop over transformers as users run it.

Run: python benchmarks/annotate.py [--device cuda] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
# Nothing that one call made may be used by the next.
os.environ["GROUNDPLANE_CACHE_BYTES"] = "0"

import numpy as np
from PIL import Image as PILImage

from groundplane.annotating import annotate
from groundplane.annotation.in_thread import ThreadLooker
from groundplane.annotation.items import Picture
from groundplane.annotation.looking import LookTerms
from groundplane.annotation.run import Run
from groundplane.core.annotation import AnnotationRecord
from groundplane.core.detection import DetectRequest
from groundplane.core.host import load
from groundplane.core.masks import decode
from groundplane.core.media import read_image
from groundplane.core.regular_files import stamp_of
from groundplane.core.segmentation import SegmentRequest

PROMPTS = ("person", "red car", "wooden chair", "umbrella", "small dog", "green bottle")
# Scores of a tiny network with random weights: about ten of its boxes are above it.
LEAST = 0.75


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is measured."""

    pictures: int = 96
    side: tuple[int, int] = (640, 480)
    large: int = 40
    large_side: tuple[int, int] = (3000, 2000)
    records: int = 4000
    rounds: int = 3


QUICK = Size(pictures=24, large=6, large_side=(600, 400), records=64, rounds=1)


# -- what is annotated, and by whom ---------------------------------------------------------


def make_pictures(folder: Path, count: int, side: tuple[int, int]) -> list[Path]:
    """JPEGs of blocks and noise."""
    folder.mkdir()
    files = []
    width, height = side
    for index in range(count):
        rng = np.random.default_rng(index)
        blocks = rng.integers(0, 224, (-(-height // 40), -(-width // 40), 3), dtype=np.uint8)
        pixels = blocks.repeat(40, 0).repeat(40, 1)[:height, :width]
        pixels = pixels + rng.integers(0, 32, pixels.shape, dtype=np.uint8)
        files.append(folder / f"{index:05}.jpg")
        PILImage.fromarray(pixels).save(files[-1], quality=85)
    return files


def tiny_options(folder: Path) -> dict[str, object]:
    """Options of a tiny Grounding DINO and a tiny SAM 2, whose weights are made here."""
    from groundplane.testing.checkpoints import save_grounding_dino
    from groundplane.testing.checkpoints_sam import save_sam2

    return {
        "grounding-dino.weights": str(save_grounding_dino(folder / "dino")),
        "sam2.weights": str(save_sam2(folder / "sam2")),
    }


def make_job(files: Path, out: Path | None, options: dict[str, object], **details: Any) -> Any:
    """A job with both experts."""
    given = {"detector": "grounding-dino", "segmenter": "sam2", "floor": LEAST, "merge": None}
    given |= {"options": options, "thresholds": LEAST, "device": "cpu", "apart": False}
    return annotate(files, list(PROMPTS), out=out, **(given | details))


@contextmanager
def empty(folder: Path) -> Iterator[Path]:
    """A place for a run."""
    try:
        yield folder / "run"
    finally:
        shutil.rmtree(folder / "run", ignore_errors=True)


# -- overhead -------------------------------------------------------------------------------


def processor_seconds(*, children: bool = True) -> float:
    """Of this process, and of those that it has waited for."""
    who = (resource.RUSAGE_SELF, *([resource.RUSAGE_CHILDREN] if children else []))
    usages = [resource.getrusage(one) for one in who]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def stages_alone(files: Sequence[Path], looker: ThreadLooker, run: Run, batch: int) -> None:
    """The work of a job, one thing after the other."""
    with run.writer() as writer:
        for start in range(0, len(files), batch):
            pictures = []
            for file in files[start : start + batch]:
                image = read_image(file.read_bytes(), name=file.name)
                pictures.append(
                    Picture(
                        path=file.name, content_hash=image.source.content_hash,
                        pixels=image.pixels, stamp=stamp_of(file.stat()),
                    )
                )  # fmt: skip
            for record, picture in zip(looker.look(pictures), pictures, strict=True):
                writer.write(record, picture.stamp)


def overhead(
    folder: Path, options: dict[str, object], size: Size, detector: Any = None
) -> dict[str, float]:
    """Processor time of a job over that of its stages, with the experts named or with another."""
    if detector is not None:
        options = {}
    given = {} if detector is None else {"detector": detector, "segmenter": None}
    files = sorted((folder / "some").iterdir())
    few = folder / "few"

    def as_job(pictures: Path) -> float:
        with empty(folder) as out, make_job(pictures, out, options, workers=1, **given) as job:
            begun = processor_seconds()
            job.finish()
            job.close()
            return processor_seconds() - begun

    with empty(folder) as out, make_job(few, out, options, **given) as job:
        spec = job.run.spec

    def as_stages(pictures: Sequence[Path]) -> float:
        with empty(folder) as out:
            looker = ThreadLooker(spec, terms=LookTerms(device="cpu"), detector=detector)
            run = Run.create(out, spec)
            begun = processor_seconds()
            stages_alone(pictures, looker, run, 16)
            return processor_seconds() - begun

    jobs, stages = [], []
    as_stages(files[:4])
    for _ in range(size.rounds):
        jobs.append(as_job(folder / "some") - as_job(few))
        stages.append(as_stages(files) - as_stages(files[:4]))
    job_s, stages_s = statistics.median(jobs), statistics.median(stages)
    return {
        "job_ms": 1e3 * job_s / (size.pictures - 4),
        "stages_ms": 1e3 * stages_s / (size.pictures - 4),
        "overhead": job_s / stages_s - 1,
    }


# -- workers and records --------------------------------------------------------------------


class Nothing:
    """A detector that finds nothing, at once."""

    vocabulary: tuple[str, ...] | None = None

    def detect(self, requests: Sequence[DetectRequest]) -> Any:
        """No regions."""
        from groundplane.core.detection import DetectResult, Outcome
        from groundplane.core.regions import Regions

        return [
            DetectResult(
                regions=Regions.empty(phrases=request.phrases, image_size=request.image.size),
                outcomes=(Outcome.NONE,) * len(request.phrases),
            )
            for request in requests
        ]


def two_workers(folder: Path, size: Size) -> dict[str, float]:
    """How much faster two processes decode than one.

    On a machine that does other work too the rates say little. `bound` comes from processor time:
    what two cores of their own would allow, where this process takes its share of one.
    """
    make_pictures(folder / "large", size.large, size.large_side)
    rates: dict[int, list[float]] = {1: [], 2: []}
    shares = []
    for _ in range(size.rounds):
        for workers, known in rates.items():
            before = processor_seconds(), processor_seconds(children=False)
            with annotate(
                folder / "large", list(PROMPTS), detector=Nothing(), workers=workers, batch=4,
                deadline=None,
            ) as job:  # fmt: skip
                known.append(steady_rate(job))
            own = processor_seconds(children=False) - before[1]
            shares.append(own / (processor_seconds() - before[0] - own))
    one, two = (statistics.median(known) for known in rates.values())
    bound = 2 / (1 + statistics.median(shares))
    return {"one_worker": one, "two_workers": two, "gain": two / one, "bound": bound}


def steady_rate(job: Any) -> float:
    """Pictures a second once the first batch is done, which comes all at once."""
    times = [time.perf_counter() for _ in job]
    later = sum(when > times[0] + 0.05 for when in times)
    return later / (times[-1] - times[0])


def durable(folder: Path, record: AnnotationRecord, spec: Any, size: Size) -> float:
    """Milliseconds that a record costs, the bringing to the disk included.

    It is one of ten boxes: what masks of a network with random weights take says nothing.
    """
    few = record.regions.select(np.arange(min(10, len(record.regions))))
    record = replace(record, regions=replace(few, masks=None))
    spent = []
    for _ in range(size.rounds):
        with empty(folder) as out:
            records = [replace(record, path=f"{index}.jpg") for index in range(size.records)]
            with Run.create(out, spec).writer() as writer:
                begun = time.perf_counter()
                for one in records:
                    writer.write(one, (1, 1))
                writer.sync()
                spent.append(time.perf_counter() - begun)
    return 1e3 * statistics.median(spent) / size.records


# -- the loop that people write -------------------------------------------------------------


def plain_loop(files: Sequence[Path], detector: Any, segmenter: Any) -> list[dict[str, Any]]:
    """Open, detect, segment, keep; one picture at a time."""
    results = []
    for file in files:
        image = read_image(np.asarray(PILImage.open(file).convert("RGB")), name=file.name)
        thresholds = (LEAST,) * len(PROMPTS)
        request = DetectRequest(image=image, phrases=PROMPTS, thresholds=thresholds)
        [found] = detector.detect([request])
        [cut] = segmenter.segment([SegmentRequest(image=image, boxes=found.regions.boxes)])
        masks = [decode(mask) for mask in cut.masks or ()]
        results.append({"file": file.name, "regions": found.regions, "masks": masks})
    return results


def write_coco(results: Sequence[dict[str, Any]], path: Path) -> None:
    """What the loop does at its end."""
    from pycocotools import mask as coco_masks

    images, annotations = [], []
    for index, result in enumerate(results):
        regions = result["regions"]
        width, height = regions.image_size
        images.append({"id": index, "file_name": result["file"], "width": width, "height": height})
        rows = zip(
            regions.boxes.tolist(), regions.scores.tolist(), regions.phrase_ids.tolist(),
            result["masks"], strict=True,
        )  # fmt: skip
        for (left, top, right, bottom), score, phrase, mask in rows:
            packed = coco_masks.encode(np.asfortranarray(mask.astype(np.uint8)))
            packed["counts"] = packed["counts"].decode("ascii")
            annotations.append(
                {
                    "id": len(annotations), "image_id": index, "category_id": phrase,
                    "bbox": [left, top, right - left, bottom - top], "score": score,
                    "segmentation": packed, "area": int(mask.sum()), "iscrowd": 0,
                }
            )  # fmt: skip
    categories = [{"id": index, "name": name} for index, name in enumerate(PROMPTS)]
    document = {"images": images, "annotations": annotations, "categories": categories}
    path.write_text(json.dumps(document))


def check_alike(results: Sequence[dict[str, Any]], records: Sequence[AnnotationRecord]) -> int:
    """Stop the script where loop and job found different regions; gives how many they found."""
    by_path = {record.path: record for record in records}
    total = 0
    for result in results:
        record, regions = by_path[result["file"]], result["regions"]
        theirs = sorted(np.round(regions.boxes.double().numpy(), 2).tolist())
        ours = sorted(record.regions.boxes[record.regions.kept].tolist())
        total += len(ours)
        if len(ours) != len(theirs) or not np.allclose(ours, theirs, atol=0.011):
            raise SystemExit(f"{record.path}: loop and job found different regions: not timed")
    if not total:
        raise SystemExit("nothing was found: not timed")
    return total


def against_loop(folder: Path, options: dict[str, object], size: Size) -> dict[str, float]:
    """Pictures a second of the loop and of the job."""
    files = sorted((folder / "some").iterdir())
    detector = load(
        "detectors", "grounding-dino", device="cpu", weights=options["grounding-dino.weights"]
    )
    segmenter = load("segmenters", "sam2", device="cpu", weights=options["sam2.weights"])
    with make_job(folder / "some", None, options) as job:
        regions = check_alike(plain_loop(files, detector, segmenter), list(job))
    loop, ours = [], []
    for _ in range(size.rounds):
        begun = time.perf_counter()
        write_coco(plain_loop(files, detector, segmenter), folder / "coco.json")
        loop.append(len(files) / (time.perf_counter() - begun))
        with empty(folder) as out, make_job(folder / "some", out, options) as job:
            ours.append(steady_rate(job))
    mine, theirs = statistics.median(ours), statistics.median(loop)
    return {
        "regions": regions,
        "loop_pictures_a_second": theirs,
        "job_pictures_a_second": mine,
        "ratio": mine / theirs,
    }


def on_cpu(folder: Path, size: Size) -> dict[str, Any]:
    """All four."""
    options = tiny_options(folder)
    files = make_pictures(folder / "some", size.pictures, size.side)
    (folder / "few").mkdir()
    for file in files[:4]:
        shutil.copy(file, folder / "few")
    report: dict[str, Any] = {"overhead": overhead(folder, options, size)}
    print(f"overhead: {json.dumps(report['overhead'])}", flush=True)
    # What the job itself takes, where no expert works on the other core at the same time.
    bare = overhead(folder, options, size, Nothing())
    report["bare"] = {"framework_ms": bare["job_ms"] - bare["stages_ms"], **bare}
    print(f"bare: {json.dumps(report['bare'])}", flush=True)
    report["workers"] = two_workers(folder, size)
    print(f"workers: {json.dumps(report['workers'])}", flush=True)
    with make_job(folder / "few", folder / "spec", options) as job:
        record = next(iter(job))
    report["durable_ms"] = durable(folder, record, Run.open(folder / "spec").spec, size)
    print(f"durable: {report['durable_ms']:.3f} ms a record", flush=True)
    report["loop"] = against_loop(folder, options, size)
    print(f"loop: {json.dumps(report['loop'])}", flush=True)
    return report


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, write what was measured, and print the ratio last."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--quick", action="store_true", help="seconds, without meaning: for tests")
    parser.add_argument("--pictures", type=int, default=512, help="of a job with a card")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    args = parser.parse_args(arguments)
    measure: Callable[[Path], dict[str, Any]]
    if args.device == "cuda":
        from annotate_card import on_card

        measure = lambda folder: on_card(folder, args.pictures)  # noqa: E731
    else:
        measure = lambda folder: on_cpu(folder, QUICK if args.quick else Size())  # noqa: E731
    with tempfile.TemporaryDirectory() as name:
        report = measure(Path(name))
    if args.json:
        args.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(report, indent=2))
    ratio = report["ratio"] if args.device == "cuda" else report["loop"]["ratio"]
    print(f"ratio = peer / ours = {ratio:.2f}")


if __name__ == "__main__":
    main()
