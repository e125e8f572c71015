"""A job on Ray gives what one machine gives, though a process of it is killed in the middle."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from groundplane.annotation.beginning import begin_job
from groundplane.annotation.events import Finished, Progress, Started
from groundplane.annotation.exporting import ExportRequest, export_records
from groundplane.annotation.locks import LockedError
from groundplane.annotation.prompts import read_prompts
from groundplane.annotation.ray import driver
from groundplane.annotation.ray import worker as ray_worker
from groundplane.annotation.ray.driver import RayTerms, annotate_on_ray
from groundplane.annotation.ray.shards import count_try
from groundplane.annotation.ray.worker import ShardJob, ShardWorker
from groundplane.annotation.run import Run
from groundplane.annotation.running import Running
from groundplane.annotation.sources import open_source
from groundplane.annotation.spec import JobSpec
from groundplane.core.errors import DetectorError, InputError

pytest.importorskip("ray")
# Ray warns of its own settings.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

RUNNING = Running(device="cpu", batch=4, workers=1)
COPIES = 2


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Pictures of COCO in several folders, one of them broken, and what is known of them."""
    data = Path(__file__).resolve().parents[3] / ".." / "shared" / "data" / "coco"
    if not data.is_dir():
        pytest.skip("needs the folder ../shared/data, which is not here")
    folder = tmp_path_factory.mktemp("photos")
    for copy in range(COPIES):
        shutil.copytree(data / "images", folder / f"part {copy}")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8no")
    return folder, data / "instances.json"


@pytest.fixture
def cluster():
    """Ray on this machine alone; its processes end with the test."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray

    ray.init(
        num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False,
        _node_ip_address="127.0.0.1", object_store_memory=80_000_000,
    )  # fmt: skip
    yield
    ray.shutdown()


def spec_of(photos):
    folder, truth = photos
    return JobSpec(
        source=str(folder),
        classes=read_prompts("person, dog, car, chair: seat, couch: seat"),
        detector="coco-file",
        options=(("annotations", str(truth)),),
    )


def exported(run, folder):
    """The bytes of all files of two exports."""
    for name in ("coco", "yolo"):
        request = ExportRequest(format=name, folder=folder / name, classes=run.spec.classes)
        export_records(run.records(), request)
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def alone(photos, tmp_path_factory):
    """The exports of the same job on one machine."""
    place = tmp_path_factory.mktemp("alone")
    with begin_job(
        spec_of(photos), open_source(photos[0]), out=place / "run", running=RUNNING
    ) as job:
        job.finish()
    return exported(Run.open(place / "run"), place / "exports")


def descendants(pid):
    """All processes below one, by the tree that the system tells."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                parents[int(entry.name)] = int(
                    (entry / "stat").read_text().rpartition(")")[2].split()[1]
                )
            except OSError:
                continue  # it has just ended
    found, todo = set(), {pid}
    while todo:
        todo = {child for child, parent in parents.items() if parent in todo} - found
        found |= todo
    return found


def annotators():
    """Our actors of this Ray, as they name themselves."""
    found = []
    for pid in descendants(os.getpid()):
        try:
            name = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if name.startswith(b"ray::") and b"MapBatches" in name:
            found.append(pid)
    return found


@contextmanager
def killer(run, *, after):
    """Kill one actor as soon as the shards' logs hold so many bytes; what was killed."""
    killed, over = [], threading.Event()

    def watch():
        while not over.is_set() and not killed:
            size = sum(log.stat().st_size for log in (run / "shards").glob("*.log"))
            busy = annotators() if size >= after else []
            if busy:
                os.kill(busy[0], signal.SIGKILL)
                killed.append(busy[0])
            time.sleep(0.005)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_actor_that_is_killed_loses_and_doubles_nothing(photos, alone, tmp_path):
    run = Run.create(tmp_path / "run", spec_of(photos))
    terms = RayTerms(actors=1, num_shards=3)
    with killer(run.path, after=12_000) as killed:
        told = list(annotate_on_ray(run, open_source(photos[0]), terms=terms, running=RUNNING))

    assert killed
    assert isinstance(told[0], Started)
    assert sum(isinstance(word, Progress) for word in told) == 3
    summary = told[-1].summary
    assert isinstance(told[-1], Finished)
    assert summary.ended == "complete"
    assert summary.done + summary.failed == summary.total == 36 * COPIES + 1
    assert len(list((run.path / "shards").glob("*.log"))) == 3
    records = [record.path for record in run.records()]
    assert len(records) == len(set(records)) == 36 * COPIES + 1
    assert exported(run, tmp_path / "exports") == alone


def test_second_call_has_nothing_to_do_and_other_shards_double_nothing(
    photos, alone, tmp_path, monkeypatch
):
    run = Run.create(tmp_path / "run", spec_of(photos))
    source = open_source(photos[0])
    here = replace(RUNNING, apart=False)
    worker = ShardWorker(ShardJob(run=str(run.path), key=run.key.hex(), running=here))

    def rows(_, job, shards, *, terms):
        """What Ray does, without Ray: the shards one after another in this process."""
        for shard in shards:
            told = worker({"shard": [shard]})
            yield {name: column[0] for name, column in told.items()}

    monkeypatch.setattr(driver, "_rows", rows)
    monkeypatch.setattr(driver, "_cluster", lambda *_: nullcontext())
    part = replace(RUNNING, limit=40)
    try:
        told = [
            list(annotate_on_ray(run, source, terms=RayTerms(num_shards=n), running=running))
            for n, running in ((1, part), (2, RUNNING), (5, RUNNING))
        ]
    finally:
        worker.close()

    summaries = [words[-1].summary for words in told]
    assert [summary.skipped for summary in summaries] == [0, 40, 36 * COPIES + 1]
    assert [summary.failed for summary in summaries] == [1, 0, 0]
    assert summaries[2].done == 0
    assert summaries[1].stages["detect"] > 0
    assert exported(run, tmp_path / "exports") == alone


def test_more_failures_than_allowed_end_the_job(photos, tmp_path, monkeypatch):
    run = Run.create(tmp_path / "run", spec_of(photos))
    row = {"done": 3, "skipped": 0, "failed": 2, "regions": 1, "stages": {}}
    monkeypatch.setattr(driver, "_rows", lambda *_, **__: iter([row, row, row]))
    monkeypatch.setattr(driver, "_cluster", lambda *_: nullcontext())
    few = replace(RUNNING, max_failures=3)
    told = list(
        annotate_on_ray(run, open_source(photos[0]), terms=RayTerms(num_shards=4), running=few)
    )
    assert told[-1].summary.ended == "failures"
    assert told[-1].summary.failed == 4


def test_shard_whose_log_is_locked_waits_for_it(photos, tmp_path, monkeypatch):
    run = Run.create(tmp_path / "run", spec_of(photos))
    worker = ShardWorker(ShardJob(run=str(run.path), key=run.key.hex(), running=RUNNING))
    monkeypatch.setattr(ray_worker, "_PAUSE", 0.01)
    holder = run.writer(shard=2)
    timer = threading.Timer(0.2, holder.close)
    timer.start()
    worker._writer(run, 2).close()
    timer.join()
    monkeypatch.setattr(ray_worker, "_PATIENCE", 0.0)
    with run.writer(shard=2), pytest.raises(LockedError, match=f"process {os.getpid()}"):
        worker._writer(run, 2)


def test_shard_that_ends_its_process_again_and_again_ends_the_job(photos, tmp_path):
    run = Run.create(tmp_path / "run", spec_of(photos))
    (run.path / "shards").mkdir()
    for _ in range(ray_worker._TRIES):
        count_try(run.path / "shards", 0)
    worker = ShardWorker(ShardJob(run=str(run.path), key=run.key.hex(), running=RUNNING))
    with pytest.raises(DetectorError, match="died 4 times over shard 0"):
        worker.annotate(0)


def test_interrupt_says_how_to_go_on(photos, tmp_path, monkeypatch):
    run = Run.create(tmp_path / "run", spec_of(photos))

    def rows(*_, **__):
        yield {"done": 3, "skipped": 0, "failed": 0, "regions": 1, "stages": {"detect": 0.5}}
        raise KeyboardInterrupt

    monkeypatch.setattr(driver, "_rows", rows)
    monkeypatch.setattr(driver, "_cluster", lambda *_: nullcontext())
    told = list(annotate_on_ray(run, open_source(photos[0]), terms=RayTerms()))
    summary = told[-1].summary
    assert (summary.ended, summary.done, summary.stages) == ("stopped", 3, {"detect": 0.5})
    assert "the same call goes on" in summary.hint
    with run.writer():
        pass  # the lock is free


@pytest.mark.parametrize("wrapped", [True, False])
def test_our_own_error_is_found_behind_one_of_ray(wrapped):
    ours = InputError("no such class")
    outer = RuntimeError("task\nfailed")
    if wrapped:
        outer.cause = ours
    found = driver._cause(outer)
    assert found is ours if wrapped else str(found) == "ray: task failed"


def test_objects_and_a_run_that_a_machine_does_not_see_are_refused(photos, tmp_path):
    spec = spec_of(photos)
    run = Run.create(tmp_path / "run", spec)
    held = open_source([("a.jpg", b"\xff\xd8")])
    with pytest.raises(InputError, match="object of this program"):
        list(annotate_on_ray(run, held, terms=RayTerms()))
    with pytest.raises(InputError, match="does not see this run"):
        ShardWorker(ShardJob(run=str(run.path), key="00" * 16, running=RUNNING))


@pytest.mark.parametrize(
    "wrong", [{"actors": 0}, {"num_shards": 0}, {"cpus": -1.0}, {"gpus": float("nan")}]
)
def test_terms_out_of_range_are_refused(wrong):
    with pytest.raises(InputError, match=f"expected {next(iter(wrong))}"):
        RayTerms(**wrong)


def test_package_imports_no_ray():
    code = "import sys, groundplane.annotation.ray.driver; print('ray' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
