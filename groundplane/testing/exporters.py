"""The contract that every exporter passes, as a pytest class to subclass.

    class TestMine(ExporterContract):
        @pytest.fixture
        def exporter(self):
            return groundplane.load("exporters", "mine", device="cpu")

What a format holds is taken at its word: what it does not hold must be counted exactly, and what
it holds must come back where the exporter can `load`.
"""

from __future__ import annotations

import weakref
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from groundplane.core.annotation import (
    AnnotatedRegions,
    AnnotationPrompt,
    AnnotationRecord,
    ClassTable,
)
from groundplane.core.errors import GroundplaneError, MediaError, OutputError
from groundplane.core.exporting import (
    Exporter,
    ExportTarget,
    Feature,
    Importer,
    LossReport,
    Records,
)
from groundplane.core.masks import RleMask, decode
from groundplane.core.output_folder import OutputFolder
from groundplane.testing.annotations import GeneratedRecords, random_records, records_of_names

__all__ = [
    "ExporterContract",
    "expected_losses",
    "export_into",
    "files_of",
    "num_parts_and_holes",
    "record_differences",
]

_PARTS = frozenset({Feature.MASK_PARTS, Feature.MASK_HOLES})
_CANARY = b"not ours"


class ExporterContract:
    """What an exporter must do; subclass it and override `exporter`."""

    # Records that may be alive at once while it exports: formats that write groups need some.
    most_alive = 8

    @pytest.fixture
    def exporter(self) -> Exporter:
        """The exporter under test."""
        return pytest.fail("override the fixture 'exporter' and give your exporter there")

    @pytest.fixture
    def examples(self) -> list[GeneratedRecords]:
        """What it is tried on."""
        return [random_records(seed, num=5) for seed in (0, 1, 2, 3, 4, 5, 6, 7)]

    @pytest.fixture
    def loads(self, exporter: Exporter) -> bool:
        """Whether it reads back what it wrote."""
        return isinstance(exporter, Importer)

    def test_it_satisfies_the_protocol(self, exporter: Exporter) -> None:
        assert isinstance(exporter, Exporter), f"{exporter!r} lacks export or holds"
        assert exporter.holds <= frozenset(Feature), f"holds: unknown features {exporter.holds}"

    def test_the_same_records_give_the_same_bytes(
        self, exporter: Exporter, examples: list[GeneratedRecords], tmp_path: Path
    ) -> None:
        for i, example in enumerate(examples):
            first, second = tmp_path / f"{i}a/x", tmp_path / f"{i}b/longer name"
            reports = [export_into(exporter, example, where) for where in (first, second)]
            assert reports[0] == reports[1], "two exports of the same records report other losses"
            _check_same_files(files_of(first), files_of(second))

    def test_nothing_is_written_outside_of_its_folder(
        self, exporter: Exporter, tmp_path: Path
    ) -> None:
        outside = {"a/canary": _CANARY, "a/b/up.jpg": _CANARY, "a/b/canary.txt": _CANARY}
        _put(tmp_path, outside)
        export_into(exporter, records_of_names(), tmp_path / "a/b/out")
        inside = "a/b/out/"
        after = {k: v for k, v in files_of(tmp_path).items() if not k.startswith(inside)}
        assert after == outside, f"outside of its folder: {sorted(after.items())}"

    def test_names_of_any_kind_go_out(self, exporter: Exporter, tmp_path: Path) -> None:
        records = records_of_names()
        report = export_into(exporter, records, tmp_path / "out")
        assert report.pictures == len(records), f"{report.pictures} of {len(records)} went out"

    def test_what_is_there_already_is_never_replaced(
        self, exporter: Exporter, tmp_path: Path
    ) -> None:
        example = random_records(3, num=3, hostile=False)
        export_into(exporter, example, tmp_path / "first")
        names = sorted(files_of(tmp_path / "first"))
        assert names, "an export of three pictures wrote no file"
        for i, name in enumerate([names[0], names[-1]]):
            _put(tmp_path / f"file{i}", {name: _CANARY})
            _check_refused(exporter, example, tmp_path / f"file{i}")
            assert (tmp_path / f"file{i}" / name).read_bytes() == _CANARY, f"{name} was replaced"

    def test_links_are_not_written_through(self, exporter: Exporter, tmp_path: Path) -> None:
        example = random_records(3, num=3, hostile=False)
        export_into(exporter, example, tmp_path / "first")
        outside = tmp_path / "outside"
        for i, name in enumerate(sorted(files_of(tmp_path / "first"))[:3]):
            _put(tmp_path, {"outside": _CANARY})
            link = tmp_path / f"link{i}" / name
            link.parent.mkdir(parents=True)
            link.symlink_to(outside)
            _check_refused(exporter, example, tmp_path / f"link{i}")
            assert outside.read_bytes() == _CANARY, f"{name}: written through a link"

    def test_what_is_lost_is_counted_exactly(
        self, exporter: Exporter, examples: list[GeneratedRecords], tmp_path: Path
    ) -> None:
        for i, example in enumerate(examples):
            report = export_into(exporter, example, tmp_path / str(i))
            _check_report(report, example, holds=exporter.holds)

    def test_what_it_holds_comes_back(
        self, exporter: Exporter, loads: bool, examples: list[GeneratedRecords], tmp_path: Path
    ) -> None:
        if not loads or not isinstance(exporter, Importer):
            pytest.skip("it reads nothing back")
        for i, example in enumerate([*examples, records_of_names()]):
            export_into(exporter, example, tmp_path / str(i))
            classes, records = exporter.load(tmp_path / str(i))
            assert classes == example.classes, "the classes are others after reading them back"
            _check_records(list(records), list(example), holds=exporter.holds)

    def test_no_pictures_give_a_whole_export(
        self, exporter: Exporter, loads: bool, tmp_path: Path
    ) -> None:
        report = export_into(exporter, random_records(1, num=0), tmp_path / "out")
        assert (report.pictures, report.regions, report.losses) == (0, 0, ())
        if loads and isinstance(exporter, Importer):
            assert list(exporter.load(tmp_path / "out")[1]) == []

    def test_one_class_and_nothing_found_give_a_whole_export(
        self, exporter: Exporter, tmp_path: Path
    ) -> None:
        prompts = (AnnotationPrompt(text="dog", class_id=0),)
        record = AnnotationRecord(path="a.jpg", content_hash="", status="done", size=(4, 3))
        example = GeneratedRecords(
            classes=ClassTable(names=("dog",), prompts=prompts), records=(record,)
        )
        report = export_into(exporter, example, tmp_path / "out")
        assert report.regions == 0
        _check_report(report, example, holds=exporter.holds)

    def test_records_are_taken_one_at_a_time(self, exporter: Exporter, tmp_path: Path) -> None:
        watched = _Watched(random_records(1, num=40, hostile=False))
        export_into(exporter, watched, tmp_path / "out")
        assert watched.most <= self.most_alive, (
            f"{watched.most} of {len(watched)} records were held at once; expected at most "
            f"{self.most_alive}"
        )

    def test_pictures_that_are_gone_end_it_or_are_counted(
        self, exporter: Exporter, tmp_path: Path
    ) -> None:
        def gone(record: AnnotationRecord) -> bytes:
            raise MediaError(f"{record.path!r} is gone")

        example = random_records(1, num=3, hostile=False)
        for i, read in enumerate((gone, None)):
            folder = OutputFolder(tmp_path / str(i))
            target = ExportTarget(folder=folder, classes=example.classes, read=read)
            try:
                report = exporter.export(example, target)
            except GroundplaneError as error:
                said = str(error)
            else:
                said = ""
                _check_report(report, example, holds=exporter.holds)
            assert "\n" not in said, f"expected one line, got {said}"


def export_into(
    exporter: Exporter, records: GeneratedRecords | _Watched, folder: Path
) -> LossReport:
    """Export made-up records; pictures can be read."""
    target = ExportTarget(
        folder=OutputFolder(folder), classes=records.classes, read=records.read, title="made up"
    )
    return exporter.export(records, target)


def files_of(folder: Path) -> dict[str, bytes]:
    """The files below a folder, by name; a link counts as what it says."""
    return {
        path.relative_to(folder).as_posix(): (
            str(path.readlink()).encode() if path.is_symlink() else path.read_bytes()
        )
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


# Losses --------------------------------------------------------------------------------------


def expected_losses(records: Records, holds: frozenset[Feature]) -> dict[str, int]:
    """How often records hold what a format does not, counted the plain way.

    The parts and holes of masks count only where the format holds masks at all.

    Examples:
        >>> expected_losses(random_records(1, num=0), frozenset())
        {}
    """
    counts: Counter[Feature] = Counter()
    for record in records:
        counts.update(_picture_features(record))
        for row in range(len(record.regions)):
            counts.update(_region_features(record.regions, row))
    lacks = set(Feature) - holds - (frozenset() if Feature.MASKS in holds else _PARTS)
    return {feature.value: counts[feature] for feature in sorted(lacks) if counts[feature]}


def _picture_features(record: AnnotationRecord) -> list[Feature]:
    found = {
        Feature.CAPTIONS: record.caption != "",
        Feature.EMPTY: record.status == "done" and len(record.regions) == 0,
        Feature.FAILURES: record.status == "failed",
        Feature.OUTCOMES: len(record.outcomes) > 0,
        Feature.TURNED: record.to_stored != (1, 0, 0, 0, 1, 0),
        Feature.TIMES: record.frame is not None,
        Feature.HASHES: record.content_hash != "",
        Feature.NOTES: record.note != "",
    }
    return [feature for feature, there in found.items() if there]


def _region_features(regions: AnnotatedRegions, row: int) -> list[Feature]:
    mask = regions.masks[row] if regions.masks else None
    parts, holes = (0, 0) if mask is None else num_parts_and_holes(mask)
    found = {
        Feature.SCORES: True,
        Feature.IDS: True,
        Feature.FRACTIONS: any(number != int(number) for number in regions.boxes[row].tolist()),
        Feature.MASKS: mask is not None,
        Feature.MASK_PARTS: parts > 1,
        Feature.MASK_HOLES: holes > 0,
        Feature.TRACKS: regions.track_ids is not None and bool(regions.track_ids[row] >= 0),
        Feature.ATTRIBUTES: bool(regions.attributes) and len(regions.attributes[row]) > 0,
        Feature.UNMAPPED: bool(regions.class_ids[row] < 0),
        Feature.PROMPTS: bool(regions.prompt_ids[row] >= 0),
        Feature.SOURCES: bool(regions.sources) and regions.sources[row] != "",
    }
    return [feature for feature, there in found.items() if there]


def num_parts_and_holes(mask: RleMask) -> tuple[int, int]:
    """Parts whose pixels share sides, and holes: gaps that no way, not over corners either, leaves.

    Examples:
        >>> num_parts_and_holes(RleMask(size=(2, 2), counts=b"13"))
        (1, 0)
        >>> num_parts_and_holes(RleMask(size=(2, 2), counts=b"4"))
        (0, 0)
    """
    return _counted(mask)


@lru_cache(maxsize=4096)
def _counted(mask: RleMask) -> tuple[int, int]:
    pixels = np.pad(decode(mask), 1)
    parts = _num_components(pixels, corners=False)
    return parts, _num_components(~pixels, corners=True) - 1


def _num_components(pixels: np.ndarray, *, corners: bool) -> int:
    left = set(zip(*(axis.tolist() for axis in np.nonzero(pixels)), strict=True))
    steps = [(0, 1), (1, 0), (0, -1), (-1, 0)]
    steps += [(1, 1), (1, -1), (-1, 1), (-1, -1)] if corners else []
    num = 0
    while left:
        num += 1
        queue = deque([left.pop()])
        while queue:
            y, x = queue.pop()
            near = {(y + dy, x + dx) for dy, dx in steps} & left
            left -= near
            queue.extend(near)
    return num


def _check_report(report: LossReport, records: Records, *, holds: frozenset[Feature]) -> None:
    counted = {loss.what: loss.count for loss in report.losses}
    assert list(counted) == sorted(counted), "losses are not in the order of their words"
    assert all(count > 0 for count in counted.values()), f"a loss of nothing: {counted}"
    features = {feature.value for feature in Feature}
    found = {what: count for what, count in counted.items() if what in features}
    expected = expected_losses(records, holds)
    assert found == expected, f"losses: expected {expected}, got {found}"
    failed = sum(record.status == "failed" for record in records)
    pictures = len(records) - (0 if Feature.FAILURES in holds else failed)
    assert report.pictures == pictures, f"pictures: expected {pictures}, got {report.pictures}"
    total = sum(len(record.regions) for record in records)
    excused = expected.get(Feature.UNMAPPED.value, 0) + sum(counted.values()) - sum(found.values())
    assert total - excused <= report.regions <= total, (
        f"{report.regions} of {total} regions went out, and losses name {excused} of the others"
    )


# Comparing -----------------------------------------------------------------------------------


def record_differences(
    a: AnnotationRecord, b: AnnotationRecord, *, holds: frozenset[Feature] = frozenset(Feature)
) -> list[str]:
    """In which fields two records differ, of those that a format holds.

    Examples:
        >>> a, b = random_records(1, num=2)
        >>> record_differences(a, a)
        []
        >>> "path" in record_differences(a, b)
        True
    """
    picture = {
        "path": None, "status": None, "size": None, "failure": None, "caption": Feature.CAPTIONS,
        "note": Feature.NOTES, "frame": Feature.TIMES, "to_stored": Feature.TURNED,
        "outcomes": Feature.OUTCOMES, "content_hash": Feature.HASHES,
    }  # fmt: skip
    names = [name for name, need in picture.items() if need is None or need in holds]
    found = [name for name in names if not _alike(getattr(a, name), getattr(b, name))]
    if len(a.regions) != len(b.regions):
        return [*found, "number of regions"]
    columns = {
        "ids": Feature.IDS, "boxes": Feature.FRACTIONS, "scores": Feature.SCORES,
        "prompt_ids": Feature.PROMPTS, "class_ids": None, "kept": Feature.SCORES,
        "masks": Feature.MASKS, "track_ids": Feature.TRACKS, "attributes": Feature.ATTRIBUTES,
        "sources": Feature.SOURCES,
    }  # fmt: skip
    names = [name for name, need in columns.items() if need is None or need in holds]
    pairs = {name: (_column(a.regions, name), _column(b.regions, name)) for name in names}
    return found + [name for name, (one, other) in pairs.items() if not _alike(one, other)]


def _alike(a: object, b: object) -> bool:
    """Whether two values are equal, also in type: True is not 1."""
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b)
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(_alike(a[key], b[key]) for key in a)
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(map(_alike, a, b))
    return type(a) is type(b) and a == b


def _column(regions: AnnotatedRegions, name: str) -> object:
    """A column; one that is not there is one of nothing."""
    column: object = getattr(regions, name)
    if name == "attributes":
        return tuple(dict(facts) for facts in regions.attributes) or ({},) * len(regions)
    if name == "sources":
        return column or ("",) * len(regions)
    if name == "masks":
        return column or (None,) * len(regions)
    return np.full(len(regions), -1) if column is None else column


def _check_records(
    found: Sequence[AnnotationRecord],
    expected: Sequence[AnnotationRecord],
    *,
    holds: frozenset[Feature],
) -> None:
    held = [r for r in expected if r.status == "done" or Feature.FAILURES in holds]
    held = [r for r in held if r.status != "done" or len(r.regions) or Feature.EMPTY in holds]
    assert [r.path for r in found] == [r.path for r in held], "other pictures came back"
    for record, other in zip(found, held, strict=True):
        differ = record_differences(record, other, holds=holds)
        assert not differ, f"{other.path!r}: what came back differs in {', '.join(differ)}"


def _check_same_files(first: dict[str, bytes], second: dict[str, bytes]) -> None:
    assert first.keys() == second.keys(), f"files differ: {first.keys() ^ second.keys()}"
    differ = [name for name in first if first[name] != second[name]]
    assert not differ, f"the same records gave other bytes in {differ[:3]}"


def _check_refused(exporter: Exporter, records: GeneratedRecords, folder: Path) -> None:
    with pytest.raises(OutputError):
        export_into(exporter, records, folder)


def _put(folder: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


class _Watched:
    """Records that are made when they are asked for; counts how many are alive at once."""

    def __init__(self, records: GeneratedRecords) -> None:
        self.classes, self.read = records.classes, records.read
        self._records = records
        self._alive: dict[int, weakref.ref[np.ndarray]] = {}
        self.most = 0

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[AnnotationRecord]:
        for i, record in enumerate(self._records):
            every = np.arange(len(record.regions))
            regions = record.regions.select(every)
            self._alive[i] = weakref.ref(regions.boxes)
            self._alive = {k: ref for k, ref in self._alive.items() if ref() is not None}
            self.most = max(self.most, len(self._alive))
            yield replace(record, regions=regions)
