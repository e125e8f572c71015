"""What a picture costs, stage by stage, and what that makes for very many of them.

Run: python benchmarks/scale.py DATA [--pictures N] [--rate R] [--devices D]

DATA is a folder with `coco/instances.json` and `coco/images`. Each picture's truth, with masks,
stands for what an expert finds, and as many candidates beside it. Times are of one core, medians
of three. What follows for N pictures is arithmetic from those figures and from R, the pictures
that one device looks at in a second, which is not measured here. The ratio, printed last, is the
time for decoding over the time for all that a run does beside it: listing, writing, reading back.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from groundplane.annotation.codec import decode_record, encode_record
from groundplane.annotation.items import Item
from groundplane.annotation.log import RecordLog, scan_log
from groundplane.annotation.ray.shards import write_shards
from groundplane.core import masks
from groundplane.core.annotation import AnnotatedRegions, AnnotationRecord, rounded_boxes
from groundplane.core.media import read_image

KEY = bytes(16)
FILES = 5000


def seconds(run: Callable[[], object]) -> float:
    """Median wall time of three runs."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def records(truth: dict[str, Any], *, with_masks: bool) -> list[AnnotationRecord]:
    """A record a picture: its truth as regions, and as many candidates without masks."""
    rng = np.random.default_rng(0)
    made = []
    for picture in truth["images"]:
        mine = [a for a in truth["annotations"] if a["image_id"] == picture["id"]]
        size = (picture["width"], picture["height"])
        found = [rle(one["segmentation"], (size[1], size[0])) for one in mine]
        sides = np.array([one["bbox"] for one in mine]).reshape(-1, 4)
        boxes = np.concatenate([sides[:, :2], sides[:, :2] + sides[:, 2:]], axis=1)
        n = len(mine)
        classes = np.tile(np.array([one["category_id"] for one in mine], dtype=np.int64), 2)
        regions = AnnotatedRegions(
            ids=tuple(f"r{i}" for i in range(2 * n)),
            boxes=rounded_boxes(np.concatenate([boxes, boxes + rng.normal(0, 20, boxes.shape)])),
            scores=np.round(rng.uniform(0, 1, 2 * n), 4),
            prompt_ids=classes,
            class_ids=classes,
            kept=np.arange(2 * n) < n,
            masks=(*found, *[None] * n) if with_masks else None,
            sources=("grounding-dino",) * (2 * n),
        )
        made.append(
            AnnotationRecord(
                path=f"train/part-{len(made):05d}/{picture['file_name']}",
                content_hash=hashlib.sha256(picture["file_name"].encode()).hexdigest(),
                status="done",
                size=size,
                regions=regions,
                outcomes=("found",) * 8,
            )
        )
    return made


def rle(given: object, size: tuple[int, int]) -> masks.RleMask:
    """A mask of COCO's file; size is height and width."""
    if isinstance(given, dict):
        return masks.from_counts(given["counts"], size)
    assert isinstance(given, list)
    return masks.from_polygons(given, size)


def log_costs(made: list[AnnotationRecord], folder: Path) -> dict[str, float]:
    """Bytes and seconds a record: made and written, found again, read back."""
    log = folder / "records.log"
    stamp = (123_456, 1_700_000_000_000_000_000)

    def write() -> None:
        log.unlink(missing_ok=True)
        RecordLog.create(log, key=KEY)
        with RecordLog(log, key=KEY) as out:
            for record in made * 20:
                out.append(encode_record(record, stamp))

    spent = {"write": seconds(write), "scan": seconds(lambda: list(scan_log(log)))}
    spent["read"] = seconds(lambda: [decode_record(data) for _, data in scan_log(log)])
    return {"bytes": log.stat().st_size / (20 * len(made))} | {
        name: value / (20 * len(made)) for name, value in spent.items()
    }


def listing_costs(folder: Path) -> dict[str, float]:
    """Seconds a file to find it and to put it on its shard's list, and the bytes of that."""
    for i in range(FILES):
        (folder / f"{i:012d}.jpg").touch()
    items: list[Item] = []

    def walk() -> None:
        items.clear()
        with os.scandir(folder) as entries:
            for entry in entries:
                found = entry.stat()
                where: dict[str, str | int] = {"file": f"/data/train/part-00000/{entry.name}"}
                path = f"train/part-00000/{entry.name}"
                items.append(Item(path=path, where=where, stamp=(found.st_size, found.st_mtime_ns)))

    found = seconds(walk)
    lists = folder.parent / "lists"
    written = seconds(lambda: write_shards(items, lists, num_shards=16))
    num_bytes = sum(file.stat().st_size for file in lists.iterdir())
    return {"walk": found / FILES, "list": written / FILES, "bytes": num_bytes / FILES}


def main() -> None:
    """Measure, and say what follows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--pictures", type=float, default=1e9)
    parser.add_argument("--rate", type=float, default=300.0, help="pictures a second and device")
    parser.add_argument("--devices", type=int, default=100)
    asked = parser.parse_args()
    truth = json.loads((asked.data / "coco" / "instances.json").read_text())
    pictures = [asked.data / "coco" / "images" / one["file_name"] for one in truth["images"]]
    read_image(pictures[0])
    decode = seconds(lambda: [read_image(path) for path in pictures]) / len(pictures)
    encoded = sum(path.stat().st_size for path in pictures) / len(pictures)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plain = log_costs(records(truth, with_masks=False), folder)
        masked = log_costs(records(truth, with_masks=True), folder)
        (folder / "pictures").mkdir()
        listed = listing_costs(folder / "pictures")
    n, rate = asked.pictures, asked.rate
    days = n / rate / asked.devices / 86400
    print(f"a picture: {encoded / 1e3:.0f} kB encoded, decoded in {decode * 1e3:.2f} ms")
    for what, cost in (("boxes", plain), ("masks", masked)):
        print(
            f"a record with {what}: {cost['bytes']:.0f} bytes; "
            f"written {cost['write'] * 1e6:.0f} us, "
            f"found {cost['scan'] * 1e6:.1f} us, read back {cost['read'] * 1e6:.0f} us"
        )
    print(
        f"listing: found {listed['walk'] * 1e6:.1f} us, "
        f"put on a list {listed['list'] * 1e6:.1f} us, {listed['bytes']:.0f} bytes"
    )
    finding = listed["walk"] + listed["list"]
    print(
        f"for {n:.3g} pictures at {rate:g} a second and device, which is assumed:",
        f"  {asked.devices} devices: {days:.1f} days",
        f"  decoding: {rate * decode:.1f} cores a device, {n * decode / 86400:.0f} core days",
        f"  pictures: {n * encoded / 1e12:.0f} TB, {rate * encoded / 1e6:.0f} MB/s a device",
        f"  logs: {n * plain['bytes'] / 1e12:.2f} TB with boxes, "
        f"{n * masked['bytes'] / 1e12:.2f} TB with masks",
        f"  lists: {n * listed['bytes'] / 1e12:.2f} TB, {n * finding / 3600:.1f} core hours",
        f"  reading all records back: {n * masked['read'] / 3600:.0f} core hours",
        sep="\n",
    )
    ours = finding + masked["write"] + masked["read"]
    print(f"ratio = {decode / ours:.2f}")


if __name__ == "__main__":
    main()
