"""The folder of a run: begun, gone on with, shared with nobody, read while it is written."""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest
from runs import CLASSES, done, failed, frame_of, hashed, held, job, stamp_of, write_all

from groundplane.annotation.items import ItemEnd
from groundplane.annotation.log import Pace
from groundplane.annotation.run import Run
from groundplane.annotation.view import View
from groundplane.core.errors import InputError, OutputError
from groundplane.core.exporting import Records
from groundplane.testing.annotations import HOSTILE_NAMES, random_records
from groundplane.testing.exporters import record_differences


@pytest.fixture
def run(tmp_path):
    return Run.create(tmp_path / "run", job())


def paths(run):
    return [record.path for record in run.records()]


class TestRecords:
    def test_none_give_an_empty_run(self, run):
        assert list(run.records()) == []
        assert isinstance(run.records(), Records)
        assert (run.summary().done, run.summary().regions) == (0, 0)
        assert list(run.failures()) == []

    def test_they_come_by_path_whatever_the_order_of_writing(self, run):
        names = list(dict.fromkeys(HOSTILE_NAMES))
        random.Random(1).shuffle(names)
        write_all(run, [done(name) for name in names])
        assert paths(run) == sorted(names, key=lambda n: n.encode("utf-8", "surrogatepass"))
        assert len(run.records()) == len(names)

    def test_each_iteration_begins_anew(self, run):
        write_all(run, [done("a"), done("b")])
        records = run.records()
        assert [r.path for r in records] == [r.path for r in records] == ["a", "b"]

    def test_frames_come_by_their_index(self, run):
        numbers = [10, 2, 0, 100, 9]
        write_all(run, [done("w.mp4#x"), *(frame_of("w.mp4", i) for i in numbers), done("a")])
        assert paths(run) == ["a", "w.mp4#x", *(f"w.mp4#{i}" for i in sorted(numbers))]
        assert run.records().videos == ("w.mp4",)
        assert [r.path for r in run.records().of_video("w.mp4")] == paths(run)[2:]
        assert len(run.records().of_video("other.mp4")) == 0

    def test_a_picture_named_like_a_frame_is_another_picture(self, run):
        write_all(run, [frame_of("w.mp4", 7), done("w.mp4#7", version=3)])
        assert len(run.records()) == 2

    def test_the_last_version_counts(self, run):
        write_all(run, [done("a"), done("b")])
        write_all(run, [done("a", version=2)])
        assert [r.content_hash for r in run.records()] == [done("a", version=2).content_hash,
                                                           done("b").content_hash]  # fmt: skip

    def test_a_version_that_is_done_is_not_kept_twice(self, run):
        write_all(run, [done("a"), frame_of("v", 1)])
        size = (run.path / "records.log").stat().st_size
        write_all(run, [done("a"), frame_of("v", 1)])
        assert (run.path / "records.log").stat().st_size == size

    def test_frames_of_an_older_version_of_a_video_go(self, run):
        write_all(run, [frame_of("v", i) for i in range(5)])
        write_all(run, [frame_of("v", i, version=2) for i in range(2)])
        assert paths(run) == ["v#0", "v#1"]

    def test_a_video_that_was_replaced_by_one_that_fails_has_no_frames(self, run):
        write_all(run, [frame_of("v", i) for i in range(3)])
        write_all(run, [failed("v", version=2)])
        assert paths(run) == ["v"]

    def test_a_video_that_failed_and_then_went_well_is_no_failure(self, run):
        write_all(run, [frame_of("v", 0), failed("v")])
        assert [path for path, _ in run.failures()] == ["v"]
        with run.writer(retry_failed=True) as writer:
            assert not writer.is_done("v", stamp_of("v"))
            writer.write(frame_of("v", 1), stamp_of("v"))
            writer.write_end(ItemEnd(path="v", content_hash=hashed(("v", 1)), frames=2,
                                     stamp=stamp_of("v")))  # fmt: skip
        assert paths(run) == ["v#0", "v#1"]
        assert run.summary().failed == 0


class TestGoingOn:
    def test_what_is_done_is_known_by_mark_or_content(self, run):
        write_all(run, [done("a"), failed("b")])
        with run.writer() as writer:
            assert writer.is_done("a", stamp_of("a"))
            assert writer.is_done("a", (0, 0), done("a").content_hash)
            assert not writer.is_done("a", (0, 0), "other")
            assert not writer.is_done("c", stamp_of("c"))
            assert writer.is_done("b", stamp_of("b"))
            assert len(writer) == 2

    def test_a_new_mark_of_the_same_bytes_is_kept_once_and_changes_nothing_else(self, run):
        write_all(run, [done("a"), failed("b"), frame_of("v", 0), frame_of("v", 2)])
        before, log = held(run), run.path / "records.log"
        same = [("a", done("a")), ("b", failed("b")), ("v", frame_of("v", 0))]
        with run.writer() as writer:
            assert all(writer.touch(path, record.content_hash, (7, 7)) for path, record in same)
            size = log.stat().st_size
            assert not any(writer.touch(path, record.content_hash, (7, 7)) for path, record in same)
            assert not writer.touch("a", "other", (8, 8))
            assert not writer.touch("new", "other", (8, 8))
        assert log.stat().st_size == size
        with run.writer() as writer:
            assert writer.is_done("a", (7, 7))
            assert not writer.is_done("a", stamp_of("a"))
            assert writer.frames_done("v", (7, 7)) == b"\x05"
            assert writer.is_done("b", (7, 7))
            assert len(writer) == 4
        with run.writer(retry_failed=True) as writer:
            assert not writer.is_done("b", (7, 7))
        assert held(run) == before
        assert (run.summary().damaged, run.summary().failed) == (0, 1)

    def test_a_new_mark_in_a_shards_log_is_known_to_the_whole_run(self, run):
        write_all(run, [done("a"), done("b")])
        with run.writer(shard=1) as writer:
            assert writer.touch("a", done("a").content_hash, (7, 7))
            writer.write(done("b"), (8, 8))
        with run.writer() as writer:
            assert writer.is_done("a", (7, 7))
            assert writer.is_done("b", (8, 8))
        assert paths(run) == ["a", "b"]

    def test_a_new_mark_dies_with_the_version_that_had_it(self, run):
        write_all(run, [done("a")])
        with run.writer() as writer:
            writer.touch("a", done("a").content_hash, (7, 7))
            writer.write(done("a", version=2), (8, 8))
        with run.writer() as writer:
            assert not writer.is_done("a", (7, 7))
            assert writer.is_done("a", (8, 8))

    def test_what_failed_is_done_again_where_that_is_wanted(self, run):
        write_all(run, [done("a"), failed("b")])
        with run.writer(retry_failed=True) as writer:
            assert writer.is_done("a", stamp_of("a"))
            assert not writer.is_done("b", stamp_of("b"))
            writer.write(done("b"), stamp_of("b"))
        assert list(run.failures()) == []
        assert run.summary().done == 2

    def test_the_same_job_goes_on_and_another_is_refused_in_words(self, run):
        assert Run.resume(run.path, job()).key == run.key
        with pytest.raises(InputError, match=r"another job \(floor 0.1 -> 0.3\).*--new.*--out"):
            Run.resume(run.path, job(floor=0.3))

    def test_another_run_begins_beside(self, run):
        assert Run.create_beside(run.path, job(floor=0.3)).path.name == "run-2"
        assert Run.create_beside(run.path, job(floor=0.4)).path.name == "run-3"
        assert Run.create_beside(run.path.parent / "new", job()).path.name == "new"

    def test_a_torn_end_is_done_again(self, run):
        write_all(run, [done("a"), done("b")])
        log = run.path / "records.log"
        os.truncate(log, log.stat().st_size - 1)
        assert paths(run) == ["a"]
        assert run.summary().unread > 0
        with run.writer() as writer:
            assert writer.recovery.torn > 0
            assert not writer.is_done("b", stamp_of("b"))
            writer.write(done("b"), stamp_of("b"))
        assert paths(run) == ["a", "b"]
        assert run.summary().unread == 0

    def test_damage_costs_what_it_hits_and_is_told(self, run):
        write_all(run, [done("a"), done("b"), done("c")])
        log = run.path / "records.log"
        data = bytearray(log.read_bytes())
        data[data.index(b'["r","b"') + 3] ^= 1
        log.write_bytes(data)
        assert paths(run) == ["a", "c"]
        assert run.summary().damaged == 1
        with run.writer() as writer:
            assert not writer.is_done("b", stamp_of("b"))
            writer.write(done("b"), stamp_of("b"))
        assert paths(run) == ["a", "b", "c"]

    def test_a_clock_set_back_changes_nothing(self, run, monkeypatch):
        write_all(run, [done("a")])
        monkeypatch.setattr("time.time", lambda: 0.0)
        monkeypatch.setattr("time.localtime", lambda: (1970, 1, 1, 0, 0, 0, 3, 1, 0))
        write_all(run, [done("a", version=2), done("b")])
        assert next(r.content_hash for r in run.records()) == done("a", version=2).content_hash


class TestShards:
    def test_logs_of_shards_are_read_as_one(self, run):
        write_all(run, [done("b")])
        write_all(run, [done("c"), frame_of("v", 1)], shard=1)
        write_all(run, [done("a"), frame_of("v", 0)], shard=0)
        assert paths(run) == ["a", "b", "c", "v#0", "v#1"]
        with run.writer() as writer:
            assert all(writer.is_done(name, stamp_of(name)) for name in "abc")

    def test_a_shard_that_is_given_again_goes_on(self, run):
        write_all(run, [done("a")], shard=3)
        with run.writer(shard=3) as writer:
            assert writer.is_done("a", stamp_of("a"))

    def test_the_later_opening_counts_whichever_log_it_wrote(self, run):
        write_all(run, [done("x")], shard=5)
        write_all(run, [done("x", version=2)])
        write_all(run, [done("y", version=2)])
        write_all(run, [done("y", version=3)], shard=0)
        assert [r.content_hash for r in run.records()] == [
            done("x", version=2).content_hash, done("y", version=3).content_hash,
        ]  # fmt: skip

    def test_two_writers_of_one_shard_are_refused_and_of_two_are_not(self, run):
        refused = pytest.raises(OutputError, match="is being written")
        with run.writer(shard=0), run.writer(shard=1), run.writer(), refused:
            run.writer(shard=1)


class TestViews:
    def test_thresholds_are_set_without_a_model_and_the_last_hold(self, run):
        rows = [((0, 0, 9, 9), s, 1, 0, s > 0.5) for s in (0.2, 0.4, 0.6)]
        write_all(run, [done("a", rows=rows)])
        assert run.thresholds() == (None, 0.3, None)
        assert len(next(iter(run.records())).regions) == 2
        assert run.set_thresholds("puppy=0.5") == (None, 0.5, None)
        assert len(next(iter(run.records())).regions) == 1
        assert run.set_thresholds(0.15) == (0.15, 0.15, 0.15)
        assert len(next(iter(run.records())).regions) == 3
        assert run.set_thresholds(()) == (None, 0.3, None)
        assert len(next(iter(run.records(candidates=True))).regions) == 3
        assert Run.open(run.path).thresholds() == (None, 0.3, None)

    def test_a_threshold_below_the_floor_or_of_no_prompt_is_refused(self, run):
        with pytest.raises(InputError, match=r"less than 0.1 was not kept"):
            run.set_thresholds(0.05)
        with pytest.raises(InputError, match=r"pupy.*Did you mean 'puppy'"):
            run.set_thresholds({"pupy": 0.5})

    def test_a_view_of_ones_own(self, run):
        write_all(run, [done("a")])
        view = View(thresholds=(0.9, None, None))
        assert len(next(iter(run.records(view))).regions) == 0

    def test_tracks_are_laid_over_the_frames_and_replaced(self, run):
        write_all(run, [frame_of("v", 0), frame_of("v", 1), done("a")])
        assert [r.regions.track_ids for r in run.records()] == [None] * 3
        with run.writer() as writer:
            writer.write_tracks("v", {"v#0": {"r0": 7}})
        tracks = [r.regions.track_ids for r in run.records()]
        assert tracks[0] is None
        assert [t.tolist() for t in tracks[1:]] == [[7], [-1]]
        with run.writer() as writer:
            writer.write_tracks("v", {"v#0": {"r0": 8}, "v#1": {"r0": 8, "r9": 1}})
        assert [r.regions.track_ids.tolist() for r in run.records().of_video("v")] == [[8], [8]]


def test_a_summary_counts_what_the_view_has(run):
    unmapped = [((0, 0, 2, 2), 0.9, -1, -1, True)]
    records = [done("a"), done("b", rows=[]), failed("c"), failed("d", stage="read"),
               done("e", rows=unmapped), frame_of("v", 0), frame_of("v", 3)]  # fmt: skip
    write_all(run, records)
    summary = run.summary()
    assert (summary.done, summary.failed, summary.empty, summary.regions) == (5, 2, 1, 4)
    assert summary.classes == (("dog", 3), ("car", 0), ("", 1))
    assert summary.failures == (("decode", 1), ("read", 1))
    assert summary.videos == (("v", 2),)
    assert summary.num_bytes == (run.path / "records.log").stat().st_size
    assert json.loads(json.dumps(summary.record()))["classes"] == {"dog": 3, "car": 0, "": 1}
    assert [(path, f.stage) for path, f in run.failures()] == [("c", "decode"), ("d", "read")]


class TestFolders:
    def test_what_is_no_run_is_refused(self, tmp_path):
        (tmp_path / "file").write_text("x")
        for name in ("nowhere", "file", "."):
            with pytest.raises(InputError, match=r"is no run.*groundplane annotate"):
                Run.open(tmp_path / name)

    def test_a_folder_with_other_files_is_refused_and_left_alone(self, tmp_path):
        (tmp_path / "photo.jpg").write_text("x")
        with pytest.raises(InputError, match=r"holds other files \(photo.jpg\)"):
            Run.create(tmp_path, job())
        assert os.listdir(tmp_path) == ["photo.jpg"]

    def test_a_file_is_no_folder(self, tmp_path):
        (tmp_path / "file").write_text("x")
        with pytest.raises(OutputError, match="no folder to write to"):
            Run.create(tmp_path / "file", job())
        with pytest.raises(OutputError, match="cannot begin a run"):
            Run.create(tmp_path / "file" / "below", job())

    def test_a_run_is_not_begun_twice(self, run):
        with pytest.raises(InputError, match="holds a run already"):
            Run.create(run.path, job())

    def test_an_empty_folder_and_one_of_any_depth_will_do(self, tmp_path):
        (tmp_path / "empty").mkdir()
        assert Run.create(tmp_path / "empty", job()).spec == job()
        assert Run.create(tmp_path / "a" / "b" / "c\n🐕", job()).spec.classes == CLASSES

    def test_a_manifest_without_a_log_is_refused(self, run):
        (run.path / "records.log").unlink()
        with pytest.raises(InputError, match=r"records.log is gone"):
            Run.open(run.path)

    def test_a_log_without_a_manifest_is_refused(self, run):
        write_all(run, [done("a")])
        (run.path / "manifest.json").unlink()
        with pytest.raises(InputError, match="is no run"):
            Run.open(run.path)
        with pytest.raises(InputError, match=r"a log but no manifest.json"):
            Run.create(run.path, job())

    def test_the_log_of_another_run_is_refused(self, run, tmp_path):
        other = Run.create(tmp_path / "other", job())
        write_all(other, [done("a")])
        os.replace(other.path / "records.log", run.path / "records.log")
        for use in (run.summary, run.writer, run.records):
            with pytest.raises(InputError, match="another run"):
                use()

    def test_a_newer_run_is_refused(self, run):
        manifest = run.path / "manifest.json"
        document = json.loads(manifest.read_bytes()) | {"groundplane_run": 2}
        manifest.write_text(json.dumps(document))
        with pytest.raises(InputError, match=r"format 2.*Install the version"):
            Run.open(run.path)

    def test_a_folder_that_may_not_be_written_is_told_and_can_be_read(self):
        with tempfile.TemporaryDirectory() as folder:
            os.chmod(folder, 0o755)
            run = Run.create(Path(folder) / "run", job())
            write_all(run, [done("a")])
            for path in (run.path, *run.path.iterdir()):
                path.chmod(0o555)
            out = python(f"""
                import os
                from groundplane.annotation.run import Run
                from groundplane.core.errors import OutputError
                if os.geteuid() == 0:
                    os.setuid(65534)
                run = Run.open({str(run.path)!r})
                print([record.path for record in run.records()])
                try:
                    run.writer()
                except OutputError as error:
                    print(error)
            """)
            run.path.chmod(0o755)
        assert out.splitlines()[0] == "['a']"
        assert "Permission denied" in out


def python(code, **terms):
    done_ = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True,
        timeout=60, **terms,
    )  # fmt: skip
    return done_.stdout


HOLDER = """
    import sys, time
    sys.path[:0] = {support!r}
    from groundplane.annotation.run import Run
    from runs import done, stamp_of
    with Run.open({path!r}).writer() as writer:
        writer.write(done("a"), stamp_of("a"))
        writer.sync()
        print("held", flush=True)
        time.sleep(60)
"""


@pytest.fixture
def holder(run):
    support = [path for path in sys.path if path.endswith("support")]
    code = textwrap.dedent(HOLDER.format(support=support, path=str(run.path)))
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


class TestTwoProcesses:
    def test_a_second_writer_is_refused_by_name_and_a_reader_is_not(self, run, holder):
        with pytest.raises(OutputError, match=f"process {holder.pid} on .* since"):
            run.writer()
        with pytest.raises(OutputError, match="is being written"):
            run.set_thresholds(0.5)
        assert paths(run) == ["a"]
        assert run.summary().done == 1

    def test_a_dead_writer_is_no_obstacle(self, run, holder):
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        with run.writer() as writer:
            assert writer.is_done("a", stamp_of("a"))

    def test_a_second_writer_of_this_process_is_refused_too(self, run):
        with run.writer(), pytest.raises(OutputError, match=f"process {os.getpid()}"):
            run.writer()
        run.writer().close()


def test_a_reader_sees_whole_records_only_while_another_writes(run):
    with run.writer(pace=Pace(records=2)) as writer:
        for i in range(30):
            writer.write(done(f"{i:02}"), (1, i))
            assert len(run.records()) == i + 1
        listed = run.records()
        writer.write(done("zz"), (1, 1))
        assert len(list(listed)) == 30


def test_nothing_is_written_by_a_session_without_records(run):
    write_all(run, [done("a")])
    data = (run.path / "records.log").read_bytes()
    with run.writer() as writer:
        assert writer.is_done("a", stamp_of("a"))
    assert (run.path / "records.log").read_bytes() == data


def test_records_return_as_they_were_written(run):
    record = done("a")
    write_all(run, [record])
    (back,) = run.records()
    assert record_differences(record, back) == []
    assert held(run) == held(Run.open(run.path))


def test_a_run_is_read_without_torch():
    out = python("""
        import sys
        import groundplane.annotation.run, groundplane.annotation.comparing
        print({"torch", "scipy", "PIL", "cv2"} & set(sys.modules))
    """)
    assert out == "set()\n"


@pytest.mark.parametrize("seed", range(4))
def test_generated_records_return_from_a_run(tmp_path, seed):
    made = random_records(seed, num=40)
    run = Run.create(tmp_path / "run", job(classes=made.classes, merge=None))
    # The content of a frame is that of its video; the others would be of older versions of it.
    records = [r if r.frame is None else replace(r, content_hash="video") for r in made]
    write_all(run, records)
    view = View(thresholds=(None,) * len(made.classes.prompts), candidates=True)
    back = {record.path: record for record in run.records(view)}
    assert len(run.records()) == len(made) == len(back)
    same = {"kept", "outcomes"}  # these a view decides
    assert all(set(record_differences(r, back[r.path])) <= same for r in records)
