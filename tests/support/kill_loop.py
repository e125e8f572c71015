"""Runs a job and kills it, again and again, until it is through.

A process of its own, which imports everything once and then forks a child for each try: the child
runs the job, and is killed without warning after a time drawn from a seed. What is left then is a
run that was disturbed as often as asked; the caller compares it with one that was not.

Run: python kill_loop.py FOLDER --kills 100 --seed 0
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import time
from dataclasses import asdict, dataclass
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


@dataclass
class Tally:
    """What a chain of kills did: how many there were, how many of them among records, how many
    helpers outlived their job, and what the last try ended with.
    """

    kills: int = 0
    working: int = 0
    orphans: int = 0
    status: int = -1


def kill_all(photos: Path, run: Path, *, kills: int, seed: int) -> Tally:
    """Kill, resume, kill; then let it come to its end."""
    chance = random.Random(seed)
    tally = Tally()
    while tally.kills < kills:
        pid, hear = child_of(photos, run)
        # Most are killed after their first records, the others anywhere from the beginning on.
        if chance.random() < 0.75:
            told = wait_for(hear, chance.randrange(1, 5), 60)
            time.sleep(chance.random() * 0.004)
        else:
            told = wait_for(hear, sys.maxsize, chance.random() * 0.3)
        helpers = children_of(pid)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(hear)
        end = time.monotonic() + 60  # a helper that was just started may still be importing
        while not all(map(gone, helpers)) and time.monotonic() < end:
            time.sleep(0.002)
        tally.orphans += sum(not gone(helper) for helper in helpers)
        tally.kills += 1
        tally.working += b"." in told and b"!" not in told
    pid, hear = child_of(photos, run)
    wait_for(hear, sys.maxsize, 600)
    tally.status = os.waitpid(pid, 0)[1]
    return tally


def main() -> None:
    """Several chains of kills beside each other, each with photos and a run of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="holds photos-0, photos-1 and so on")
    parser.add_argument("--kills", type=int, required=True, help="of each chain")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    chains = []
    for number, photos in enumerate(sorted(args.folder.glob("photos-*"))):
        hear, tell = os.pipe()
        pid = os.fork()
        if pid == 0:
            run = args.folder / photos.name.replace("photos", "run")
            tally = kill_all(photos, run, kills=args.kills, seed=args.seed + number)
            os.write(tell, json.dumps(asdict(tally)).encode())
            os._exit(0)
        os.close(tell)
        chains.append((pid, hear))
    tallies = []
    for pid, hear in chains:
        with os.fdopen(hear) as file:
            tallies.append(json.loads(file.read()))
        os.waitpid(pid, 0)
    sys.stdout.write(json.dumps(tallies))


if __name__ == "__main__":
    main()
