"""Questions about differences, sight, pairs, passages and spelling, as people type them."""

import functools
import importlib.util
import json
import sys
from pathlib import Path

import jsonschema
import pytest

from groundplane.asking import Asker
from groundplane.core.answer import Answer, Status
from groundplane.spatial.map import CognitiveMap

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[1] / ".." / "shared" / "data"
SCHEMAS = HERE.parents[1] / "docs" / "schemas"
APARTMENT = HERE.parents[1] / "examples" / "apartment.json"
ROWS = [
    json.loads(line) for line in (HERE / "abilities.jsonl").read_text(encoding="utf-8").splitlines()
]
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the folder ../shared/data is absent")


@functools.cache
def module(name):
    """A script of this folder: the truth, and the judge of the older corpora."""
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[name] = loaded
    spec.loader.exec_module(loaded)
    return loaded


@functools.cache
def asker(source):
    kind, _, name = source.partition(":")
    if kind == "own":
        return Asker(CognitiveMap.load(APARTMENT))
    return Asker(CognitiveMap.load(DATA / "vsi" / "scenes.json", scene=name))


def fault(expect, reply, *, labels, scene=None):
    """Why a reply is not what is expected; None where it is. The rules are those of README.md."""
    if "words" in expect:
        if reply.status not in expect["status"]:
            return f"status {reply.status}, expected {expect['status']}"
        lost = [word for word in expect["words"] if word not in reply.text.lower()]
        return f"says nothing of {lost}" if lost else None
    judge = module("test_wordings")
    centers = expect.get("centers", ())
    rest = {key: value for key, value in expect.items() if key != "centers"}
    if reply.status is Status.ANSWERED and reply.status in expect["status"]:
        if expect.get("unit") in ("times", "yd", "l", "ft3"):
            return judge.number_fault(rest, reply)
        for center in centers:
            if why := judge.center_fault({"center": center}, reply, scene):
                return why
    return judge.fault(rest, reply, labels=labels, scene=scene)


@needs_data
def test_what_is_expected_is_the_truth():
    truth = module("make_abilities_truth")

    assert truth.check(ROWS, truth.load_rooms()) == []


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(
            row, id=row["id"], marks=() if row["source"].startswith("own:") else needs_data
        )
        for row in ROWS
    ],
)
def test_it_is_answered_as_expected(row):
    room = asker(row["source"])
    reply = room.ask(row["question"])
    labels = tuple(dict.fromkeys(room.scene.labels))

    why = fault(row["expect"], reply, labels=labels, scene=room.scene)

    assert why is None, f"{row['question']!r}: {why}; the text is: {reply.text}"


@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_every_record_fits_the_schema(noise):
    schema = json.loads((SCHEMAS / "record.schema.json").read_text(encoding="utf-8"))
    room = Asker(CognitiveMap.load(APARTMENT), noise=noise)
    # With noise every query is solved many times: a tenth of them will do.
    rows = [row for row in ROWS if row["source"] == "own:apartment"][:: 10 if noise else 1]

    for row in rows:
        jsonschema.validate(room.ask(row["question"]).record(), schema)


# The judge bites ---------------------------------------------------------------------------------

NAMED = {"status": ["not_understood"], "words": ["soffa", "sofa"]}
TIMES = {"status": ["answered"], "number": 2.0, "tolerance": 0.03, "unit": "times"}
YARDS = {"status": ["answered"], "number": 2.0, "tolerance": 0.03, "unit": "yd"}


def made(value, unit=None, *, status=Status.ANSWERED, text="made"):
    reply = module("test_wordings").made(value, unit, status=status)
    return type(reply)(question="?", source="made", text=text, answer=reply.answer)


def test_the_judge_accepts_what_is_right():
    refused = made(None, status=Status.NOT_UNDERSTOOD, text="'soffa': did you mean 'sofa'?")

    assert fault(NAMED, refused, labels=()) is None
    assert fault(TIMES, made(2.05, "times"), labels=()) is None
    assert fault(YARDS, made(1.95, "yd"), labels=()) is None


@pytest.mark.parametrize(
    ("expect", "value", "unit", "status", "text"),
    [
        (NAMED, None, None, Status.NOT_UNDERSTOOD, "'soffa' is not known"),
        (NAMED, 2.0, "m", Status.ANSWERED, "the soffa, a sofa"),
        (TIMES, 2.1, "times", Status.ANSWERED, ""),
        (TIMES, 2.0, "m", Status.ANSWERED, ""),
        (TIMES, 2.0, "times", Status.AMBIGUOUS, ""),
        (YARDS, 2.0, "m", Status.ANSWERED, ""),
    ],
)
def test_the_judge_refuses_what_is_wrong(expect, value, unit, status, text):
    assert fault(expect, made(value, unit, status=status, text=text), labels=())


def test_the_judge_looks_at_every_object_meant():
    room = asker("own:apartment")
    expect = {"status": ["answered"], "labels": ["chair"], "centers": [[5.6, 1.53, 0.45]]}
    answers = [
        Answer(value=("chair-1",), evidence=(name,)) for name in ("chair-1", "chair-2")
    ]  # fmt: skip
    reply = made(("chair-1",))
    right, wrong = (
        type(reply)(question="?", source="made", text="", answer=answer) for answer in answers
    )

    assert fault(expect, right, labels=("chair",), scene=room.scene) is None
    assert fault(expect, wrong, labels=("chair",), scene=room.scene)
