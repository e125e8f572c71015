"""An export in a store is whole or plainly not, and replaces nothing."""

import hashlib
import json
from pathlib import Path

import pytest

from groundplane.annotation.sending import send_export
from groundplane.core.errors import InputError, OutputError

fsspec = pytest.importorskip("fsspec")


@pytest.fixture
def export(tmp_path):
    folder = tmp_path / "coco"
    (folder / "labels" / "猫 é").mkdir(parents=True)
    (folder / "loss.json").write_text("{}")
    (folder / "labels" / "猫 é" / "a.txt").write_text("0 1 2")
    (folder / "empty.txt").write_bytes(b"")
    return folder


@pytest.fixture
def store():
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    memory.pseudo_dirs[:] = [""]
    return memory


def held(store):
    return {name: store.cat_file(name) for name in store.find("/")}


def test_all_files_arrive_and_are_listed_with_their_hashes(export, store):
    assert send_export(export, "memory://bucket/run1/") == 3
    found = held(store)
    for path in export.rglob("*.*"):
        name = f"/bucket/run1/{path.relative_to(export).as_posix()}"
        assert found.pop(name) == path.read_bytes()
    listed = json.loads(found.pop("/bucket/run1/contents.json"))["files"]
    assert listed["labels/猫 é/a.txt"] == hashlib.sha256(b"0 1 2").hexdigest()
    assert not found


def test_same_export_again_changes_nothing(export, store):
    send_export(export, "memory://b")
    before = held(store)
    assert send_export(export, "memory://b") == 3
    assert held(store) == before


def test_copy_that_was_cut_off_has_no_list_and_goes_on(export, store, monkeypatch):
    put, calls = type(store).put_file, []

    def failing(self, *args, **options):
        calls.append(args)
        if len(calls) == 2:
            raise ConnectionError("the network\nis gone")
        return put(self, *args, **options)

    monkeypatch.setattr(type(store), "put_file", failing)
    with pytest.raises(OutputError, match=r"the network is gone.*the same call goes on"):
        send_export(export, "memory://b")
    assert "/b/contents.json" not in held(store)
    send_export(export, "memory://b")
    assert "/b/contents.json" in held(store)


def test_other_bytes_that_stand_there_are_not_replaced(export, store):
    store.pipe_file("/b/empty.txt", b"mine")
    with pytest.raises(OutputError, match="something else stands there"):
        send_export(export, "memory://b")
    assert store.cat_file("/b/empty.txt") == b"mine"
    assert "/b/contents.json" not in held(store)


def test_links_are_not_followed(export, store, tmp_path):
    (tmp_path / "secret").write_text("x")
    (export / "link").symlink_to(tmp_path / "secret")
    assert send_export(export, "memory://b") == 3


@pytest.mark.parametrize(
    ("address", "said"),
    [("https://a/b", "address of the web"), ("zip://a::s3://b", "another address"), ("x", "known")],
)
def test_addresses_that_are_not_written_to_are_refused(export, address, said):
    with pytest.raises(InputError, match=said):
        send_export(export, address)


def test_folder_that_is_no_export_is_refused():
    with pytest.raises(InputError, match="is no export"):
        send_export(Path("/proc"), "memory://b")
