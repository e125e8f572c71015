"""Parquet files with pictures in them."""

from __future__ import annotations

import io
import os

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from decoding import outcomes
from pictures import encode_picture, make_png
from PIL import Image as PILImage

from groundplane.annotation.decoding import DecodePool
from groundplane.annotation.decoding.table_rows import TableRows
from groundplane.annotation.sources import open_source
from groundplane.core.errors import InputError, MediaError


def _pictures(count):
    return [
        encode_picture(PILImage.new("RGB", (3, 2), (n % 256, 0, 0)), "PNG") for n in range(count)
    ]


def _write(path, table, rows=7):
    pq.write_table(pa.table(table), path, row_group_size=rows)
    return path


def test_structures_of_bytes_and_path_are_read_row_by_row(tmp_path):
    pictures = _pictures(50)
    column = [{"bytes": data, "path": f"{n // 2}.png"} for n, data in enumerate(pictures)]
    path = _write(tmp_path / "a.parquet", {"label": list(range(50)), "image": column})
    source = open_source(path)
    items = list(source.items())
    assert [item.path for item in items[:4]] == ["0.png", "0 (2).png", "1.png", "1 (2).png"]
    assert [source.read(item) for item in items] == pictures
    assert [source.read(items[n]) for n in (49, 0, 20, 19, 48)] == [
        pictures[n] for n in (49, 0, 20, 19, 48)
    ]
    assert len({item.stamp for item in items}) == 1


def test_data_sets_of_hugging_face_are_read(tmp_path):
    datasets = pytest.importorskip("datasets")
    pictures = [PILImage.new("RGB", (5, 4), (n, n, n)) for n in range(6)]
    made = datasets.Dataset.from_dict(
        {"image": pictures, "label": list(range(6))},
        features=datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")}),
    )
    made.to_parquet(tmp_path / "a.parquet")
    source = open_source(tmp_path / "a.parquet")
    for item, picture in zip(source.items(), pictures, strict=True):
        assert PILImage.open(io.BytesIO(source.read(item))).tobytes() == picture.tobytes()


def test_plain_bytes_are_named_by_their_row(tmp_path):
    pictures = _pictures(3)
    source = open_source(_write(tmp_path / "a.parquet", {"data": pictures, "n": [1, 2, 3]}))
    items = list(source.items())
    assert [item.path for item in items] == ["row-000000000", "row-000000001", "row-000000002"]
    assert [source.read(item) for item in items] == pictures


def test_which_column_is_told_or_asked_for(tmp_path):
    one, two = _pictures(1), [b"two"]
    path = _write(tmp_path / "a.parquet", {"x": one, "y": two, "n": [1]})
    with pytest.raises(InputError, match=r"which column holds the pictures.* x, y"):
        list(open_source(path).items())
    with pytest.raises(InputError, match="a column 'n' of bytes"):
        list(open_source(path, column="n").items())
    [item] = open_source(path, column="y").items()
    assert open_source(path).read(item) == b"two"
    path = _write(tmp_path / "b.parquet", {"x": two, "image": one})
    assert [item.where["column"] for item in open_source(path).items()] == ["image"]


def test_rows_without_bytes_are_unread(tmp_path):
    column = [{"bytes": None, "path": "a.png"}, {"bytes": b"", "path": None}, None]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    path = _write(tmp_path / "a.parquet", {"image": pa.array(column, kind)})
    source = open_source(path)
    items = list(source.items())
    assert [item.path for item in items] == ["a.png", "row-000000001", "row-000000002"]
    for item in items:
        with pytest.raises(MediaError, match="holds no bytes"):
            source.read(item)


def test_files_that_are_none_are_refused(tmp_path):
    (tmp_path / "a.parquet").write_text("only words" * 100)
    (tmp_path / "b.parquet").touch()
    os.mkfifo(tmp_path / "c.parquet")
    for name in ("a.parquet", "b.parquet", "c.parquet"):
        with pytest.raises(MediaError):
            list(open_source(tmp_path / name).items())
    _write(tmp_path / "d.parquet", {"image": _pictures(1)})
    listed = [(item.path, item.kind) for item in open_source(f"{tmp_path}/[abd].parquet").items()]
    assert listed == [
        ("a.parquet", "fault"), ("b.parquet", "fault"), ("d.parquet/row-000000000", "picture"),
    ]  # fmt: skip


def test_a_table_that_changes_or_shrinks_is_noticed(tmp_path):
    path = _write(tmp_path / "a.parquet", {"image": _pictures(5)})
    source = open_source(path)
    items = list(source.items())
    assert source.read(items[0])
    os.utime(path, ns=(1, 1))
    with pytest.raises(MediaError, match="has changed"):
        source.read(items[1])
    with pytest.raises(MediaError, match="has 5 rows and none of number 7"):
        TableRows().read(str(path), row=7, column="image", changed=None)


def test_rows_go_through_processes(tmp_path):
    pictures = _pictures(40)
    pictures[7] = b"only some words, no picture at all"
    source = open_source(_write(tmp_path / "a.parquet", {"image": pictures}))
    with DecodePool(2, slots=4) as pool:
        got = outcomes(pool, source.items())
    for number in range(40):
        [result] = got[f"row-{number:09d}"]
        if number == 7:
            assert "not a picture" in result.failure.message
        else:
            assert result[1][0, 0].tolist() == [number, 0, 0]


def test_no_row_group_is_held_whole(tmp_path):
    data = make_png((2, 2), raw=bytes(14)) + os.urandom(100_000)
    path = _write(tmp_path / "a.parquet", {"image": [data] * 300}, rows=300)
    before = pa.total_allocated_bytes()
    rows = TableRows()
    most = 0
    for number in range(300):
        rows.read(str(path), row=number, column="image", changed=None)
        most = max(most, pa.total_allocated_bytes() - before)
    assert most < 15_000_000  # of 30 million


def test_a_table_in_a_store_is_read_row_by_row_and_a_change_is_noticed(tmp_path):
    pictures = _pictures(30)
    path = _write(tmp_path / "a.parquet", {"image": pictures})
    source = open_source(f"file://{path}")
    items = list(source.items())
    assert [source.read(items[n]) for n in (29, 0, 1, 8, 7)] == [
        pictures[n] for n in (29, 0, 1, 8, 7)
    ]
    with DecodePool(1, slots=4) as pool:
        got = outcomes(pool, items)
    assert [got[item.path][0][1][0, 0, 0] for item in items] == list(range(30))
    os.utime(path, ns=(1, 1))
    with pytest.raises(MediaError, match="has changed"):
        open_source(f"file://{path}").read(items[20])
    path.unlink()
    with pytest.raises(MediaError, match="cannot read picture 'row-000000020'"):
        open_source(f"file://{tmp_path}").read(items[20])


def test_a_table_in_a_store_without_dates_is_read_too():
    store = fsspec.filesystem("memory")
    pictures, held = _pictures(20), io.BytesIO()
    pq.write_table(pa.table({"image": pictures}), held, row_group_size=7)
    store.pipe_file("/tables/a.parquet", held.getvalue())
    source = open_source("memory://tables/a.parquet")
    items = list(source.items())
    assert {item.stamp for item in items} == {None}
    assert [source.read(item) for item in items] == pictures
    store.rm("/tables", recursive=True)
