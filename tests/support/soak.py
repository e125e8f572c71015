"""Runs a long job of tiny pictures and tells how much memory it and its helpers held meanwhile.

Run: python soak.py FOLDER --items 20000
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from stub_expert import StubExpert
from tiny_photos import make_photos

from groundplane.annotation.decoding import DecodePool
from groundplane.annotation.in_thread import ThreadLooker
from groundplane.annotation.items import Item
from groundplane.annotation.looking import LookTerms
from groundplane.annotation.pipeline import Pipeline
from groundplane.annotation.prompts import read_prompts
from groundplane.annotation.reading import Settings
from groundplane.annotation.run import Run
from groundplane.annotation.spec import JobSpec
from groundplane.core.annotation import AnnotationRecord
from groundplane.core.regular_files import stamp_of

LOOKS = 40  # at the memory, evenly over the job


class Repeated:
    """A few files under many names."""

    def __init__(self, files: list[Path], count: int) -> None:
        self._files = files
        self._count = count

    def items(self) -> Iterator[Item]:
        """All of them."""
        stamps = [stamp_of(file.stat()) for file in self._files]
        for index in range(self._count):
            place = index % len(self._files)
            file = str(self._files[place])
            yield Item(path=f"{index:07}.jpg", where={"file": file}, stamp=stamps[place])

    def count(self) -> int:
        """How many."""
        return self._count


def resident(pid: int | str) -> float:
    """Megabytes that a process holds of its own, without pages that it shares."""
    fields = Path(f"/proc/{pid}/statm").read_text().split()
    return (int(fields[1]) - int(fields[2])) * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> None:
    """Run, look, tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--items", type=int, required=True)
    args = parser.parse_args()
    files = sorted(make_photos(args.folder / "photos", 60).rglob("*.jpg"))
    spec = JobSpec(source="soak", classes=read_prompts("dog, cat"), detector="object:StubExpert")
    settings = Settings(batch=8)
    looks: list[dict[str, float]] = []
    with Run.create(args.folder / "run", spec).writer() as writer:
        pool = DecodePool(2, slots=settings.under_way)
        looker = ThreadLooker(
            spec, terms=LookTerms(device="cpu", deadline=None), detector=StubExpert()
        )
        job = Pipeline(Repeated(files, args.items), pool, looker, keeper=writer, settings=settings)
        count = 0
        for word in job.run():
            count += isinstance(word, AnnotationRecord)
            if isinstance(word, AnnotationRecord) and count % (args.items // LOOKS) == 0:
                look = {
                    "items": count, "own": resident("self"), "threads": threading.active_count(),
                    "files": len(os.listdir("/proc/self/fd")),
                }  # fmt: skip
                look |= {f"helper {i}": resident(pid) for i, pid in enumerate(pool.pids)}
                looks.append(look)
    late = looks[len(looks) // 2 :]
    at = np.array([look["items"] for look in late]) / 10_000
    slopes = {
        name: float(np.polyfit(at, [look[name] for look in late], 1)[0])
        for name in late[0]
        if name == "own" or name.startswith("helper")
    }
    steady = {name: sorted({look[name] for look in late[:-1]}) for name in ("threads", "files")}
    rate = count / job.summary.seconds if job.summary else 0.0
    sys.stdout.write(
        json.dumps({"done": count, "rate": rate, "slopes": slopes, **steady, "looks": looks})
    )


if __name__ == "__main__":
    main()
