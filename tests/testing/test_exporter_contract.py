"""The shipped contract: a good exporter passes it, and each check fails one broken that way."""

from __future__ import annotations

import inspect
import itertools
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from groundplane.core.annotation import AnnotatedRegions
from groundplane.core.annotation_json import (
    classes_document,
    read_classes_document,
    read_record_document,
    record_document,
)
from groundplane.core.errors import MediaError, OutputError
from groundplane.core.exporting import Feature, LossCounter
from groundplane.core.masks import encode
from groundplane.testing.annotations import HOSTILE_NAMES, random_records
from groundplane.testing.exporters import (
    ExporterContract,
    expected_losses,
    num_parts_and_holes,
    record_differences,
)

# The broken exporters break types too; here the contract must see it, not the test-time checks.
pytestmark = pytest.mark.usefixtures("unchecked")


class Good:
    """Writes each record as a line of JSON, and reads them back."""

    holds = frozenset(Feature)

    def export(self, records, target):
        counter = LossCounter("good", holds=self.holds)
        target.folder.write("classes.json", json.dumps(classes_document(target.classes)).encode())
        with target.folder.open("lines") as file:
            for record in records:
                self.see(counter, record)
                for line in self.lines(record, target):
                    file.write(line + b"\n")
        return self.report(counter.report())

    def see(self, counter, record):
        counter.see(record)

    def report(self, report):
        return report

    def lines(self, record, target):
        yield json.dumps(record_document(record)).encode()

    def load(self, folder):
        classes = json.loads((folder / "classes.json").read_bytes())
        lines = (folder / "lines").read_bytes().splitlines()
        records = (read_record_document(json.loads(line), where="lines") for line in lines)
        return read_classes_document(classes, where="classes"), records


class Partial(Good):
    """Holds boxes, classes and masks in one part, and counts what else there is."""

    holds = frozenset({Feature.FRACTIONS, Feature.MASKS, Feature.EMPTY})
    load = None

    def see(self, counter, record):
        counter.see(record)
        for mask in record.regions.masks or ():
            parts, holes = num_parts_and_holes(mask) if mask is not None else (0, 0)
            if parts > 1:
                counter.lose(Feature.MASK_PARTS.value)
            if holes:
                counter.lose(Feature.MASK_HOLES.value)

    def lines(self, record, target):
        yield str(record.regions.boxes.tolist()).encode()


class Lines(Good):
    """A good exporter whose lines pass through a fault."""

    def __init__(self, fault):
        self.fault = fault

    def lines(self, record, target):
        yield from self.fault(record, target)


class Reports(Partial):
    """Its report passes through a fault."""

    def __init__(self, fault):
        self.fault = fault

    def report(self, report):
        return self.fault(report)


class Altered(Good):
    """Its records pass through a fault before they are written."""

    def __init__(self, fault):
        self.fault = fault

    def lines(self, record, target):
        yield json.dumps(record_document(self.fault(record))).encode()


class Replacing(Good):
    """Writes over what is there, and through links."""

    def export(self, records, target):
        counter = LossCounter("good", holds=self.holds)
        for record in records:
            counter.see(record)
        for name in ("classes.json", "lines"):
            (target.folder.path / name).write_text("{}")
        return counter.report()


class Hoarding(Good):
    def export(self, records, target):
        class Held(list):
            pass

        return super().export(Held(records), target)


class Mute:
    pass


class Boastful(Good):
    holds = frozenset({"everything"})


class Whole(Partial):
    """Says that it holds masks whole, and counts their holes as lost all the same."""

    holds = Partial.holds | {Feature.MASK_PARTS, Feature.MASK_HOLES}


class Silent(Partial):
    """Does not look at the parts and holes of masks."""

    def see(self, counter, record):
        counter.see(record)


class Wordy(Good):
    def lines(self, record, target):
        try:
            yield target.read(record) if target.read else b""
        except MediaError as error:
            raise OutputError(f"in two\nlines: {error}") from error


_number = itertools.count()


def escape(record, target):
    (target.folder.path.parent / "up.jpg").write_bytes(b"")
    yield b""


def trip(record, target):
    if "\0" in record.path:
        raise ValueError("embedded null byte")
    yield b""


def no_empty(report):
    return replace(report, regions=report.regions or 1)


def at_most(records):
    def fault(report):
        return replace(report, pictures=min(report.pictures, records))

    return fault


def of_regions(make):
    return Altered(lambda record: replace(record, regions=make(record.regions)))


def half(regions):
    return regions.select(np.arange(len(regions) // 2))


BROKEN = {
    "test_it_satisfies_the_protocol": [Mute(), Boastful()],
    "test_the_same_records_give_the_same_bytes": [
        Lines(lambda record, target: [str(next(_number)).encode()]),
        Lines(lambda record, target: [str(target.folder.path).encode()]),
        Reports(lambda report: replace(report, regions=report.regions + next(_number))),
    ],
    "test_nothing_is_written_outside_of_its_folder": [Lines(escape)],
    "test_names_of_any_kind_go_out": [Lines(trip), Reports(at_most(len(HOSTILE_NAMES) - 1))],
    "test_what_is_there_already_is_never_replaced": [Replacing()],
    "test_links_are_not_written_through": [Replacing()],
    "test_what_is_lost_is_counted_exactly": [
        Silent(),
        Whole(),
        Reports(lambda report: replace(report, losses=())),
        Reports(lambda report: replace(report, losses=report.losses[::-1])),
        Reports(lambda report: replace(report, losses=report.losses[1:])),
        Reports(
            lambda report: replace(
                report, losses=tuple(replace(loss, count=loss.count + 1) for loss in report.losses)
            )
        ),
        Reports(lambda report: replace(report, pictures=report.pictures + 1)),
        Reports(lambda report: replace(report, regions=report.regions + 1)),
        Reports(lambda report: replace(report, regions=-1)),
    ],
    "test_what_it_holds_comes_back": [
        of_regions(half),
        of_regions(lambda r: replace(r, boxes=r.boxes + 0.01)),
        of_regions(lambda r: replace(r, scores=r.scores * 0.5)),
        of_regions(lambda r: replace(r, kept=~r.kept)),
        of_regions(lambda r: replace(r, class_ids=r.class_ids * 0)),
        of_regions(lambda r: replace(r, prompt_ids=r.prompt_ids - 1)),
        of_regions(lambda r: replace(r, masks=None)),
        of_regions(lambda r: replace(r, track_ids=None)),
        of_regions(lambda r: replace(r, attributes=())),
        of_regions(lambda r: replace(r, sources=())),
        of_regions(lambda r: replace(r, ids=tuple(f"{i}!" for i in r.ids))),
        of_regions(lambda r: AnnotatedRegions.empty()),
        Altered(lambda record: replace(record, path=record.path + " ")),
        Altered(lambda record: replace(record, caption="")),
        Altered(lambda record: replace(record, note="")),
        Altered(lambda record: replace(record, frame=None)),
        Altered(lambda record: replace(record, outcomes=())),
        Altered(lambda record: replace(record, content_hash="")),
        Altered(lambda record: replace(record, to_stored=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0))),
        Lines(lambda record, target: []),
    ],
    "test_no_pictures_give_a_whole_export": [Reports(no_empty)],
    "test_one_class_and_nothing_found_give_a_whole_export": [Reports(no_empty)],
    "test_records_are_taken_one_at_a_time": [Hoarding()],
    "test_pictures_that_are_gone_end_it_or_are_counted": [Wordy()],
}
CASES = [(name, broken) for name, faults in BROKEN.items() for broken in faults]


def run_check(name, exporter, folder):
    """What pytest would do with a check."""
    given = {
        "exporter": exporter,
        "loads": getattr(exporter, "load", None) is not None,
        "examples": [random_records(seed, num=12) for seed in (2, 3)],
        "tmp_path": folder,
    }
    wanted = inspect.signature(getattr(ExporterContract, name)).parameters
    getattr(ExporterContract(), name)(**{k: v for k, v in given.items() if k in wanted})


class TestGood(ExporterContract):
    @pytest.fixture
    def exporter(self):
        return Good()


class TestPartial(ExporterContract):
    @pytest.fixture
    def exporter(self):
        return Partial()

    @pytest.fixture
    def loads(self):
        return False


def test_every_check_is_shown_to_fail():
    checks = {name for name in vars(ExporterContract) if name.startswith("test_")}
    assert checks == set(BROKEN)


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_good_exporters_pass_with_the_same_arguments(name, tmp_path):
    for exporter in (Good(), Partial()):
        if not (name == "test_what_it_holds_comes_back" and isinstance(exporter, Partial)):
            run_check(name, exporter, tmp_path / type(exporter).__name__)


@pytest.mark.parametrize(("name", "broken"), CASES)
def test_a_broken_exporter_fails_its_check(name, broken, tmp_path):
    with pytest.raises((AssertionError, ValueError, pytest.fail.Exception)):
        run_check(name, broken, tmp_path)


# Its parts -----------------------------------------------------------------------------------


def test_losses_of_nothing_are_none_and_of_all_are_counted():
    records = random_records(2, num=30)
    assert expected_losses(records, frozenset(Feature)) == {}
    lost = expected_losses(records, frozenset())
    # The parts of masks are not asked of a format that holds no masks.
    assert set(lost) == {f.value for f in Feature} - {"masks in several parts", "masks with holes"}
    assert lost["scores"] == sum(len(record.regions) for record in records)


def test_true_is_not_one_in_what_comes_back():
    record = next(r for r in random_records(2, num=30) if len(r.regions) and r.regions.attributes)
    regions = record.regions
    first = replace(regions, attributes=({"a": True},) * len(regions))
    second = replace(regions, attributes=({"a": 1},) * len(regions))
    pair = [replace(record, regions=r) for r in (first, second)]
    assert record_differences(*pair) == ["attributes"]
    assert record_differences(*pair, holds=frozenset()) == []


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (["..."], (0, 0)),
        (["##.", "..#"], (2, 0)),
        (["###", "#.#", "###"], (1, 1)),
        (["####", "#.##", "##.#", "####"], (1, 1)),
        (["#####", "#...#", "#.#.#", "#...#", "#####"], (2, 1)),
        (["#.#", "###"], (1, 0)),
    ],
)
def test_parts_and_holes_are_counted_by_hand(rows, expected):
    mask = np.array([[sign == "#" for sign in row] for row in rows])
    assert num_parts_and_holes(encode(mask)) == expected


def test_an_author_s_subclass_runs_under_pytest_and_reports_the_fault(tmp_path: Path):
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_mine.py").write_text(
        "import pytest\n"
        "from groundplane.core.exporting import LossReport\n"
        "from groundplane.testing.exporters import ExporterContract\n"
        "class Mine:\n"
        "    holds = frozenset()\n"
        "    def export(self, records, target):\n"
        "        return LossReport(format='mine', pictures=0, regions=0)\n"
        "class TestMine(ExporterContract):\n"
        "    @pytest.fixture\n"
        "    def exporter(self): return Mine()\n"
        "class TestForgotten(ExporterContract):\n"
        "    pass\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 1
    assert "an export of three pictures wrote no file" in done.stdout
    assert "override the fixture 'exporter'" in done.stdout
