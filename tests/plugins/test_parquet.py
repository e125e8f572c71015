"""The Parquet exporter, read back by Hugging Face datasets and by pyarrow."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from groundplane.core.annotation import AnnotationRecord
from groundplane.core.errors import InputError
from groundplane.core.exporting import Exporter, ExportTarget
from groundplane.core.output_folder import OutputFolder
from groundplane.plugins.parquet import ParquetExporter, ParquetOptions
from groundplane.testing.annotations import GeneratedRecords, random_records, records_of_names
from groundplane.testing.exporters import ExporterContract, export_into, files_of

CASES = int(os.environ.get("GROUNDPLANE_CASES", "0"))


def make(**options: object) -> Exporter:
    return ParquetExporter(ParquetOptions(**options))


class TestContract(ExporterContract):
    @pytest.fixture
    def exporter(self) -> Exporter:
        return make()


class TestContractOfSmallShards(ExporterContract):
    @pytest.fixture
    def examples(self) -> list[GeneratedRecords]:
        return [random_records(seed, num=5) for seed in (2, 3)]

    @pytest.fixture
    def exporter(self) -> Exporter:
        return make(shard=2, rows=2, embed=True, regions=False)


def offline(folder: Path, kind: str, tmp_path: Path):
    import datasets

    files = sorted(str(path) for path in folder.glob(f"{kind}-*.parquet"))
    return datasets.load_dataset(
        "parquet", data_files={"train": files}, cache_dir=str(tmp_path / "cache")
    )["train"]


def test_datasets_reads_pictures_with_named_classes(tmp_path: Path) -> None:
    example = random_records(2, num=12, hostile=False)
    export_into(make(embed=True, shard=5), example, tmp_path / "out")
    table = offline(tmp_path / "out", "pictures", tmp_path)
    objects = table.features["objects"]
    assert objects["category"].feature.names == list(example.classes.names)
    assert objects["prompt"].feature.names == [p.text for p in example.classes.prompts]
    assert table["path"][:] == [record.path for record in example]
    for row, record in zip(table, example, strict=True):
        assert row["objects"]["category"] == record.regions.class_ids.tolist()
        left, top, width, height = np.array(row["objects"]["bbox"]).reshape(-1, 4).T
        corners = np.stack([left, top, left + width, top + height], axis=1)
        assert np.allclose(corners, record.regions.boxes, atol=1e-9)
        assert (row["image"] is None) == (record.status == "failed")
        if row["image"] is not None:
            assert row["image"].size == record.size


def test_datasets_reads_regions(tmp_path: Path) -> None:
    example = random_records(3, num=9)
    export_into(make(), example, tmp_path / "out")
    table = offline(tmp_path / "out", "regions", tmp_path)
    assert len(table) == sum(len(record.regions) for record in example)
    assert table["score"][:] == [
        score for record in example for score in record.regions.scores.tolist()
    ]


def test_a_folder_is_a_dataset_of_two_tables(tmp_path: Path) -> None:
    import datasets

    export_into(make(), random_records(4, num=3, hostile=False), tmp_path / "out")
    for name in ("pictures", "regions"):
        table = datasets.load_dataset(
            str(tmp_path / "out"), name, cache_dir=str(tmp_path / "cache")
        )
        assert list(table) == ["train"]


def test_only_records_that_are_no_unicode_are_written_twice(tmp_path: Path) -> None:
    export_into(make(), records_of_names(("raw\udcff.jpg", "plain.jpg")), tmp_path)
    rows = pq.read_table(tmp_path / "pictures-00000-of-00001.parquet").to_pylist()
    assert [row["path"] for row in rows] == ["plain.jpg", "raw\\udcff.jpg"]
    assert rows[0]["exact"] is None
    assert json.loads(rows[1]["exact"])["path"] == "raw\udcff.jpg"


def test_row_groups_are_bounded(tmp_path: Path) -> None:
    example = random_records(1, num=25, hostile=False)
    export_into(make(rows=4, shard=10), example, tmp_path)
    files = sorted(tmp_path.glob("pictures-*.parquet"))
    groups = [pq.ParquetFile(path).metadata for path in files]
    assert [meta.num_rows for meta in groups] == [10, 10, 5]
    assert [meta.row_group(0).num_rows for meta in groups] == [4, 4, 4]


def test_embedding_needs_pictures(tmp_path: Path) -> None:
    example = random_records(1, num=2)
    target = ExportTarget(folder=OutputFolder(tmp_path), classes=example.classes)
    with pytest.raises(InputError, match="embed"):
        make(embed=True).export(example, target)
    assert files_of(tmp_path) == {}


def test_generated_sets_come_back(tmp_path: Path) -> None:
    from groundplane.testing.exporters import record_differences

    for seed in range(11, 11 + max(CASES, 5)):
        example = random_records(seed, num=6)
        where = tmp_path / str(seed)
        export_into(make(regions=False), example, where)
        classes, records = make().load(where)
        assert classes == example.classes
        for found, record in zip(records, example, strict=True):
            assert record_differences(found, record) == [], seed


# Bad exports -----------------------------------------------------------------------------------


def rewritten(folder: Path, change) -> Path:
    """An export of which one table was changed by somebody."""
    export_into(make(), random_records(5, num=4, hostile=False), folder)
    path = folder / "pictures-00000-of-00001.parquet"
    table = pq.read_table(path)
    pq.write_table(change(table), path)
    return folder


def read_all(folder: Path) -> list[AnnotationRecord]:
    return list(make().load(folder)[1])


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    export_into(make(shard=1), random_records(5, num=3, hostile=False), tmp_path)
    (tmp_path / "pictures-00001-of-00003.parquet").unlink()
    with pytest.raises(InputError, match="missing"):
        read_all(tmp_path)


def test_a_folder_without_tables_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="pictures-00000"):
        read_all(tmp_path)


def test_broken_files_are_named(tmp_path: Path) -> None:
    export_into(make(), random_records(5, num=3, hostile=False), tmp_path)
    path = tmp_path / "pictures-00000-of-00001.parquet"
    data = path.read_bytes()
    rng = np.random.default_rng(0)
    for cut in (0, 3, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:cut])
        with pytest.raises(InputError, match="pictures-00000"):
            read_all(tmp_path)
    for _ in range(max(CASES, 30)):
        broken = bytearray(data)
        for place in rng.integers(0, len(data), 4).tolist():
            broken[place] = int(rng.integers(256))
        path.write_bytes(bytes(broken))
        with contextlib.suppress(InputError):
            read_all(tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.drop_columns(["objects"]), "no column 'objects'"),
        (lambda t: t.replace_schema_metadata({}), "metadata 'groundplane'"),
        (
            lambda t: t.replace_schema_metadata({"groundplane": '{"version": 99, "classes": {}}'}),
            "version 1, got 99",
        ),
        (
            lambda t: t.set_column(
                t.schema.get_field_index("status"), "status", pa.array(["odd"] * len(t))
            ),
            "status: expected done or failed",
        ),
        (
            lambda t: t.set_column(
                t.schema.get_field_index("exact"), "exact", pa.array(["{"] * len(t))
            ),
            "row 0: malformed",
        ),
    ],
)
def test_what_is_malformed_is_named(change, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        read_all(rewritten(tmp_path, change))


def test_counts_below_one_are_refused() -> None:
    with pytest.raises(InputError, match="shard"):
        make(shard=0)
