"""Death at every step, errors at every call, power lost at any moment: nothing synced is lost.

Long form: with GROUNDPLANE_CASES=2000 so many states after a power failure are tried, a third as
many pairs of deaths, and each error at each call; the short one tries each error at some.
"""

import errno
import math
import os
import random
import subprocess

import pytest
from runs import done, failed, held, job, stamp_of

from groundplane.annotation.log import Pace
from groundplane.annotation.run import Run
from groundplane.core.errors import GroundplaneError, OutputError
from groundplane.testing.disks import FaultyDisk, PowerLossDisk, ProcessDeathError

CASES = int(os.environ.get("GROUNDPLANE_CASES", "60"))
PACE = Pace(records=2, seconds=math.inf)
RECORDS = [failed(f"{i}.jpg") if i == 2 else done(f"{i}.jpg") for i in range(5)]
ERRORS = ["ENOSPC", "EIO", "EMFILE", "EACCES", "EROFS", "ENOENT"]


def begin_or_go_on(folder, disk):
    make = Run.resume if Run.exists(folder) else Run.create
    return make(folder, job(), disk=disk)


def work(folder, disk, *, told=None):
    """Annotate what is not done, as a job does, and note each path whose record is safe."""
    run = begin_or_go_on(folder, disk)
    with run.writer(pace=PACE) as writer:
        written = []
        for record in RECORDS:
            if not writer.is_done(record.path, stamp_of(record.path)):
                writer.write(record, stamp_of(record.path))
                written.append(record.path)
            if told is not None:
                # The first entry of a session says that it was opened.
                safe = writer.num_safe - writer.recovery.num_records - 1
                told.append(set(written[: max(safe, 0)]))
        writer.sync()
        if told is not None:
            told.append(set(written))
    return run


def die(folder, at):
    """Run until a step at which the process dies; whether it came to that."""
    disk = FaultyDisk(at=at)
    try:
        work(folder, disk)
    except ProcessDeathError:
        return True
    finally:
        disk.bury()
    return False


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    return held(work(folder, FaultyDisk()))


def assert_completes(folder, undisturbed):
    disk = FaultyDisk()
    run = work(folder, disk)
    assert held(run) == undisturbed
    summary = run.summary()
    assert (summary.done, summary.failed) == (4, 1)
    assert (summary.damaged, summary.unread) == (0, 0)
    return run


def test_after_death_at_any_step_the_same_call_completes_the_run(tmp_path, undisturbed):
    at, deaths = 0, 0
    while True:
        at += 1
        folder = tmp_path / f"{at}"
        if not die(folder, at):
            break
        deaths += 1
        assert_completes(folder, undisturbed)
    assert deaths > 30


def test_after_two_deaths_the_same_call_completes_the_run(tmp_path, undisturbed):
    steps = FaultyDisk()
    work(tmp_path / "count", steps)
    chance = random.Random(1)
    pairs = [(a, b) for a in range(1, steps.calls + 1) for b in range(1, steps.calls + 1)]
    for first, second in chance.sample(pairs, min(len(pairs), CASES // 3)):
        folder = tmp_path / f"{first}-{second}"
        assert die(folder, first)
        die(folder, second)
        assert_completes(folder, undisturbed)


def refusal(folder, disk, told):
    """Run, and give what was said where it could not go on."""
    try:
        work(folder, disk, told=told)
    except GroundplaneError as error:
        return str(error)
    finally:
        disk.bury()
    return None


@pytest.mark.parametrize("name", ERRORS)
@pytest.mark.parametrize("lasting", [False, True], ids=["once", "from then on"])
def test_an_error_at_any_call_is_told_and_loses_nothing(tmp_path, undisturbed, name, lasting):
    stride = 1 if CASES >= 2000 else len(ERRORS)
    at = ERRORS.index(name) + 1 - stride if stride > 1 else 0
    while True:
        at += stride
        folder, told = tmp_path / f"{at}", []
        disk = FaultyDisk(at=at, error=getattr(errno, name), lasting=lasting)
        said = refusal(folder, disk, told)
        if not disk.has_failed:
            break
        assert said is None or (os.strerror(getattr(errno, name)) in said and "\n" not in said)
        if told and Run.exists(folder):
            there = {row[0] for row in held(Run.open(folder))}
            assert told[-1] <= there
        assert_completes(folder, undisturbed)
    assert at > 30


def test_a_checker_of_what_is_safe_sees_a_loss(tmp_path):
    told = []
    run = work(tmp_path / "run", FaultyDisk(), told=told)
    os.truncate(tmp_path / "run" / "records.log", 200)
    assert not told[-1] <= {row[0] for row in held(run)}


def test_what_was_synced_outlives_a_power_failure_at_any_moment(tmp_path, undisturbed):
    folder = tmp_path / "run"
    disk = PowerLossDisk(folder)
    promised = []  # after so many steps these are safe
    run = Run.create(folder, job(), disk=disk)
    promised.append((disk.num_steps, set()))
    for part in (RECORDS[:3], RECORDS[3:]):
        with run.writer(pace=PACE) as writer:
            before = promised[-1][1]
            for i, record in enumerate(part):
                writer.write(record, stamp_of(record.path))
                safe = writer.num_safe - writer.recovery.num_records - 1
                paths = {r.path for r in part[: min(max(safe, 0), i + 1)]}
                promised.append((disk.num_steps, before | paths))
        promised.append((disk.num_steps, before | {r.path for r in part}))
    chance = random.Random(11)
    lost = torn = 0
    for case in range(CASES):
        step = chance.randint(0, disk.num_steps)
        state = tmp_path / f"state{case}"
        disk.after_failure(step, chance, into=state)
        promises = [paths for steps, paths in promised if steps <= step]
        if promises:
            assert Run.exists(state)
            there = {row[0] for row in held(Run.open(state))}
            assert promises[-1] <= there
            lost += len(there) < 5
            with Run.open(state, disk=FaultyDisk()).writer() as writer:
                torn += writer.recovery.torn > 0
        again = work(state, FaultyDisk())
        assert held(again) == undisturbed
    assert lost > CASES / 10
    assert torn > CASES / 20


def test_the_model_of_power_loss_loses_what_is_not_synced(tmp_path):
    folder = tmp_path / "run"
    disk = PowerLossDisk(folder)
    run = Run.create(folder, job(), disk=disk)
    with run.writer(pace=Pace(records=10**6, seconds=math.inf)) as writer:
        for record in RECORDS:
            writer.write(record, stamp_of(record.path))
        steps = disk.num_steps
    kept = set()
    for case in range(40):
        disk.after_failure(steps, random.Random(case), into=tmp_path / f"{case}")
        kept.add(len(held(Run.open(tmp_path / f"{case}"))))
    assert {0, 5} < kept


def test_a_disk_that_is_really_full_loses_nothing(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("needs to mount a file system")
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)], check=False,
        capture_output=True,
    )  # fmt: skip
    if mounted.returncode:
        pytest.skip("may not mount a file system")
    try:
        run = Run.create(small / "run", job())
        written = []
        with run.writer() as writer:
            said = ""
            while not said:
                path = f"{len(written)}.jpg"
                try:
                    writer.write(done(path), (1, len(written)))
                    written.append(path)
                except OutputError as error:
                    said = str(error)
        assert "No space left" in said
        assert "records are safe" in said
        assert {row[0] for row in held(run)} == set(written)
        subprocess.run(["mount", "-o", "remount,size=8m", str(small)], check=True)
        with run.writer() as writer:
            assert all(writer.is_done(path, (1, i)) for i, path in enumerate(written))
            writer.write(done("more.jpg"), (1, 1))
        assert len(run.records()) == len(written) + 1
    finally:
        subprocess.run(["umount", str(small)], check=True)
