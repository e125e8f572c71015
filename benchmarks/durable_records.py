"""What it costs to have a picture's record on the disk, and to read a log again.

Ours: a record encoded, framed, appended, fsync for each group of 32, as a run writes it. Peers:
`file`, a file for each picture, written beside its name, fsynced and renamed, which is what tools
do that keep one annotation file a picture and mean it; `line`, a line of JSON appended and fsynced
one by one. Both peers write the same bytes as ours. What each wrote is read back and compared
before anything is told.

Run: python benchmarks/durable_records.py [--records 2000] [--folder DIR]
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from groundplane.annotation.codec import decode_record, encode_record
from groundplane.annotation.framing import scan_log
from groundplane.annotation.run import Run
from groundplane.annotation.spec import JobSpec
from groundplane.core.annotation import AnnotationRecord
from groundplane.testing.annotations import random_classes, random_records

ROUNDS = 3


def make_records(num: int) -> list[AnnotationRecord]:
    """Records of pictures with plain names, a few regions each, some with masks."""
    classes = random_classes(4)
    made = random_records(5, num=2 * num, classes=classes, hostile=False)
    return [record for record in made if record.frame is None][:num]


def write_run(records: Sequence[AnnotationRecord], folder: Path) -> float:
    """Ours; seconds."""
    run = Run.create(folder, JobSpec(source="bench", classes=random_classes(4)))
    begun = time.perf_counter()
    with run.writer() as writer:
        for number, record in enumerate(records):
            writer.write(record, (number, number))
        writer.sync()
    seconds = time.perf_counter() - begun
    assert len(run.records()) == len(records)
    return seconds


def write_files(records: Sequence[AnnotationRecord], folder: Path) -> float:
    """One file a picture; seconds."""
    folder.mkdir()
    begun = time.perf_counter()
    for number, record in enumerate(records):
        draft = folder / f"{number}.part"
        with draft.open("xb") as file:
            file.write(encode_record(record, (number, number)))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(folder / f"{number}.json")
    seconds = time.perf_counter() - begun
    assert len(list(folder.iterdir())) == len(records)
    return seconds


def write_lines(records: Sequence[AnnotationRecord], folder: Path) -> float:
    """One fsync a record, in one file; seconds."""
    folder.mkdir()
    begun = time.perf_counter()
    with (folder / "lines").open("xb") as file:
        for number, record in enumerate(records):
            file.write(encode_record(record, (number, number)) + b"\n\n")
            file.flush()
            os.fsync(file.fileno())
    return time.perf_counter() - begun


def told(ways: dict[str, Callable[[Sequence[AnnotationRecord], Path], float]], num: int,
         parent: Path) -> None:  # fmt: skip
    """Time each way, the ways in turn, and print milliseconds a record and the ratio."""
    records = make_records(num)
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(ROUNDS):
        for name, way in ways.items():
            with tempfile.TemporaryDirectory(dir=parent) as folder:
                taken[name].append(way(records, Path(folder) / "out") / num)
                if turn == 0 and name == "ours":
                    read(Path(folder) / "out" / "records.log", num)
    each = {name: statistics.median(seconds) * 1e3 for name, seconds in taken.items()}
    for name, milliseconds in each.items():
        print(f"{name:5} {milliseconds:.4f} ms a record")
    print(f"ratio line / ours = {each['line'] / each['ours']:.1f}")
    print(f"ratio = file / ours = {each['file'] / each['ours']:.1f}")


def read(log: Path, num: int) -> None:
    """Print how fast a log is scanned and its records are decoded."""
    size = log.stat().st_size
    begun = time.perf_counter()
    payloads = [payload for _, payload in scan_log(log)]
    scanned = time.perf_counter() - begun
    begun = time.perf_counter()
    count = sum(decode_record(p) is not None for p in payloads if p.startswith(b'["r"'))
    decoded = time.perf_counter() - begun
    assert count == num
    print(f"log   {size / num:.0f} bytes a record")
    print(f"scan  {len(payloads) / scanned:,.0f} records/s, {size / scanned / 1e6:,.0f} MB/s")
    print(f"read  {num / decoded:,.0f} records/s")


def main() -> None:
    """Read the command line and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=2000)
    parser.add_argument("--folder", type=Path, default=None, help="on the disk to be measured")
    given = parser.parse_args()
    ways = {"ours": write_run, "line": write_lines, "file": write_files}
    told(ways, given.records, given.folder or Path(tempfile.gettempdir()))


if __name__ == "__main__":
    main()
