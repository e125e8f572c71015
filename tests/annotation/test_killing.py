"""R1: a job that is killed without warning, again and again, ends as one that was left alone.

The short form kills 100 times over 320 photos, in four jobs beside each other. The long one:
GROUNDPLANE_KILLS=500 over 2,000 photos.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import kill_loop
from exported import exported
from stub_expert import StubExpert
from tiny_photos import make_photos

from groundplane.annotating import annotate
from groundplane.annotation.codec import RecordHead
from groundplane.annotation.entries import decode_head
from groundplane.annotation.framing import scan_log
from groundplane.annotation.run import Run

CHAINS = 4
KILLS = int(os.environ.get("GROUNDPLANE_KILLS", "100"))
PHOTOS = 2000 if KILLS > 100 else 320
SEED = int(os.environ.get("GROUNDPLANE_SEED", "0"))
FORMATS = ("coco", "csv", "yolo")
ROOT = Path(__file__).parents[2]
SUPPORT = ROOT / "tests" / "support"


def written(run):
    """How many records of each path the log holds, and how many stretches of it hold none."""
    entries = (
        decode_head(payload) for _, payload in scan_log(run.path / "records.log", key=run.key)
    )
    return Counter(entry.path for entry in entries if isinstance(entry, RecordHead))


def test_killed_at_random_moments_and_resumed_to_the_end(tmp_path):
    for chain in range(CHAINS):
        make_photos(tmp_path / f"photos-{chain}", PHOTOS // CHAINS)
    command = [sys.executable, SUPPORT / "kill_loop.py", tmp_path, f"--kills={KILLS // CHAINS}"]
    done = subprocess.run(
        [*command, f"--seed={SEED}"], capture_output=True, text=True, check=False,
        cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    tallies = json.loads(done.stdout)

    assert sum(tally["kills"] for tally in tallies) == KILLS
    assert sum(tally["working"] for tally in tallies) >= KILLS / 4  # the harness kills what works
    # All chains have the same photos.
    alone = exported(undisturbed(tmp_path / "photos-0", tmp_path / "alone"), FORMATS)
    for chain, tally in enumerate(tallies):
        assert (tally["status"], tally["orphans"]) == (0, 0)
        run = Run.open(tmp_path / f"run-{chain}")
        counts = written(run)
        assert len(counts) == PHOTOS // CHAINS
        assert set(counts.values()) == {1}
        summary = run.summary()
        assert (summary.done, summary.damaged, summary.unread) == (PHOTOS // CHAINS, 0, 0)
        assert exported(run, FORMATS) == alone


def undisturbed(photos, out):
    with annotate(
        photos, "dog, red car: car, cat", detector=StubExpert(), out=out, device="cpu"
    ) as job:
        job.finish()
    return Run.open(out)


def descendants(pid):
    """All processes below one."""
    found = kill_loop.children_of(pid)
    return [*found, *(below for child in found for below in descendants(child))]


def test_the_command_and_all_its_processes_are_killed_and_it_goes_on(tmp_path, data_dir):
    photos = tmp_path / "photos"
    photos.mkdir()
    long = KILLS > 100
    files = sorted((data_dir / "coco" / "images").iterdir())[: 36 if long else 8]
    for number, file in enumerate(files):
        (photos / f"{number}{file.suffix}").symlink_to(file)
    command = [sys.executable, "-m", "groundplane", "annotate", photos, "--find", "face, eye"]
    command += ["--detector", "opencv", "--device", "cpu", "--batch", "2", "--quiet"]
    chance = random.Random(SEED)
    kills = 0
    for _ in range(20 if long else 1):
        process = subprocess.Popen(
            [*command, "--out", tmp_path / "run"], cwd=ROOT,
            stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        wait_for_records(tmp_path / "run", process, chance.randrange(4))
        if process.poll() is not None:
            assert process.returncode == 0  # nothing was left to do
            break
        kills += 1
        below = descendants(process.pid)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        end = time.monotonic() + 60
        while not all(map(kill_loop.gone, below)) and time.monotonic() < end:
            time.sleep(0.01)
        assert all(map(kill_loop.gone, below))
    assert kills >= (5 if long else 1)
    for out in ("run", "alone"):
        subprocess.run([*command, "--out", tmp_path / out], cwd=ROOT, check=True)

    run = Run.open(tmp_path / "run")
    assert set(written(run).values()) == {1}
    assert len(run.records()) == len(files)
    assert exported(run, FORMATS) == exported(Run.open(tmp_path / "alone"), FORMATS)


def wait_for_records(run, process, count):
    """Wait until there are so many more records, or the process has ended."""
    log = run / "records.log"
    before = len(written(Run.open(run))) if Run.exists(run) else 0
    while process.poll() is None:
        if log.exists() and Run.exists(run) and len(written(Run.open(run))) >= before + count:
            return
        time.sleep(0.01)
