"""The webdataset exporter, read back by webdataset itself."""

from __future__ import annotations

import contextlib
import io
import json
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
import webdataset

from groundplane.core.errors import InputError
from groundplane.core.exporting import Exporter, ExportTarget
from groundplane.core.output_folder import OutputFolder
from groundplane.plugins.webdataset import WebDatasetExporter, WebDatasetOptions
from groundplane.testing.annotations import GeneratedRecords, random_records, records_of_names
from groundplane.testing.exporters import (
    ExporterContract,
    export_into,
    files_of,
    record_differences,
)

# webdataset leaves the shards that it has read open to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

CASES = int(os.environ.get("GROUNDPLANE_CASES", "0"))


def make(**options: object) -> Exporter:
    return WebDatasetExporter(WebDatasetOptions(**options))


class TestContract(ExporterContract):
    @pytest.fixture
    def exporter(self) -> Exporter:
        return make()


class TestContractWithoutPictures(ExporterContract):
    @pytest.fixture
    def examples(self) -> list[GeneratedRecords]:
        return [random_records(seed, num=5) for seed in (2, 3)]

    @pytest.fixture
    def exporter(self) -> Exporter:
        return make(images=False, shard=2)


def samples_of(folder: Path) -> list[dict]:
    shards = sorted(str(path) for path in folder.glob("*.tar"))
    return list(webdataset.WebDataset(shards, shardshuffle=False))


def test_webdataset_reads_each_picture_with_its_record(tmp_path: Path) -> None:
    example = records_of_names()
    export_into(make(shard=20), example, tmp_path)
    samples = samples_of(tmp_path)
    assert len({sample["__key__"] for sample in samples}) == len(example)
    assert [json.loads(sample["json"])["path"] for sample in samples] == [
        record.path for record in example
    ]
    for sample, record in zip(samples, example, strict=True):
        assert sample["png"] == example.read(record)


def test_webdataset_decodes_pictures_by_their_endings(tmp_path: Path) -> None:
    example = random_records(1, num=4, hostile=False)
    export_into(make(), example, tmp_path)
    shard = str(tmp_path / "00000.tar")
    decoded = webdataset.WebDataset(shard, shardshuffle=False).decode("rgb8")
    for sample, record in zip(decoded, example, strict=True):
        if record.status == "done":
            assert sample["png"].shape == (record.size[1], record.size[0], 3)
            assert sample["json"]["regions"]["ids"] == list(record.regions.ids)
        else:
            assert "png" not in sample


def test_shards_hold_so_many_pictures_or_bytes(tmp_path: Path) -> None:
    example = random_records(1, num=7, hostile=False)
    export_into(make(shard=3), example, tmp_path / "few")
    assert len(list((tmp_path / "few").glob("*.tar"))) == 3

    def large(record: object) -> bytes:
        return b"\xff\xd8\xff" + b"0" * 600_000

    folder = OutputFolder(tmp_path / "large")
    make(megabytes=1).export(
        example, ExportTarget(folder=folder, classes=example.classes, read=large)
    )
    sizes = [path.stat().st_size for path in sorted((tmp_path / "large").glob("*.tar"))]
    assert len(sizes) > 1
    assert max(sizes) < 2_000_000


def test_headers_tell_nothing_of_the_machine(tmp_path: Path) -> None:
    export_into(make(), random_records(1, num=3, hostile=False), tmp_path)
    with tarfile.open(tmp_path / "00000.tar") as tar:
        for member in tar:
            assert (member.mtime, member.uid, member.gid) == (0, 0, 0)
            assert (member.uname, member.gname, member.mode) == ("", "", 0o644)


def test_pictures_that_cannot_be_had_are_refused_at_once(tmp_path: Path) -> None:
    example = random_records(1, num=2)
    target = ExportTarget(folder=OutputFolder(tmp_path), classes=example.classes)
    with pytest.raises(InputError, match="images=false"):
        make().export(example, target)
    assert files_of(tmp_path) == {}


def test_generated_sets_come_back(tmp_path: Path) -> None:
    for seed in range(21, 21 + max(CASES, 6)):
        example = random_records(seed, num=6)
        export_into(make(images=False), example, tmp_path / str(seed))
        classes, records = make().load(tmp_path / str(seed))
        assert classes == example.classes
        for found, record in zip(records, example, strict=True):
            assert record_differences(found, record) == [], seed


# Bad exports -----------------------------------------------------------------------------------


def exported(folder: Path) -> Path:
    export_into(make(shard=2), random_records(5, num=4, hostile=False), folder)
    return folder


def read_all(folder: Path) -> list:
    return list(make().load(folder)[1])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expected JSON"),
        ("[]", "expected JSON"),
        ("{}", "expected JSON"),
        ('{"version": 9, "shards": 1, "pictures": 1}', "version 1, got 9"),
        ('{"version": 1, "shards": "1", "pictures": 1}', "whole numbers"),
        ('{"version": 1, "shards": 1, "pictures": 1}', "expected an object"),
        ("[" * 100_000, "expected JSON"),
    ],
)
def test_a_bad_index_is_named(text: str, said: str, tmp_path: Path) -> None:
    (exported(tmp_path) / "dataset.json").write_text(text)
    with pytest.raises(InputError, match=said) as caught:
        read_all(tmp_path)
    assert "dataset.json" in str(caught.value)


def test_a_missing_index_or_shard_is_named(tmp_path: Path) -> None:
    (exported(tmp_path) / "00001.tar").unlink()
    with pytest.raises(InputError, match=r"00001\.tar"):
        read_all(tmp_path)
    (tmp_path / "dataset.json").unlink()
    with pytest.raises(InputError, match="No such file"):
        read_all(tmp_path)


def test_a_shard_of_too_few_pictures_is_noticed(tmp_path: Path) -> None:
    export_into(make(), random_records(5, num=1, hostile=False), tmp_path / "other")
    (exported(tmp_path / "a") / "00001.tar").write_bytes(
        (tmp_path / "other/00000.tar").read_bytes()
    )
    with pytest.raises(InputError, match="expected 4 pictures, the shards hold 3"):
        read_all(tmp_path / "a")


def test_broken_shards_are_named(tmp_path: Path) -> None:
    path = exported(tmp_path) / "00000.tar"
    data = path.read_bytes()
    rng = np.random.default_rng(0)
    for cut in (0, 100, 700, 2000):
        path.write_bytes(data[:cut])
        with pytest.raises(InputError):
            read_all(tmp_path)
    for _ in range(max(CASES, 40)):
        broken = bytearray(data)
        for place in rng.integers(0, len(data), 6).tolist():
            broken[place] = int(rng.integers(256))
        path.write_bytes(bytes(broken))
        with contextlib.suppress(InputError):
            read_all(tmp_path)


def test_links_and_foreign_members_of_a_shard_are_passed_over(tmp_path: Path) -> None:
    path = exported(tmp_path) / "00000.tar"
    before = read_all(tmp_path)
    with tarfile.open(path, "a") as tar:
        for name, kind in (("000000077.json", tarfile.SYMTYPE), ("../000000078.json", b"0")):
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.size = kind, "/etc/passwd", 0
            tar.addfile(info, io.BytesIO())
    assert [record.path for record in read_all(tmp_path)] == [record.path for record in before]


def test_counts_below_one_are_refused() -> None:
    with pytest.raises(InputError, match="megabytes"):
        make(megabytes=0)
