"""Parquet as Hugging Face datasets lays it out, a row a picture; beside it a row a region.

Nothing is lost: `load` gives the records back. Boxes are `[x, y, width, height]`, as the hub's
detection data sets have them, and `objects` is a struct of lists. A text that is no Unicode, such
as the name of a file that is no UTF-8, stands in `exact`, which holds the whole record as JSON;
the other columns then show it with escapes.

Source: the Parquet and features pages of Hugging Face datasets
(https://huggingface.co/docs/datasets/about_dataset_features); what is written is checked by
reading it with that library.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from groundplane.core.annotation import AnnotationRecord, ClassTable
from groundplane.core.annotation_json import (
    classes_document,
    read_classes_document,
    read_record_document,
    record_document,
)
from groundplane.core.errors import GroundplaneError, InputError
from groundplane.core.exporting import ExportTarget, Feature, LossCounter, LossReport, Records
from groundplane.core.files import one_line
from groundplane.core.hub import need_library

__all__ = ["ParquetExporter", "ParquetOptions"]

_WHO = "exporter 'parquet'"
_VERSION = 1
# A row group is held in memory while it grows, and again by whoever reads it.
_MOST_BYTES = 32 * 2**20
_CARD = """---
configs:
- config_name: pictures
  default: true
  data_files: pictures-*.parquet
{regions}---
"""
_REGIONS = """- config_name: regions
  data_files: regions-*.parquet
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParquetOptions:
    """Options of `ParquetExporter`.

    Attributes:
        embed: Whether the encoded pictures go into a column `image`, which datasets decodes.
        shard: Pictures a file.
        rows: Rows a row group at most; it is shorter where the rows are large.
        regions: Whether the table with a row a region is written too.

    Raises:
        InputError: If a count is below 1.
    """

    embed: bool = False
    shard: int = 10_000
    rows: int = 1_000
    regions: bool = True

    def __post_init__(self) -> None:
        for name in ("shard", "rows"):
            if getattr(self, name) < 1:
                raise InputError(f"{_WHO}: option {name}: expected 1 or more")


class ParquetExporter:
    """Writes `pictures-*.parquet` and `regions-*.parquet`, and reads the first back.

    Args:
        options: See `ParquetOptions`.
        device: Not used.
        dtype: Not used.

    Raises:
        PluginBrokenError: If pyarrow is not installed.
    """

    Options = ParquetOptions
    holds = frozenset(Feature)

    def __init__(
        self, options: ParquetOptions, *, device: str = "cpu", dtype: object | None = None
    ) -> None:
        self._options = options
        self._arrow: Any = need_library("pyarrow", who=_WHO, extra="parquet")
        self._parquet: Any = need_library("pyarrow.parquet", who=_WHO, extra="parquet")

    def export(self, records: Records, target: ExportTarget) -> LossReport:
        """Write all records.

        Raises:
            OutputError: If something cannot be written.
            MediaError: If a picture is to be embedded and cannot be read.
            InputError: If pictures are to be embedded and cannot be had.
        """
        if self._options.embed and target.read is None:
            raise InputError(f"{_WHO}: option embed: the pictures of these records cannot be had")
        card = _CARD.format(regions=_REGIONS if self._options.regions else "")
        target.folder.write("README.md", card.encode())
        counter = LossCounter("parquet", holds=self.holds)
        left = iter(records)
        shards = max(1, -(-len(records) // self._options.shard))
        for number in range(shards):
            last = number == shards - 1
            with self._shard(target, f"{number:05d}-of-{shards:05d}") as tables:
                for seen, record in enumerate(left, start=1):
                    counter.see(record)
                    self._put(record, tables, target)
                    if seen == self._options.shard and not last:
                        break
        return counter.report()

    @contextmanager
    def _shard(self, target: ExportTarget, name: str) -> Iterator[dict[str, _Table]]:
        """The tables of one shard, open to be written to."""
        schemas = {"pictures": self._pictures(target.classes)}
        if self._options.regions:
            schemas["regions"] = self._regions()
        with ExitStack() as stack:
            tables = {}
            for kind, schema in schemas.items():
                file = stack.enter_context(target.folder.open(f"{kind}-{name}.parquet"))
                table = _Table(self._arrow, schema, rows=self._options.rows)
                stack.enter_context(table.writing(self._parquet, file))
                tables[kind] = table
            yield tables

    def _put(
        self, record: AnnotationRecord, tables: Mapping[str, _Table], target: ExportTarget
    ) -> None:
        row = _picture_row(record)
        size = len(row["exact"] or "") + _mask_bytes(record)
        if self._options.embed:
            done = record.status == "done" and target.read is not None
            data = target.read(record) if done and target.read is not None else None
            row["image"] = None if data is None else {"bytes": data, "path": row["path"]}
            size += len(data or b"")
        tables["pictures"].add(row, size=size)
        if "regions" in tables:
            for region in _region_rows(record, target.classes):
                tables["regions"].add(region, size=len(region["mask"] or ""))

    # Schemas -----------------------------------------------------------------------------------

    def _pictures(self, classes: ClassTable) -> Any:
        """The table of pictures: Arrow's types, and what datasets makes of them."""
        text, whole, real = self._arrow.string(), self._arrow.int64(), self._arrow.float64()
        many, struct = self._arrow.list_, self._arrow.struct
        mask = struct([("size", many(whole)), ("counts", text)])
        objects = {
            "id": many(text), "bbox": many(many(real)), "category": many(whole),
            "score": many(real), "prompt": many(whole), "kept": many(self._arrow.bool_()),
            "mask": many(mask), "track": many(whole), "source": many(text),
            "attributes": many(text),
        }  # fmt: skip
        columns = {
            "path": text, "width": whole, "height": whole, "status": text,
            "objects": struct(list(objects.items())), "caption": text, "outcomes": many(text),
            "video": text, "frame": whole, "time": real, "failure_stage": text,
            "failure_message": text, "note": text, "content_hash": text, "to_stored": many(real),
            "exact": text,
        }  # fmt: skip
        features = {name: _feature(kind) for name, kind in columns.items() if name != "objects"}
        inner = {name: _feature(kind.value_type) for name, kind in objects.items()}
        inner["category"] = _names(classes.names)
        inner["prompt"] = _names([prompt.text for prompt in classes.prompts])
        features["objects"] = {"feature": inner, "_type": "Sequence"}
        if self._options.embed:
            image = struct([("bytes", self._arrow.binary()), ("path", text)])
            columns = {"image": image, **columns}
            features["image"] = {"_type": "Image"}
        ordered = {name: features[name] for name in columns}
        own = {"version": _VERSION, "classes": classes_document(classes)}
        metadata = {
            "huggingface": json.dumps({"info": {"features": ordered}}),
            "groundplane": json.dumps(own),
        }
        return self._arrow.schema(list(columns.items()), metadata=metadata)

    def _regions(self) -> Any:
        """The table of regions."""
        text, whole, real = self._arrow.string(), self._arrow.int64(), self._arrow.float64()
        return self._arrow.schema([
            ("path", text), ("id", text), ("class", text), ("class_id", whole),
            ("x_min", real), ("y_min", real), ("x_max", real), ("y_max", real), ("score", real),
            ("prompt", text), ("prompt_id", whole), ("kept", self._arrow.bool_()),
            ("track", whole), ("mask", text), ("width", whole), ("height", whole),
            ("source", text), ("attributes", text), ("video", text), ("frame", whole),
            ("time", real),
        ])  # fmt: skip

    # Back --------------------------------------------------------------------------------------

    def load(self, folder: Path) -> tuple[ClassTable, Iterator[AnnotationRecord]]:
        """Read an export back, a row group at a time.

        Raises:
            InputError: If it is malformed; the message names the file and the field.
        """
        paths = _shards(folder)
        return self._classes(paths[0]), self._read(paths)

    def _classes(self, path: Path) -> ClassTable:
        where = one_line(path.name)
        with self._opened(path) as file:
            metadata = file.schema_arrow.metadata or {}
        try:
            own = json.loads(metadata[b"groundplane"])
            version, classes = own["version"], own["classes"]
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise InputError(f"{where}: expected metadata 'groundplane' with classes") from error
        if version != _VERSION:
            raise InputError(f"{where}: expected version {_VERSION}, got {ascii(version)[:40]}")
        return read_classes_document(classes, where=where)

    def _read(self, paths: list[Path]) -> Iterator[AnnotationRecord]:
        for path in paths:
            number = 0
            with self._opened(path) as file:
                names = [name for name in file.schema_arrow.names if name != "image"]
                for batch in file.iter_batches(batch_size=64, columns=names):
                    for row in batch.to_pylist():
                        yield _record_of(row, where=f"{one_line(path.name)}: row {number}")
                        number += 1

    @contextmanager
    def _opened(self, path: Path) -> Iterator[Any]:
        try:
            with self._parquet.ParquetFile(path) as file:
                yield file
        except GroundplaneError:
            raise
        except (OSError, ValueError, self._arrow.ArrowException) as error:
            said = " ".join(str(error).split())[:200]
            raise InputError(f"{one_line(path.name)}: cannot be read as Parquet: {said}") from error


class _Table:
    """A Parquet file that grows by row groups of bounded size."""

    def __init__(self, arrow: Any, schema: Any, *, rows: int) -> None:
        self._arrow, self._schema, self._most = arrow, schema, rows
        self._rows: list[dict[str, Any]] = []
        self._bytes = 0
        self._writer: Any = None

    @contextmanager
    def writing(self, parquet: Any, file: IO[bytes]) -> Iterator[None]:
        """Write to a file while the context is open."""
        with parquet.ParquetWriter(file, self._schema, compression="zstd") as self._writer:
            yield
            self._flush()

    def add(self, row: dict[str, Any], *, size: int) -> None:
        """Add a row; the size of what may be large in it, bytes."""
        self._rows.append(row)
        self._bytes += size
        if len(self._rows) >= self._most or self._bytes >= _MOST_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(self._arrow.Table.from_pylist(self._rows, self._schema))
        self._rows, self._bytes = [], 0


# Rows ------------------------------------------------------------------------------------------


def _feature(kind: Any) -> dict[str, Any]:
    """A type of Arrow as datasets describes it; old and new versions of it know `Sequence`."""
    name = str(kind)
    if name.startswith("list<"):
        return {"feature": _feature(kind.value_type), "_type": "Sequence"}
    if name.startswith("struct<"):
        return {field.name: _feature(field.type) for field in kind}
    names = {"double": "float64"}
    return {"dtype": names.get(name, name), "_type": "Value"}


def _names(names: list[str] | tuple[str, ...]) -> dict[str, Any]:
    """Ids that have names; -1 has none, which datasets allows."""
    if not names:
        return {"dtype": "int64", "_type": "Value"}
    return {"names": list(names), "_type": "ClassLabel"}


def _plain(text: str) -> str:
    """A text as UTF-8 can hold it."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _picture_row(record: AnnotationRecord) -> dict[str, Any]:
    document = record_document(record)
    # Half a surrogate pair, which UTF-8 cannot hold, is the one thing that JSON must escape here.
    try:
        json.dumps(document, ensure_ascii=False).encode()
        exact = None
    except UnicodeEncodeError:
        exact = json.dumps(document)
        document = _all_plain(document)
    failure = document.get("failure") or {}
    frame = document.get("frame") or {}
    size = record.size or (None, None)
    return {
        "path": document["path"], "width": size[0], "height": size[1], "status": record.status,
        "objects": _objects(record, document["regions"]), "caption": document.get("caption", ""),
        "outcomes": document.get("outcomes", []), "video": frame.get("video"),
        "frame": frame.get("index"), "time": frame.get("time"),
        "failure_stage": failure.get("stage"), "failure_message": failure.get("message"),
        "note": document.get("note", ""), "content_hash": record.content_hash,
        "to_stored": list(record.to_stored), "exact": exact,
    }  # fmt: skip


def _all_plain(value: Any) -> Any:
    if isinstance(value, str):
        return _plain(value)
    if isinstance(value, dict):
        return {_plain(name): _all_plain(inner) for name, inner in value.items()}
    return [_all_plain(inner) for inner in value] if isinstance(value, list) else value


def _objects(record: AnnotationRecord, regions: dict[str, Any]) -> dict[str, Any]:
    boxes = record.regions.boxes
    sides = np.round(boxes[:, 2:] - boxes[:, :2], 2)
    facts = regions.get("attributes")
    return {
        "id": regions["ids"],
        "bbox": np.concatenate([boxes[:, :2], sides], axis=1).tolist(),
        "category": regions["class_ids"],
        "score": regions["scores"],
        "prompt": regions["prompt_ids"],
        "kept": regions["kept"],
        "mask": regions.get("masks"),
        "track": regions.get("track_ids"),
        "source": regions.get("sources"),
        "attributes": None if facts is None else [_dumped(entry) for entry in facts],
    }


def _dumped(facts: Mapping[str, Any]) -> str:
    return json.dumps(dict(facts), ensure_ascii=False)


def _mask_bytes(record: AnnotationRecord) -> int:
    return sum(len(mask.counts) for mask in record.regions.masks or () if mask is not None)


def _region_rows(record: AnnotationRecord, classes: ClassTable) -> Iterator[dict[str, Any]]:
    regions, frame = record.regions, record.frame
    size = record.size or (None, None)
    for row, box in enumerate(regions.boxes.tolist()):
        class_id, prompt_id = int(regions.class_ids[row]), int(regions.prompt_ids[row])
        mask = regions.masks[row] if regions.masks else None
        yield {
            "path": _plain(record.path), "id": _plain(regions.ids[row]),
            "class": _plain(classes.names[class_id]) if class_id >= 0 else None,
            "class_id": class_id, "x_min": box[0], "y_min": box[1], "x_max": box[2],
            "y_max": box[3], "score": float(regions.scores[row]),
            "prompt": _plain(classes.prompts[prompt_id].text) if prompt_id >= 0 else None,
            "prompt_id": prompt_id, "kept": bool(regions.kept[row]),
            "track": None if regions.track_ids is None else int(regions.track_ids[row]),
            "mask": None if mask is None else mask.counts.decode("ascii"),
            "width": size[0], "height": size[1],
            "source": _plain(regions.sources[row]) if regions.sources else None,
            "attributes": _plain(_dumped(regions.attributes[row])) if regions.attributes else None,
            "video": None if frame is None else _plain(frame.video),
            "frame": None if frame is None else frame.index,
            "time": None if frame is None else frame.time,
        }  # fmt: skip


# Back ------------------------------------------------------------------------------------------


def _shards(folder: Path) -> list[Path]:
    paths = sorted(Path(folder).glob("pictures-*.parquet"))
    if not paths:
        raise InputError(
            f"{one_line(str(folder))}: expected files pictures-00000-of-00001.parquet and so on"
        )
    wanted = [f"pictures-{i:05d}-of-{len(paths):05d}.parquet" for i in range(len(paths))]
    if [path.name for path in paths] != wanted:
        raise InputError(
            f"{one_line(str(folder))}: expected {wanted[0]} to {wanted[-1]}, got "
            f"{one_line(paths[0].name)} to {one_line(paths[-1].name)}; a part is missing or does "
            "not belong here"
        )
    return paths


def _record_of(row: Mapping[str, Any], *, where: str) -> AnnotationRecord:
    """The record of a row of pictures."""
    try:
        exact = row["exact"]
        document = json.loads(exact) if exact is not None else _document(row)
    except KeyError as error:
        raise InputError(f"{where}: there is no column {error.args[0]!r}") from error
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"{where}: malformed: {' '.join(str(error).split())[:200]}") from error
    return read_record_document(document, where=where)


def _document(row: Mapping[str, Any]) -> dict[str, Any]:
    objects = row["objects"]
    corners = np.array(objects["bbox"], dtype=np.float64).reshape(-1, 4)
    corners[:, 2:] = np.round(corners[:, :2] + corners[:, 2:], 2)
    facts = objects["attributes"]
    document = {name: row[name] for name in ("path", "content_hash", "status", "to_stored")}
    document |= {name: row[name] for name in ("outcomes", "caption", "note")}
    document["size"] = None if row["width"] is None else [row["width"], row["height"]]
    document["regions"] = {
        "ids": objects["id"],
        "boxes": corners.tolist(),
        "scores": objects["score"],
        "prompt_ids": objects["prompt"],
        "class_ids": objects["category"],
        "kept": objects["kept"],
        "masks": objects["mask"],
        "track_ids": objects["track"],
        "sources": objects["source"],
        "attributes": None if facts is None else [json.loads(entry) for entry in facts],
    }
    if row["failure_stage"] is not None:
        failure = {"stage": row["failure_stage"], "message": row["failure_message"]}
        document["failure"] = failure
    if row["video"] is not None:
        document["frame"] = {"video": row["video"], "index": row["frame"], "time": row["time"]}
    return document
