"""R1: a job that is killed without warning, again and again, ends as one that was left alone.

The short form kills 100 times over 320 photos, in four jobs beside each other. The long one:
GROUNDPLANE_KILLS=500 over 2,000 photos.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

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
FORMATS = ("coco", "yolo")
SUPPORT = Path(__file__).parents[1] / "support"


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
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    tallies = json.loads(done.stdout)

    assert sum(tally["kills"] for tally in tallies) == KILLS
    assert sum(tally["working"] for tally in tallies) >= KILLS / 4  # the harness kills what works
    for chain, tally in enumerate(tallies):
        assert (tally["status"], tally["orphans"]) == (0, 0)
        run = Run.open(tmp_path / f"run-{chain}")
        counts = written(run)
        assert len(counts) == PHOTOS // CHAINS
        assert set(counts.values()) == {1}
        summary = run.summary()
        assert (summary.done, summary.damaged, summary.unread) == (PHOTOS // CHAINS, 0, 0)
        alone = undisturbed(tmp_path / f"photos-{chain}", tmp_path / f"alone-{chain}")
        assert exported(run, FORMATS) == exported(alone, FORMATS)


def undisturbed(photos, out):
    with annotate(
        photos, "dog, red car: car, cat", detector=StubExpert(), out=out, device="cpu"
    ) as job:
        job.finish()
    return Run.open(out)
