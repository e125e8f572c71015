"""What a source was opened with is part of the job: it is kept, compared, and used again later."""

import csv
import functools
import http.server
import os
import threading

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from clips import noise, write_clip
from exported import exported
from stub_expert import StubExpert
from tiny_photos import make_photos, tiny_jpeg

from groundplane.annotating import annotate
from groundplane.annotation.run import Run
from groundplane.core.errors import InputError


@pytest.fixture
def two_columns(tmp_path):
    """A table of which nobody can tell which column has the pictures."""
    one, other = [tiny_jpeg(n, (20, 10)) for n in (1, 2)], [tiny_jpeg(n, (16, 8)) for n in (3, 4)]
    pq.write_table(pa.table({"left": one, "right": other}), tmp_path / "a.parquet")
    return tmp_path / "a.parquet"


@pytest.fixture
def site(tmp_path):
    """The address of a server of two pictures."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    make_photos(tmp_path / "site", 2)
    handler = functools.partial(Quiet, directory=str(tmp_path / "site"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def finished(images, out, **details):
    details = {"detector": StubExpert(), "device": "cpu", "workers": 1} | details
    with annotate(images, "dog", out=out, **details) as job:
        job.finish()
        return job


def test_a_column_is_kept_and_an_export_reads_from_it(two_columns, tmp_path):
    with pytest.raises(InputError, match="which column"):
        finished(two_columns, tmp_path / "run")
    job = finished(two_columns, tmp_path / "run", column="right")
    job.export("voc")

    assert {record.size for record in Run.open(tmp_path / "run").records()} == {(16, 8)}
    written = sorted((tmp_path / "run/exports/voc").rglob("*.jpg"))
    assert [file.read_bytes() for file in written] == [tiny_jpeg(n, (16, 8)) for n in (3, 4)]
    with pytest.raises(InputError, match="column right -> left"):
        finished(two_columns, tmp_path / "run", column="left")


def test_a_column_holds_for_tables_that_a_program_names(two_columns):
    with annotate([two_columns], "dog", detector=StubExpert(), workers=1, column="left") as job:
        assert {record.size for record in job} == {(20, 10)}


def test_the_web_is_read_where_that_is_allowed_and_only_there(site, tmp_path):
    (tmp_path / "list.txt").write_text(f"{site}/000/00000.jpg\n{site}/000/00001.jpg\n")
    refused = finished(tmp_path / "list.txt", tmp_path / "refused")
    assert (refused.summary.done, refused.summary.failed) == (0, 2)
    assert "address of the web" in next(refused.run.failures())[1].message

    job = finished(tmp_path / "list.txt", tmp_path / "run", http=True)
    assert (job.summary.done, job.summary.failed) == (2, 0)
    job.export("voc")
    written = sorted((tmp_path / "run/exports/voc").rglob("*.jpg"))
    assert [file.read_bytes()[:2] for file in written] == [b"\xff\xd8"] * 2
    with pytest.raises(InputError, match="http True -> False"):
        finished(tmp_path / "list.txt", tmp_path / "run")


def test_the_command_takes_and_keeps_both(site, tmp_path, monkeypatch, capsys):
    from groundplane.apps.entry import main

    def call(*arguments):
        monkeypatch.setattr("sys.argv", ["groundplane", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code or 0, *capsys.readouterr()

    rows = [("photo", "no"), (f"{site}/000/00000.jpg", "x"), (f"{site}/000/00001.jpg", "y")]
    with (tmp_path / "list.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    same = ("annotate", tmp_path / "list.csv", "--find", "face", "--detector", "opencv")
    same = (*same, "--in-process", "--workers", 1, "--quiet", "--out", tmp_path / "run")
    code, _, err = call(*same)
    assert (code, "expected a column 'path'" in err) == (2, True)
    code, told, err = call(*same, "--column", "photo", "--allow-http")
    assert (code, err) == (0, "")
    assert "2 pictures annotated" in told
    spec = Run.open(tmp_path / "run").spec
    assert (spec.column, spec.http) == ("photo", True)
    assert call("export", tmp_path / "run", "--format", "voc")[0] == 0
    assert call("show", tmp_path / "run")[0] == 0
    assert len(list((tmp_path / "run/page").glob("pictures/*/*.jpg"))) == 2
    code, _, err = call(*same, "--column", "photo")
    assert (code, "http True -> False" in err) == (2, True)


# Tables in a store ----------------------------------------------------------------------------


def test_a_table_in_a_store_is_annotated_as_one_on_disk_is(two_columns, tmp_path):
    near = finished(two_columns, tmp_path / "near", column="left")
    far = finished(f"file://{two_columns}", tmp_path / "far", column="left")
    far.export("voc")

    assert far.summary.done == near.summary.done == 2
    assert [(r.path, r.content_hash) for r in far.run.records()] == [
        (r.path, r.content_hash) for r in near.run.records()
    ]
    assert finished(f"file://{two_columns}", tmp_path / "far", column="left").summary.skipped == 2


# Files with another date -----------------------------------------------------------------------


def test_what_was_only_touched_is_read_once_more_and_then_known(tmp_path):
    photos, looked = make_photos(tmp_path / "photos", 4), []

    class Watching(StubExpert):
        def detect(self, images, *arguments, **options):
            looked.extend(images)
            return super().detect(images, *arguments, **options)

    write_clip(photos / "walk.mkv", noise(6))
    (photos / "broken.jpg").write_bytes(b"\xff\xd8 and no more")

    def go():
        return finished(photos, tmp_path / "run", detector=Watching())

    assert (go().summary.done, len(looked)) == (10, 10)
    before, size = exported(Run.open(tmp_path / "run"), ("csv", "coco")), _log_size(tmp_path)
    for file in photos.rglob("*.*"):
        os.utime(file, ns=(10**18, 10**18))

    once = go()
    assert once.summary.stages["decode"] > 0
    assert (once.summary.skipped, once.summary.done, once.summary.failed) == (6, 0, 0)
    assert size < _log_size(tmp_path) < size + 6 * 250
    size = _log_size(tmp_path)
    again = go()
    assert again.summary.stages.get("decode", 0) == 0
    assert (again.summary.skipped, len(looked)) == (6, 10)
    assert _log_size(tmp_path) == size
    assert exported(again.run, ("csv", "coco")) == before


def test_a_video_that_was_begun_and_touched_goes_on_where_it_ended(tmp_path):
    write_clip(tmp_path / "walk.mkv", noise(40))
    same = {"detector": StubExpert(), "out": tmp_path / "run", "workers": 1, "batch": 1}
    with annotate(tmp_path / "walk.mkv", "dog", **same) as job:
        done = [record.path for record, _ in zip(job, range(3), strict=False)]
    os.utime(tmp_path / "walk.mkv", ns=(10**18, 10**18))
    with annotate(tmp_path / "walk.mkv", "dog", **same) as job:
        rest = [record.path for record in job]

    assert not set(done) & set(rest)
    assert len(job.run.records()) == 40


def _log_size(folder):
    return (folder / "run/records.log").stat().st_size
