"""The page of formats says what is so: its table, and the options of formats without a page."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from groundplane.core.exporting import Feature, Importer
from groundplane.core.host import available, load

_PAGE = (Path(__file__).parents[2] / "docs/formats.md").read_text(encoding="utf-8")
_HERE = ("coco", "csv", "labelme", "voc", "yolo", "yolo-segment")
_WITHOUT = ("images", "masks")  # told once for all


def _table(page):
    """What each format holds, by feature and format."""
    lines = page.partition("test_formats_page.py -->\n")[2].partition("\n\n")[0].splitlines()
    head, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    return {row[0]: dict(zip(head[1:], row[1:], strict=True)) for row in rows}


@pytest.fixture(scope="module")
def exporters():
    names = [info.name for info in available("exporters", read=False)]
    return {name: load("exporters", name, device="cpu") for name in names}


def _check(page, exporters):
    expected = {
        feature.value: {n: "●" if feature in e.holds else "○" for n, e in exporters.items()}
        for feature in Feature
    }
    assert _table(page) == expected


def test_the_table_says_what_each_format_holds(exporters):
    _check(_PAGE, exporters)


def test_a_wrong_table_is_seen(exporters):
    with pytest.raises(AssertionError):
        _check(_PAGE.replace("| ●", "| ○", 1), exporters)


def test_formats_that_are_read_back_are_named(exporters):
    names = sorted(name for name, each in exporters.items() if isinstance(each, Importer))
    told = f"`{'`, `'.join(names[:-1])}` and `{names[-1]}` can be read back"
    assert told in _PAGE


def test_each_option_is_told(exporters):
    for name in _HERE:
        for field in dataclasses.fields(exporters[name].Options):
            told = f"`{field.name}`" in _PAGE or f"`{field.name}=" in _PAGE
            assert told or field.name in _WITHOUT, f"{name}: {field.name}"
