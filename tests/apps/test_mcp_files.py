"""Files come from declared folders only, whatever a client calls them."""

import os

import pytest

from groundplane.apps.mcp.errors import ToolError
from groundplane.apps.mcp.files import Output, Roots
from groundplane.core.errors import InputError

MOST = 1000

# Each would lead out of the folder, name a device, or mean something else to another system.
HOSTILE = [
    "../secret.txt", "../../etc/passwd", "a/../../secret.txt", "a/..", "..", "../",
    "./../secret.txt",
    "a/b/../../../secret.txt", "a//../../secret.txt", "/etc/passwd", "/etc/../etc/passwd",
    "//etc/passwd", "///etc/passwd", "//server/share/x.png", "\\\\server\\share\\x.png",
    "\\\\?\\C:\\x.png", "\\\\.\\pipe\\x", "C:\\x.png", "C:/x.png", "c:x.png", "Z:",
    "..\\secret.txt",
    "a\\..\\..\\secret.txt", "a/..\\..\\secret.txt", "photo.jpg\0.png", "\0",
    "a\0/../../secret.txt",
    "file:///etc/passwd", "http://127.0.0.1/x.png", "ftp://host/x", "data:image/png;base64,AAAA",
    "~/.ssh/id_rsa", "~root/x.png", "~", "-rf", "--help", "", "/", "/proc/self/environ",
    "/proc/self/fd/0", "/dev/zero", "/dev/stdin", "/sys/kernel/x", "photo.jpg:stream", "a:b",
    "...", "a/.../b", "photo.jpg.", "photo.jpg ", "a /photo.jpg", "a./photo.jpg", ". ./x",
    "\n../secret.txt", "photo\r\n.jpg", "\x7f", "\x1b[31m", "x" * 5000, "a/" * 500 + "x.jpg",
    "é" * 600, "\ud800.jpg", "link-out/secret.txt", "link-file.txt", "link-abs.txt", "link-up",
    "link-chain.txt", "/nowhere/a/photo.jpg",
]  # fmt: skip


@pytest.fixture
def tree(tmp_path):
    """A folder `root` with a picture, beside a secret, and links of all kinds."""
    root = tmp_path / "root"
    (root / "a" / "b").mkdir(parents=True)
    (root / "photo.jpg").write_bytes(b"picture")
    (root / "a" / "b" / "é 猫.jpg").write_bytes(b"deep")
    (root / "big.bin").write_bytes(b"x" * (MOST + 1))
    (tmp_path / "secret.txt").write_text("secret")
    (root / "link-out").symlink_to(tmp_path)
    (root / "link-file.txt").symlink_to("../secret.txt")
    (root / "link-abs.txt").symlink_to(tmp_path / "secret.txt")
    (root / "link-up").symlink_to("..")
    (root / "link-chain.txt").symlink_to("link-file.txt")
    (root / "link-in.jpg").symlink_to("a/b/é 猫.jpg")
    (root / "link-round").symlink_to("link-round")
    os.mkfifo(root / "pipe")
    return root


def test_hostile_names_are_enough():
    assert len(set(HOSTILE)) >= 60


@pytest.mark.parametrize("name", HOSTILE, ids=lambda name: ascii(name[:30]))
def test_what_leads_out_is_refused(tree, name):
    with pytest.raises(ToolError) as caught:
        Roots([tree]).read(name, most=MOST)
    assert caught.value.code == "refused"
    assert str(tree.parent) not in caught.value.line
    assert "secret" not in caught.value.line


@pytest.mark.parametrize("name", ["photo.jpg", "./photo.jpg", "a/b/é 猫.jpg", "link-in.jpg"])
def test_what_lies_inside_is_read(tree, name):
    found = Roots([tree]).read(name, most=MOST)
    assert found.data in (b"picture", b"deep")
    assert len(found.digest) == 64


def test_an_absolute_name_below_a_root_is_read(tree):
    assert Roots([tree]).read(str(tree / "photo.jpg"), most=MOST).data == b"picture"


def test_a_sibling_whose_name_begins_alike_is_refused(tree):
    sibling = tree.with_name("root-other")
    sibling.mkdir()
    (sibling / "x.jpg").write_bytes(b"x")
    with pytest.raises(ToolError, match="refused"):
        Roots([tree]).read(str(sibling / "x.jpg"), most=MOST)


@pytest.mark.parametrize("name", ["none.jpg", "a/none.jpg", "photo.jpg/x", "none/none.jpg"])
def test_what_is_not_there_is_said(tree, name):
    with pytest.raises(ToolError, match="not_found"):
        Roots([tree]).read(name, most=MOST)


@pytest.mark.parametrize("name", ["a", "pipe", "link-round", "."])
def test_folders_pipes_and_loops_are_refused_at_once(tree, name):
    with pytest.raises(ToolError, match="refused"):
        Roots([tree]).read(name, most=MOST)


def test_a_file_that_is_too_large_is_not_read(tree):
    with pytest.raises(ToolError, match="larger"):
        Roots([tree]).read("big.bin", most=MOST)


def test_without_roots_there_are_no_files(tree):
    for name in ("photo.jpg", str(tree / "photo.jpg"), "none"):
        with pytest.raises(ToolError, match="refused"):
            Roots([]).read(name, most=MOST)


def test_a_name_is_looked_for_below_each_root_in_turn(tree, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "photo.jpg").write_bytes(b"second")
    (other / "only.jpg").write_bytes(b"only here")
    roots = Roots([tree, other])
    assert roots.read("photo.jpg", most=MOST).data == b"picture"
    assert roots.read("only.jpg", most=MOST).data == b"only here"


def test_a_root_that_is_a_link_is_the_folder_it_leads_to(tree, tmp_path):
    (tmp_path / "shortcut").symlink_to(tree)
    assert Roots([tmp_path / "shortcut"]).read("photo.jpg", most=MOST).data == b"picture"


def test_a_link_that_is_put_there_after_the_look_leads_nowhere(tree, monkeypatch):
    """Between resolving and opening, a folder of the path is swapped for a link that leads out."""
    (tree.parent / "photo.jpg").write_bytes(b"secret")
    (tree / "swapped").mkdir()
    (tree / "swapped" / "photo.jpg").write_bytes(b"inside")
    resolve = os.path.realpath

    def swap(path, **how):
        real = resolve(path, **how)
        if "swapped" in str(path):
            (tree / "swapped" / "photo.jpg").unlink()
            (tree / "swapped").rmdir()
            (tree / "swapped").symlink_to(tree.parent)
        return real

    roots = Roots([tree])
    monkeypatch.setattr(os.path, "realpath", swap)
    with pytest.raises(ToolError) as caught:
        roots.read("swapped/photo.jpg", most=MOST)
    assert caught.value.code in ("refused", "not_found")


@pytest.mark.parametrize("root", ["none", "file.txt", "/"])
def test_a_root_that_is_no_folder_or_all_of_the_disk_is_refused(tmp_path, monkeypatch, root):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file.txt").write_text("")
    with pytest.raises(InputError, match="--root"):
        Roots([root])


class TestOutput:
    def test_files_go_into_the_folder(self, tmp_path):
        assert Output(tmp_path).write("mask.png", b"m") == "mask.png"
        assert (tmp_path / "mask.png").read_bytes() == b"m"

    def test_a_link_in_the_way_is_not_followed(self, tmp_path):
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "mask.png").symlink_to(tmp_path / "mine.txt")
        with pytest.raises(ToolError, match="output_failed"):
            Output(tmp_path / "out").write("mask.png", b"m")
        assert not (tmp_path / "mine.txt").exists()

    def test_without_a_folder_nothing_is_written(self):
        with pytest.raises(ToolError, match="no_output"):
            Output(None).write("mask.png", b"m")

    def test_a_folder_that_is_not_there_is_said(self, tmp_path):
        with pytest.raises(InputError, match="--out"):
            Output(tmp_path / "none")
