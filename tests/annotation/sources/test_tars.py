"""Tar archives: members are data, and each has one outcome, whatever the archive holds."""

from __future__ import annotations

import gc
import io
import os
import random
import tarfile
import time
import warnings

import pytest
import webdataset
from decoding import outcomes
from pictures import make_png

from groundplane.annotation.decoding import DecodePool
from groundplane.annotation.sources import open_source
from groundplane.core.errors import MediaError

_PNG = make_png((2, 2), raw=bytes(14))


def _tar(path, members, **options):
    """An archive of (name, bytes) or ready headers."""
    with tarfile.open(path, "w", **options) as archive:
        for name, data in members:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def _special(name, kind, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info, b""


def test_members_are_read_from_their_places(tmp_path):
    members = [
        (f"{n:04d}.{end}", f"{n}{end}".encode()) for n in range(5) for end in ("png", "json")
    ]
    source = open_source(_tar(tmp_path / "a.tar", members))
    items = list(source.items())
    assert [item.path for item in items] == [f"{n:04d}.png" for n in range(5)]
    assert [source.read(item) for item in items] == [f"{n}png".encode() for n in range(5)]
    assert source.tally.told() == "5 pictures; left out: 5 .json"
    status = (tmp_path / "a.tar").stat()
    assert {item.stamp for item in items} == {(4, status.st_mtime_ns)}
    assert source.count() is None


def test_shards_of_webdataset_are_read_as_it_reads_them(tmp_path):
    for shard in range(3):
        with webdataset.TarWriter(str(tmp_path / f"s-{shard:03d}.tar")) as writer:
            for n in range(4):
                writer.write({"__key__": f"{shard}/{n}", "png": _PNG + bytes([n]), "cls": n})
    pattern = str(tmp_path / "s-{000..002}.tar")
    expected = _plainly(pattern)
    for given in (pattern, str(tmp_path / "*.tar")):
        source = open_source(given)
        found = [(item.path, source.read(item)) for item in source.items()]
        assert [data for _, data in found] == [data for _, data in expected]
        shards = [f"s-{n:03d}.tar" for n in range(3) for _ in range(4)]
        assert [path for path, _ in found] == [
            f"{shard}/{key}.png" for shard, (key, _) in zip(shards, expected, strict=True)
        ]


def _plainly(pattern):
    """Keys and pictures as webdataset itself reads them; it leaves its files open."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        plain = webdataset.WebDataset(pattern, shardshuffle=False, empty_check=False)
        samples = [(sample["__key__"], sample["png"]) for sample in plain]
        del plain
        gc.collect()
    return samples


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_names_are_data(tmp_path, form):
    names = ["../up.png", "/etc/x.png", "猫.png", "a b\nc.png", "d" * 90 + ".png", "\udcff.png"]
    if form != tarfile.USTAR_FORMAT:
        names.append("long/" * 800 + "x.png")
    archive = _tar(tmp_path / "a.tar", [(name, _PNG) for name in names], format=form)
    source = open_source(archive)
    items = list(source.items())
    assert [item.path for item in items] == names
    assert all(source.read(item) == _PNG for item in items)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar"]


def test_links_devices_and_twins_have_one_outcome_each(tmp_path):
    (tmp_path / "secret.png").write_bytes(b"secret")
    members = [
        ("a.png", _PNG),
        _special("link.png", tarfile.SYMTYPE, str(tmp_path / "secret.png")),
        _special("hard.png", tarfile.LNKTYPE, "a.png"),
        _special("device.png", tarfile.CHRTYPE),
        _special("pipe.png", tarfile.FIFOTYPE),
        _special("folder.png", tarfile.DIRTYPE),
        ("a.png", _PNG + b"2"),
        ("a (2).png", _PNG + b"3"),
        ("a.mp4", b"left out"),
    ]
    source = open_source(_tar(tmp_path / "a.tar", members))
    items = {item.path: item for item in source.items()}
    kinds = {path: item.kind for path, item in items.items()}
    assert kinds == {
        "a.png": "picture", "link.png": "fault", "hard.png": "fault", "device.png": "fault",
        "pipe.png": "fault", "a (2).png": "picture", "a (2) (2).png": "picture",
    }  # fmt: skip
    assert "a link" in items["link.png"].where["message"]
    assert source.read(items["a (2).png"]) == _PNG + b"2"
    assert source.find("a (2) (2).png") == items["a (2) (2).png"]


def test_a_member_called_as_the_frame_of_a_video_is_not_taken_for_one(tmp_path):
    _tar(tmp_path / "a.tar", [("b.png", _PNG), ("a.png#3.png", _PNG)])
    _tar(tmp_path / "b.tar", [("c.png", _PNG)])
    assert len({item.path for item in open_source(tmp_path / "a.tar").items()}) == 2


@pytest.mark.parametrize("more", [0, 300, 512, 2000])
@pytest.mark.parametrize("count", [1, 10, 19])
def test_what_is_cut_off_is_a_fault_and_the_rest_is_read(tmp_path, count, more):
    archive = _tar(tmp_path / "a.tar", [(f"{n}.png", bytes([n]) * 5000) for n in range(20)])
    os.truncate(archive, count * (512 + 5120) + more)
    source = open_source(archive)
    *items, fault = source.items()
    assert (fault.path, fault.kind) == ("a.tar", "fault")
    assert f"is broken from byte {count * 5632}" in fault.where["message"] or more > 300
    whole = [item for item in items if _readable(source, item)]
    assert [item.path for item in whole] == [f"{n}.png" for n in range(count)]
    assert len(items) - len(whole) <= 1


def _readable(source, item):
    try:
        source.read(item)
    except MediaError:
        return False
    return True


def test_a_header_that_is_broken_in_the_middle_is_no_quiet_end(tmp_path):
    archive = _tar(tmp_path / "a.tar", [(f"{n}.png", _PNG) for n in range(4)])
    data = bytearray(archive.read_bytes())
    data[2 * 1024 + 10] ^= 0xFF
    archive.write_bytes(data)
    with tarfile.open(archive) as plain:
        assert len(plain.getnames()) == 2  # so it ends for others
    *items, fault = open_source(archive).items()
    assert len(items) == 2
    assert "from byte 2048 on (no header where one is expected)" in fault.where["message"]


def test_an_archive_that_is_none_is_refused(tmp_path):
    (tmp_path / "a.tar").write_text("only words" * 100)
    (tmp_path / "empty.tar").touch()
    os.mkfifo(tmp_path / "pipe.tar")
    (tmp_path / "a.tar.gz").touch()
    for name, message in [
        ("a.tar", "is no tar archive"),
        ("empty.tar", "is no tar archive"),
        ("pipe.tar", "not a regular file"),
        ("a.tar.gz", "gunzip"),
    ]:
        with pytest.raises(MediaError, match=message):
            list(open_source(tmp_path / name).items())
    items = list(open_source([tmp_path / "a.tar", ("b", _PNG)]).items())
    assert [(item.path, item.kind) for item in items] == [("a.tar", "fault"), ("b", "picture")]


def test_an_archive_that_changes_is_noticed(tmp_path):
    archive = _tar(tmp_path / "a.tar", [("a.png", _PNG)])
    source = open_source(archive)
    [item] = source.items()
    os.utime(archive, ns=(1, 1))
    with pytest.raises(MediaError, match="its archive has changed"):
        source.read(item)


def test_headers_that_ask_for_much_are_refused(tmp_path):
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 2**32
    archive = tmp_path / "a.tar"
    archive.write_bytes(_tar_head(_PNG) + info.tobuf(tarfile.USTAR_FORMAT) + bytes(1024))
    os.truncate(archive, 2**32 + 10_000)  # sparse
    *_, fault = open_source(archive).items()
    assert "a header of 4294967296 bytes" in fault.where["message"]


def _tar_head(data):
    info = tarfile.TarInfo("a.png")
    info.size = len(data)
    return info.tobuf() + data + bytes(-len(data) % 512)


@pytest.mark.parametrize("size", [b"\xff" * 12, b"\x80" + b"\xff" * 11, b"-0000000512\0"])
def test_sizes_that_lead_backwards_end(tmp_path, size):
    info = bytearray(tarfile.TarInfo("b.png").tobuf())
    info[124:136] = size
    checksum = sum(info[:148]) + 8 * 32 + sum(info[156:])
    info[148:156] = b"%06o\0 " % checksum
    archive = tmp_path / "a.tar"
    archive.write_bytes(_tar_head(_PNG) + bytes(info) + bytes(2048))
    begun = time.monotonic()
    items = list(open_source(archive).items())
    assert time.monotonic() - begun < 5
    assert items[0].path == "a.png"
    assert items[-1].kind == "fault"


def test_mutants_end_and_give_outcomes(tmp_path):
    """Change archives at random: 300 by default, or as many as GROUNDPLANE_FUZZ says."""
    seeds = [
        _tar(tmp_path / "p.tar", [("a" * 120 + ".png", _PNG), ("b.png", _PNG)]).read_bytes(),
        _tar(
            tmp_path / "g.tar", [("a" * 120 + ".png", _PNG), ("b.png", _PNG)],
            format=tarfile.GNU_FORMAT,
        ).read_bytes(),
    ]  # fmt: skip
    path = tmp_path / "mutant.tar"
    found = faults = 0
    for number in range(int(os.environ.get("GROUNDPLANE_FUZZ", "300"))):
        rng = random.Random(number)
        data = bytearray(seeds[number % 2][:5120])
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(data))
            data[at] = rng.choice((0, 0xFF, 0x80, ord("7"), rng.randrange(256)))
            head = at // 512 * 512
            if rng.random() < 0.8:  # a sum that is right, so that the change gets through
                block = data[head : head + 512]
                total = sum(block[:148]) + 8 * 32 + sum(block[156:])
                data[head + 148 : head + 156] = b"%06o\0 " % total
        path.write_bytes(data)
        try:
            items = list(open_source(path).items())
        except MediaError:
            continue
        assert len({item.path for item in items}) == len(items)
        found += len(items)
        faults += sum(item.kind == "fault" for item in items)
    assert found > faults > 0


def test_members_go_through_processes(tmp_path):
    members = [(f"{n}.png", _PNG if n % 2 else b"only some words " * 9) for n in range(6)]
    source = open_source(_tar(tmp_path / "a.tar", members))
    with DecodePool(2, slots=4) as pool:
        got = outcomes(pool, source.items())
    assert [len(got[f"{n}.png"][0]) == 2 for n in (1, 3, 5)] == [True] * 3
    assert all("not a picture" in got[f"{n}.png"][0].failure.message for n in (0, 2, 4))
