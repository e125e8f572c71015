"""Runs a job and kills it, again and again, until it is through.

A process of its own, which imports everything once and then forks a child for each try: the child
runs the job, and is killed without warning after a time drawn from a seed. What is left then is a
run that was disturbed as often as asked; the caller compares it with one that was not.

Run: python kill_loop.py PHOTOS RUN --kills 100 --seed 0
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from stub_expert import StubExpert

from groundplane.annotating import annotate


def work(photos: Path, run: Path, told: int) -> None:
    """The child: annotate, and tell of each record."""
    with annotate(
        photos, "dog, red car: car, cat", detector=StubExpert(), out=run, workers=1, batch=4,
        device="cpu",
    ) as job:  # fmt: skip
        os.write(told, b"+")
        for _ in job:
            os.write(told, b".")
    os.write(told, b"!")


def child_of(photos: Path, run: Path) -> tuple[int, int]:
    """Start a child; its id, and where it tells how far it is."""
    hear, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(hear)
            os.setpgid(0, 0)
            work(photos, run, tell)
            code = 0
        finally:
            os._exit(code)
    os.close(tell)
    return pid, hear


def wait_for(hear: int, count: int, patience: float) -> bytes:
    """What a child tells until it told so many records, or its end, or for so long."""
    told = b""
    end = time.monotonic() + patience
    os.set_blocking(hear, False)
    while time.monotonic() < end and told.count(b".") < count:
        try:
            piece = os.read(hear, 4096)
        except BlockingIOError:
            time.sleep(0.001)
            continue
        if not piece:
            break
        told += piece
    return told


def children_of(pid: int) -> list[int]:
    """The processes that a process has started."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == pid:
                found.append(int(entry.name))
    return found


def gone(pid: int) -> bool:
    """Whether a process has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def main() -> None:
    """Kill, resume, kill; then let it come to its end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--kills", type=int, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, required=True, help="photos that there are")
    args = parser.parse_args()
    chance = random.Random(args.seed)
    killed = working = orphans = 0
    written: list[int] = []
    while killed < args.kills:
        pid, hear = child_of(args.photos, args.run)
        # Most are killed among records, the others anywhere from the very beginning on. None is
        # given the time to finish before it was killed as often as asked.
        step = max(1, 2 * args.count // args.kills)
        if chance.random() < 0.7:
            told = wait_for(hear, chance.randrange(1, step + 1), 60)
            time.sleep(chance.random() * 0.004)
        else:
            told = wait_for(hear, sys.maxsize, chance.random() * 0.3)
        helpers = children_of(pid)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        end = time.monotonic() + 5
        while not all(map(gone, helpers)) and time.monotonic() < end:
            time.sleep(0.002)
        orphans += sum(not gone(helper) for helper in helpers)
        os.close(hear)
        killed += 1
        working += b"." in told
    pid, hear = child_of(args.photos, args.run)
    wait_for(hear, sys.maxsize, 600)
    _, status = os.waitpid(pid, 0)
    print(json.dumps({"killed": killed, "working": working, "orphans": orphans, "status": status}))


if __name__ == "__main__":
    main()
