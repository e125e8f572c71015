"""R8 through whole jobs: whatever an expert does to its process, that picture alone fails."""

import os

import numpy as np
import pytest
from exported import exported
from wild import install_wild

from groundplane.annotation.beginning import Handed, begin_job
from groundplane.annotation.prompts import read_prompts
from groundplane.annotation.run import Run
from groundplane.annotation.running import Running
from groundplane.annotation.sources import open_source
from groundplane.annotation.spec import JobSpec
from groundplane.testing.misbehaving import FATAL, MISBEHAVIOURS, well_behaved

LONG = "GROUNDPLANE_CASES" in os.environ
# Each that ends the process costs two starts of one, so the short form has one of them.
SHORT = ("crashes", "prints from below", "raises")
LATE = ("hangs", "blocks the interpreter")
FORMATS = ("coco", "csv", "yolo")


class Tame:
    """Answers as `wild` does where it does not misbehave, and raises where that fails."""

    vocabulary = None

    def __init__(self, guilty):
        self.guilty = guilty

    def detect(self, requests):
        if bad := [one for one in requests if one.image.source.name in self.guilty]:
            raise RuntimeError(bad[0].image.source.name)
        return [well_behaved(request) for request in requests]


Tame.__name__ = "wild"  # exports tell who found a region


def pictures_of(ways):
    """A picture for each way, each between two that nothing is wrong with."""
    names = [name for way in ways for name in (f"a {way}.png", f"bad/{way}.png", f"b {way}.png")]
    return [(n, np.full((20, 30, 3), i % 251, dtype=np.uint8)) for i, n in enumerate(names)]


def finished(pictures, out, running, detector=None):
    """The run of a job that went to its end."""
    spec = JobSpec(source="pictures", classes=read_prompts("cup, hat"), detector="wild")
    handed = Handed(detector=detector)
    with begin_job(spec, open_source(pictures), out=out, running=running, handed=handed) as job:
        assert job.finish().ended == "complete"
    return Run.open(out)


def check(ways, folder, running):
    """Run a job with experts apart; give its run."""
    pictures = pictures_of(ways)
    guilty = {f"bad/{way}.png": way for way in ways if way.says}
    run = finished(pictures, folder / "wild", running)
    tame = finished(pictures, folder / "tame", Running(device="cpu"), Tame(guilty))

    failed = dict(run.failures())
    assert set(failed) == set(guilty)
    for name, way in guilty.items():
        assert failed[name].stage == "detect"
        assert "detector 'wild'" in failed[name].message
        assert way.says in failed[name].message
    assert [record.path for record in run.records()] == sorted(name for name, _ in pictures)
    assert without(guilty, exported(run, FORMATS)) == without(guilty, exported(tame, FORMATS))
    return run


def without(guilty, files):
    """The lines of exports that tell of no guilty picture: those hold why it failed."""
    return {
        path: [line for line in data.decode().splitlines() if not any(n in line for n in guilty)]
        for path, data in files.items()
    }


@pytest.fixture
def wild(tmp_path, monkeypatch):
    install_wild(tmp_path / "site", monkeypatch)
    return tmp_path


def test_its_picture_fails_and_exports_are_those_of_an_expert_that_is_tame(wild, capfd, caplog):
    known = [*FATAL, *MISBEHAVIOURS]
    ways = [way for way in known if way.name in SHORT or (LONG and way.name not in LATE)]
    ways.sort(key=lambda way: bool(way.says))  # so that what prints comes before what ends it
    memory = 900 * 2**20 if LONG else None  # those that answer with a million boxes take half of it
    run = check(ways, wild, Running(device="cpu", batch=9, workers=1, memory=memory))

    printed = "loading weights ..."
    assert printed not in "".join(capfd.readouterr())
    assert printed in run.experts_log.read_text(errors="replace")
    if not LONG:
        assert f"signal SIGSEGV; it printed last: {printed}" in caplog.text


@pytest.mark.skipif(not LONG, reason="set GROUNDPLANE_CASES: takes the time of several deadlines")
def test_what_takes_for_ever_fails_within_the_deadline(wild):
    ways = [way for way in (*FATAL, *MISBEHAVIOURS) if way.name in LATE]
    check(ways, wild, Running(device="cpu", batch=2, workers=1, deadline=2.0))
