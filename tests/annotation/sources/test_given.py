"""What a program hands over, addresses, and reading the pictures of records again."""

from __future__ import annotations

import hashlib
import io
import os

import fsspec
import numpy as np
import pytest
from clips import noise, write_clip
from decoding import outcomes
from pictures import encode_picture, make_png
from PIL import Image as PILImage

from groundplane.annotation.decoding import DecodePool
from groundplane.annotation.items import Picture
from groundplane.annotation.sources import RecordReader, open_source
from groundplane.core.annotation import AnnotationRecord, VideoFrame
from groundplane.core.errors import InputError, MediaError

_PNG = make_png((2, 2), raw=bytes(14))


def _paths(source):
    return [item.path for item in source.items()]


# Handed over by a program ----------------------------------------------------------------------


def test_pictures_of_every_form_are_items(tmp_path):
    (tmp_path / "a.png").write_bytes(_PNG)
    pixels = np.zeros((2, 2, 3), dtype=np.uint8)
    given = [
        tmp_path / "a.png", str(tmp_path / "a.png"), os.fsencode(tmp_path / "a.png").decode(),
        _PNG, pixels, PILImage.fromarray(pixels), ("named", _PNG), ("named", pixels),
        ("path", tmp_path / "a.png"),
    ]  # fmt: skip
    source = open_source(given)
    expected = [
        "a.png", "a (2).png", "a (3).png", "picture-000003", "picture-000004", "picture-000005",
        "named", "named (2)", "path",
    ]  # fmt: skip
    assert _paths(source) == expected
    assert source.count() == 9
    assert len(list(source.items())) == 9  # a second time
    with DecodePool(1, slots=4) as pool:
        got = outcomes(pool, source.items())
    assert set(got) == set(expected)
    assert all(isinstance(results[0][0], Picture) for results in got.values())


@pytest.mark.parametrize("one", [_PNG, np.zeros((2, 2), np.uint8), ("x", _PNG)])
def test_one_picture_alone_is_a_source(one):
    assert len(_paths(open_source(one))) == 1


def test_a_mapping_gives_names(tmp_path):
    assert _paths(open_source({"one": _PNG, "two": np.zeros((2, 2), np.uint8)})) == ["one", "two"]


def test_an_iterator_is_listed_as_it_comes_and_once():
    taken = []

    def pictures():
        for number in range(3):
            taken.append(number)
            yield _PNG

    source = open_source(pictures())
    items = source.items()
    next(items)
    assert taken == [0]
    assert source.count() is None
    assert len(list(items)) == 2
    with pytest.raises(InputError, match="at its end"):
        list(source.items())


def test_paths_are_named_below_their_common_folder(tmp_path):
    given = [tmp_path / "a" / "1.jpg", tmp_path / "b" / "1.jpg", tmp_path / "b" / "c" / "2.mp4"]
    assert _paths(open_source(given)) == ["a/1.jpg", "b/1.jpg", "b/c/2.mp4"]
    assert _paths(open_source(iter(given)))[0] == str(given[0]).lstrip("/")


@pytest.mark.parametrize(
    "wrong", [3, None, [3], [("a", 3)], [("a", "b", "c")], [(1, _PNG)], [[_PNG]]]
)
def test_what_is_no_picture_is_refused(wrong, unchecked):
    with pytest.raises(InputError, match=r"source|picture 0"):
        list(open_source(wrong).items())


def test_nothing_at_all_is_refused():
    with pytest.raises(MediaError, match="holds no picture"):
        list(open_source([]).items())


def test_a_broken_pillow_picture_is_a_fault():
    data = encode_picture(PILImage.effect_noise((64, 64), 50), "PNG")
    [item] = open_source([PILImage.open(io.BytesIO(data[:2000]))]).items()
    assert item.kind == "fault"
    assert "cut off" in item.where["message"]


# Addresses -------------------------------------------------------------------------------------


@pytest.fixture
def store():
    files = fsspec.filesystem("memory")
    for name in ("b.jpg", "a/1.png", "a/deep/2.png", "a/notes.txt", ".hidden/3.png", "c.mp4"):
        files.pipe_file(f"/photos/{name}", _PNG)
    yield files
    files.rm("/photos", recursive=True)


def test_a_store_is_listed_and_read(store):
    source = open_source("memory://photos")
    items = list(source.items())
    assert [item.path for item in items] == ["b.jpg", "c.mp4", "a/1.png", "a/deep/2.png"]
    assert source.tally.told() == "3 pictures, 1 video; left out: 1 .txt, 1 hidden"
    assert source.read(items[2]) == _PNG
    assert source.find("a/1.png").where == items[2].where
    assert source.name == "memory://photos"
    assert _paths(open_source("memory://photos/b.jpg")) == ["b.jpg"]


def test_a_store_goes_through_processes(tmp_path, store):
    (tmp_path / "sub").mkdir()
    for name in ("a.png", "sub/b.png"):
        (tmp_path / name).write_bytes(_PNG)
    write_clip(tmp_path / "c.mkv", noise(3))
    source = open_source(f"file://{tmp_path}")
    with DecodePool(1, slots=4) as pool:
        got = outcomes(pool, source.items())
        assert [len(got[name][0]) for name in ("a.png", "sub/b.png")] == [2, 2]
        assert len(got["c.mkv"]) == 4
        assert len(outcomes(pool, [open_source("memory://photos/b.jpg").find("b.jpg")])) == 1


def test_archives_and_tables_in_a_store_are_read(tmp_path):
    import tarfile

    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        info = tarfile.TarInfo("x.png")
        info.size = len(_PNG)
        archive.addfile(info, io.BytesIO(_PNG))
    source = open_source(f"file://{tmp_path}/a.tar")
    [item] = source.items()
    assert item.where["archive"] == f"file://{tmp_path}/a.tar"
    assert source.read(item) == _PNG


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("http://127.0.0.1:1/a.png", "address of the web"),
        ("HTTPS://example.com/photos", "address of the web"),
        ("simplecache::http://127.0.0.1/a.png", "leads through another"),
        ("filecache::s3://bucket/a.png", "leads through another"),
        ("zip://a.png::http://127.0.0.1/x.zip", "leads through another"),
        ("ftp://example.com/a.png", "no store is known as 'ftp'"),
        ("github://owner:repo@/a.png", "no store is known"),
        ("dask://a.png", "no store is known"),
        ("reference://a", "no store is known"),
    ],
)
def test_other_addresses_are_refused_before_anything_is_opened(address, message, monkeypatch):
    def fail(*_, **__):
        pytest.fail("it was opened")

    monkeypatch.setattr(fsspec.core, "url_to_fs", fail)
    monkeypatch.setattr(fsspec, "open", fail)
    for given in (address, [address]):
        with pytest.raises((InputError, MediaError), match=message):
            list(open_source(given).items())


def test_a_store_that_cannot_be_reached_is_an_error():
    with pytest.raises(MediaError, match="no folder"):
        open_source("memory://nothing/here")
    with pytest.raises(MediaError, match="cannot be listed"):
        open_source("oss://bucket/here")  # its client is not installed


# The pictures of records -----------------------------------------------------------------------


def _record(path, content_hash="", frame=None):
    return AnnotationRecord(
        path=path, content_hash=content_hash, status="done", size=(2, 2), frame=frame
    )


def test_a_record_leads_to_its_bytes_and_a_change_is_noticed(tmp_path):
    (tmp_path / "a.png").write_bytes(_PNG)
    read = RecordReader(open_source(tmp_path))
    digest = hashlib.sha256(_PNG).hexdigest()
    assert read(_record("a.png", digest)) == _PNG
    with pytest.raises(MediaError, match="changed since it was annotated"):
        read(_record("a.png", "0" * 64))
    for path in ("../a.png", "b.png"):
        with pytest.raises(MediaError):
            read(_record(path))


def test_pixels_come_as_png():
    pixels = np.random.default_rng(0).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    read = RecordReader(open_source([("a", pixels)]))
    assert np.array_equal(np.asarray(PILImage.open(io.BytesIO(read(_record("a"))))), pixels)


def test_frames_come_as_png_in_any_order(tmp_path):
    pictures = noise(6)
    write_clip(tmp_path / "a.mkv", pictures)
    read = RecordReader(open_source(tmp_path))
    for index in (0, 1, 4, 2, 2, 5):
        frame = VideoFrame(video="a.mkv", index=index, time=0.0)
        data = read(_record(f"a.mkv#{index}", frame=frame))
        assert np.array_equal(np.asarray(PILImage.open(io.BytesIO(data))), pictures[index])
    frame = VideoFrame(video="a.mkv", index=6, time=0.0)
    with pytest.raises(MediaError, match="no frame 6"):
        read(_record("a.mkv#6", frame=frame))
    frame = VideoFrame(video="a.mkv", index=0, time=0.0)
    with pytest.raises(MediaError, match="changed since"):
        read(_record("a.mkv#0", "0" * 64, frame=frame))
