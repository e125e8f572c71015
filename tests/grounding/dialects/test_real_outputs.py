"""What models and their tools really wrote, as their own pages, tests and users' reports show it.

Each line of `real_outputs.jsonl` is one short literal with its source; what it means is stated by
the source itself, or follows from the model's convention by the arithmetic of one line.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scanned import cut, proposals, scan

from groundplane.core.answer import GroundedText, Mention
from groundplane.core.locations import Located
from groundplane.grounding.dialects import dialect, dialects
from groundplane.grounding.parsing import parse

_FILE = Path(__file__).with_name("real_outputs.jsonl")
_RECORDS: list[dict[str, Any]] = [
    json.loads(line) for line in _FILE.read_text(encoding="utf-8").splitlines()
]
_TEXTS = [record for record in _RECORDS if isinstance(record["raw"], str)]


def _parse(record: dict[str, Any], raw: str | None = None) -> GroundedText:
    seen, regions = record.get("seen"), record.get("regions")
    return parse(
        raw or record["raw"],
        dialect=record["dialect"],
        size=tuple(record["size"]),
        seen=None if seen is None else tuple(seen),
        regions=None if regions is None else proposals(regions),
    )


def _located(mention: Mention) -> Located:
    assert mention.located is not None
    return mention.located


def _check(found: GroundedText, expected: list[dict[str, Any]]) -> None:
    assert [mention.phrase for mention in found.mentions] == [one["phrase"] for one in expected]
    for mention, one in zip(found.mentions, expected, strict=True):
        located = _located(mention)
        assert found.text[slice(*mention.span)] == mention.phrase
        assert list(mention.span) == one.get("span", list(mention.span))
        np.testing.assert_allclose(located.boxes, np.reshape(one["boxes"], (-1, 4)), atol=1e-6)
        np.testing.assert_allclose(located.points, np.reshape(one["points"], (-1, 2)), atol=1e-6)
        outlines = [outline.reshape(-1).tolist() for outline in located.polygons]
        assert outlines == one.get("polygons", [])
        assert len(located.states) == one.get("states", 0)
        assert len(located.boxes_3d) == one.get("boxes_3d", 0)


@pytest.mark.parametrize("record", _RECORDS, ids=[record["id"] for record in _RECORDS])
def test_output_means_what_its_source_says(record: dict[str, Any]) -> None:
    found = _parse(record)

    assert found.text == record["text"]
    assert sorted({problem.kind.value for problem in found.problems}) == sorted(record["problems"])
    if record["mentions"] is not None:
        _check(found, record["mentions"])


@pytest.mark.parametrize("record", _TEXTS, ids=[record["id"] for record in _TEXTS])
def test_output_is_the_same_however_it_is_split(record: dict[str, Any]) -> None:
    text, name = record["raw"], dialect(record["dialect"]).name
    chance = random.Random(record["id"])
    regions = proposals(size=(640, 480))
    whole = scan(name, [text], regions=regions)

    assert scan(name, list(text), regions=regions) == whole
    for _ in range(10):
        places = [chance.randint(0, len(text)) for _ in range(chance.randint(1, 6))]
        assert scan(name, cut(text, places), regions=regions) == whole


@pytest.mark.parametrize("record", _TEXTS, ids=[record["id"] for record in _TEXTS])
def test_blanks_and_line_ends_around_an_output_change_nothing_that_it_says(
    record: dict[str, Any],
) -> None:
    plain = _parse(record)

    for raw in (f"\n{record['raw']}", f"{record['raw']} \n", record["raw"].replace("\n", "\r\n")):
        found = _parse(record, raw)
        assert found.text.split() == plain.text.split()
        assert [m.phrase.split() for m in found.mentions] == [
            m.phrase.split() for m in plain.mentions
        ]
        for ours, theirs in zip(found.mentions, plain.mentions, strict=True):
            np.testing.assert_array_equal(_located(ours).boxes, _located(theirs).boxes)


def test_families_that_write_places_have_real_outputs() -> None:
    told = {dialect(record["dialect"]).name for record in _RECORDS}
    # Their authors show no literal output in text: pictures alone, or no places at all.
    unseen = {"claude", "gpt-4o", "pixellm", "spatialrgpt"}

    assert {name for name in dialects() if dialect(name).kind != "nothing"} - told == unseen
