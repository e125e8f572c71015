"""Lists of files, patterns, single files."""

from __future__ import annotations

import json
import os

import pytest
from pictures import make_png

from groundplane.annotation.sources import open_source
from groundplane.core.errors import InputError, MediaError

_PNG = make_png((2, 2), raw=bytes(14))


@pytest.fixture
def folder(tmp_path):
    for name in ("a.jpg", "sub/b.png", "out/c.png", "walk.mp4"):
        path = tmp_path / "top" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    (tmp_path / "elsewhere.png").write_bytes(b"elsewhere.png")
    return tmp_path / "top"


def _listed(source):
    return [(item.path, item.kind) for item in source.items()]


def test_paths_are_relative_to_the_list(folder, monkeypatch):
    (folder / "list.txt").write_bytes(
        b"\xef\xbb\xbfa.jpg\r\n\nsub/../sub/b.png\n./walk.mp4\nmissing.png"
    )
    monkeypatch.chdir("/")
    source = open_source(folder / "list.txt")
    assert _listed(source) == [
        ("a.jpg", "picture"), ("sub/b.png", "picture"), ("walk.mp4", "video"),
        ("missing.png", "picture"),
    ]  # fmt: skip
    assert [source.read(item) for item in list(source.items())[:2]] == [b"a.jpg", b"sub/b.png"]
    with pytest.raises(MediaError, match="no such file"):
        source.read(source.find("missing.png"))
    assert source.count() == 4


def test_paths_that_lead_elsewhere_keep_a_name_of_their_own(folder, tmp_path):
    lines = ["../elsewhere.png", f"{tmp_path}/elsewhere.png", f"{folder}/a.jpg", "a.jpg"]
    (folder / "list.txt").write_text("\n".join(lines))
    source = open_source(folder / "list.txt")
    plain = str(tmp_path / "elsewhere.png").lstrip("/")
    items = list(source.items())
    assert [item.path for item in items] == [
        plain, plain.replace(".png", " (2).png"), "a.jpg", "a (2).jpg",
    ]  # fmt: skip
    assert [source.read(item) for item in items] == [b"elsewhere.png"] * 2 + [b"a.jpg"] * 2


def test_a_name_of_any_bytes_can_be_listed(folder):
    name = b"\xff \xe7\x8c\xab.png"
    (folder / os.fsdecode(name)).write_bytes(b"cat")
    (folder / "list.txt").write_bytes(name + b"\n")
    source = open_source(folder / "list.txt")
    [item] = source.items()
    assert os.fsencode(item.path) == name
    assert source.read(item) == b"cat"


@pytest.mark.parametrize("key", ["path", "file_name", "image"])
def test_columns_of_tables_and_json_lines_are_found(folder, key):
    rows = [{"id": 1, key: "a.jpg"}, {"id": 2, key: "sub/b.png"}]
    (folder / "list.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    (folder / "list.csv").write_text(f"id,{key}\n1,a.jpg\n2,sub/b.png\n")
    (folder / "list.tsv").write_text(f'id\t{key}\n1\ta.jpg\n2\t"sub/b.png"\n')
    for name in ("list.jsonl", "list.csv", "list.tsv"):
        assert [path for path, _ in _listed(open_source(folder / name))] == ["a.jpg", "sub/b.png"]


def test_a_named_column_is_taken(folder):
    (folder / "list.csv").write_text("path,mine\nx.jpg,a.jpg\n")
    (folder / "list.jsonl").write_text('{"path": "x.jpg", "mine": "a.jpg"}\n"walk.mp4"\n')
    assert _listed(open_source(folder / "list.csv", column="mine")) == [("a.jpg", "picture")]
    assert [path for path, _ in _listed(open_source(folder / "list.jsonl", column="mine"))] == [
        "a.jpg", "walk.mp4",
    ]  # fmt: skip
    with pytest.raises(InputError, match="expected a column 'yours', got: path, mine"):
        list(open_source(folder / "list.csv", column="yours").items())


def test_lines_that_make_no_sense_are_faults_of_their_own(folder):
    lines = ['{"path": "a.jpg"}', "{", '{"id": 3}', '{"path": 4}', "[]", '{"path": "a\\u0000b"}']
    (folder / "list.jsonl").write_text("\n".join(lines))
    listed = _listed(open_source(folder / "list.jsonl"))
    assert listed[0] == ("a.jpg", "picture")
    assert listed[1:] == [(f"list.jsonl:{n}", "fault") for n in range(2, 7)]


def test_a_line_that_never_ends_is_one_fault(folder):
    (folder / "list.txt").write_bytes(b"a.jpg\n" + b"x" * 5_000_000 + b"\nsub/b.png\n")
    assert _listed(open_source(folder / "list.txt")) == [
        ("a.jpg", "picture"), ("list.txt:2", "fault"), ("sub/b.png", "picture"),
    ]  # fmt: skip
    (folder / "list.csv").write_bytes(b"path\n" + b"x" * 500_000 + b"\n")
    assert _listed(open_source(folder / "list.csv")) == [("list.csv:2", "fault")]


def test_addresses_in_lists_are_looked_at_before_they_are_read(folder):
    (folder / "list.txt").write_text(
        "https://example.com/a.png\ns3://bucket/b.png\nx::s3://c/d.png"
    )
    items = list(open_source(folder / "list.txt").items())
    assert [item.kind for item in items] == ["fault", "picture", "fault"]
    assert "address of the web" in items[0].where["message"]
    assert items[1].where == {"address": "s3://bucket/b.png"}
    assert "leads through another" in items[2].where["message"]
    [web, *_] = open_source(folder / "list.txt", http=True).items()
    assert web.where == {"address": "https://example.com/a.png"}


def test_empty_lists_and_lists_that_are_none_are_refused(folder):
    (folder / "list.txt").write_text("\n\n")
    (folder / "folder.txt").mkdir()
    with pytest.raises(MediaError, match="holds no picture"):
        list(open_source(folder / "list.txt").items())
    with pytest.raises(MediaError, match="holds no picture"):
        list(open_source(folder / "folder.txt").items())
    os.mkfifo(folder / "pipe.txt")
    with pytest.raises(MediaError, match="not a regular file"):
        list(open_source(folder / "pipe.txt").items())


def test_one_file_is_a_source(folder):
    for name, kind in [("a.jpg", "picture"), ("walk.mp4", "video")]:
        assert _listed(open_source(folder / name)) == [(name, kind)]
    (folder / "loop.jpg").symlink_to("loop.jpg")
    assert _listed(open_source(folder / "loop.jpg")) == [("loop.jpg", "picture")]


def test_patterns_stand_for_files(folder):
    assert _listed(open_source(f"{folder}/*/*.png")) == [
        ("out/c.png", "picture"), ("sub/b.png", "picture"),
    ]  # fmt: skip
    assert [path for path, _ in _listed(open_source(f"{folder}/**/*.png"))] == [
        "out/c.png", "sub/b.png",
    ]  # fmt: skip
    for number in range(12):
        (folder / f"n{number:03d}.png").touch()
    listed = _listed(open_source(f"{folder}/n{{003..005}}.png"))
    assert [path for path, _ in listed] == ["n003.png", "n004.png", "n005.png"]
    assert len(_listed(open_source(f"{folder}/n{{000..020}}.png"))) == 21  # the missing ones too
    with pytest.raises(MediaError, match="no file is called"):
        list(open_source(f"{folder}/*.bmp").items())
    for wrong in ("{0..99999999}", "{5..3}", "{0..9999}{0..9999}"):
        with pytest.raises(InputError, match="stands for"):
            list(open_source(f"{folder}/{wrong}.png").items())


def test_a_file_whose_name_is_a_pattern_is_that_file(folder):
    (folder / "a[1].jpg").touch()
    assert _listed(open_source(folder / "a[1].jpg")) == [("a[1].jpg", "picture")]


@pytest.mark.parametrize("wrong", ["", "a\0b"])
def test_malformed_paths_are_refused(wrong):
    with pytest.raises(MediaError, match="malformed"):
        open_source(wrong)
