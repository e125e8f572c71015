"""Questions as people type them: each is answered as one who knows the room would accept."""

from __future__ import annotations

import functools
import importlib.util
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from groundplane.asking import Asker
from groundplane.core.answer import Answer, FrameOfReference, Status
from groundplane.core.lexicon import match_phrase
from groundplane.replies import Reply
from groundplane.spatial.map import CognitiveMap
from groundplane.spatial.units import convert

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[1] / ".." / "shared" / "data"
CORPORA = {
    name: [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for name in ("wordings", "heldout")
    if (path := HERE / f"{name}.jsonl").exists()
}
# The units that an answer may be in where the question names none.
FREE = {"m": ("m", "cm", "mm", "ft", "in"), "m2": ("m2", "cm2", "ft2")}
# Wordings of the held-out corpus that the grammar refuses. A refusal is no wrong answer, and the
# list may only grow shorter.
REFUSED_WORDINGS = frozenset({"nearest-06", "photo-07", "photo-14"})
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the folder ../shared/data is absent")


@functools.cache
def truth():
    """The script that computes what each wording should be answered with."""
    spec = importlib.util.spec_from_file_location("make_truth", HERE / "make_truth.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@functools.cache
def asker(source):
    kind, _, name = source.partition(":")
    if kind == "vsi":
        return Asker(CognitiveMap.load(DATA / "vsi" / "scenes.json", scene=name))
    options = {"annotations": str(DATA / "coco" / "instances.json")}
    return Asker(DATA / "coco" / "images" / name, detector="coco-file", options=options)


@functools.cache
def vocabulary(source):
    """The data's own labels."""
    if source.startswith("vsi:"):
        return tuple(dict.fromkeys(asker(source).scene.labels))
    document = json.loads((DATA / "coco" / "instances.json").read_text())
    return tuple(row["name"] for row in document["categories"])


# The judge: the rules of README.md ---------------------------------------------------------------


def labels_of(value, labels):
    """The data's labels that an answer names; what is no label is kept as it is."""
    names = value if isinstance(value, tuple) else (value,)
    return {label_of(str(name), labels) for name in names}


def label_of(name, labels):
    stem, dash, number = name.rpartition("-")
    if dash and number.isdigit() and stem in labels:
        return stem
    match = match_phrase(name, labels)
    named = match is not None and not match.modifiers and len(match.labels) == 1
    return match.labels[0] if named else name


def fault(expect, reply, *, labels, scene=None):
    """Why a reply is not what is expected; None where it is."""
    if "any_of" in expect:
        faults = [fault(one, reply, labels=labels, scene=scene) for one in expect["any_of"]]
        return None if None in faults else " and ".join(map(str, faults))
    if reply.status not in expect["status"]:
        return f"status {reply.status}, expected {expect['status']}"
    if reply.status is not Status.ANSWERED:
        return None
    judges = {"number": number_fault, "bool": bool_fault, "side": side_fault, "frame": frame_fault}
    for key, judge in judges.items():
        if key in expect and (why := judge(expect, reply)):
            return why
    wanted = set(expect["labels"]) if "labels" in expect else {expect.get("label")}
    if ("label" in expect or "labels" in expect) and labels_of(reply.value, labels) != wanted:
        return f"names {reply.value}, expected {wanted}"
    return center_fault(expect, reply, scene) if "center" in expect else None


def number_fault(expect, reply):
    value, unit = reply.value, expect["unit"]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"value {value!r}, expected a number"
    if reply.unit not in FREE.get(unit, (unit,)):
        return f"unit {reply.unit}, expected {unit}"
    got = value if reply.unit == unit else convert(value, reply.unit, unit)
    near = abs(got - expect["number"]) <= expect["tolerance"] * abs(expect["number"])
    return None if near else f"{got} {unit}, expected {expect['number']}"


def bool_fault(expect, reply):
    return None if reply.value is expect["bool"] else f"{reply.value!r}, expected {expect['bool']}"


def side_fault(expect, reply):
    got = "front" if reply.value == "in front" else str(reply.value).replace("behind", "back")
    return None if got == expect["side"] else f"side {reply.value!r}, expected {expect['side']}"


def frame_fault(expect, reply):
    frame = reply.answer.frame
    told = frame is not None and frame.kind != "world"
    return None if told == expect["frame"] else f"frame {reply.frame}"


def center_fault(expect, reply, scene):
    rows = [scene.ids.index(name) for name in reply.evidence]
    gaps = [
        float((scene.objects.centers[row] - torch.tensor(expect["center"])).norm()) for row in rows
    ]
    return None if any(gap < 0.01 for gap in gaps) else f"no object of {reply.evidence} is there"


# The corpora -------------------------------------------------------------------------------------


@needs_data
@pytest.mark.parametrize("name", CORPORA)
def test_what_is_expected_is_the_truth(name):
    assert truth().check(CORPORA[name], truth().load_sources()) == []


def is_refused(name, row):
    return name == "heldout" and row["id"] in REFUSED_WORDINGS


ROWS = [
    pytest.param(row, id=f"{name}-{row['id']}")
    for name in CORPORA
    for row in CORPORA[name]
    if not is_refused(name, row)
]


@needs_data
@pytest.mark.parametrize("name", CORPORA)
def test_few_wordings_are_refused(name):
    refused = [row["id"] for row in CORPORA[name] if is_refused(name, row)]
    assert len(refused) <= 0.05 * len(CORPORA[name])


@needs_data
@pytest.mark.parametrize("row", [row for row in CORPORA["heldout"] if is_refused("heldout", row)])
def test_what_is_not_understood_is_refused_and_not_guessed(row):
    assert asker(row["source"]).ask(row["question"]).status is Status.NOT_UNDERSTOOD


@needs_data
@pytest.mark.parametrize("row", ROWS)
def test_it_is_answered_as_expected(row):
    source = row["source"]
    reply = asker(source).ask(row["question"])
    labels = vocabulary(source)
    why = fault(row["expect"], reply, labels=labels, scene=asker(source).scene)
    assert why is None, f"{row['question']!r}: {why}; the text is: {reply.text}"


@needs_data
def test_the_corpora_share_no_question():
    texts = [" ".join(row["question"].lower().split()) + row["source"]
             for rows in CORPORA.values() for row in rows]  # fmt: skip
    assert len(set(texts)) == len(texts)


# The judge bites ---------------------------------------------------------------------------------

LABELS = ("sofa", "refrigerator", "chair")
SIDE = FrameOfReference(kind="viewpoint", text="seen from the sofa")
WORLD = FrameOfReference(kind="world", text="world")


def made(value, unit=None, *, status=Status.ANSWERED, frame=WORLD, evidence=()):
    answer = Answer(value=value, unit=unit, status=status, frame=frame, evidence=evidence)
    return Reply(question="?", source="made", text="made", answer=answer)


LENGTH = {"status": ["answered"], "number": 2.0, "tolerance": 0.03, "unit": "m"}
COUNT = {"status": ["answered"], "number": 3, "tolerance": 0.0, "unit": "count"}
FEET = {"status": ["answered"], "number": 10.0, "tolerance": 0.03, "unit": "ft"}
LABEL = {"status": ["answered"], "label": "refrigerator"}
SET = {"status": ["answered"], "labels": ["chair", "sofa"]}
NONE = {"status": ["answered"], "labels": []}
TRUE = {"status": ["answered"], "bool": True}
BACK = {"status": ["answered"], "side": "back"}
FRONT = {"status": ["answered"], "side": "front"}
FRAME = {"status": ["answered", "ambiguous"], "frame": True}
REFUSED = {"status": ["unknown_object", "cannot_detect"]}
EITHER = {"any_of": [TRUE, REFUSED]}

RIGHT = [
    (LENGTH, made(2.05, "m")), (LENGTH, made(200.0, "cm")), (LENGTH, made(6.56, "ft")),
    (COUNT, made(3, "count")), (FEET, made(9.9, "ft")), (LABEL, made("refrigerator")),
    (LABEL, made("fridge")), (LABEL, made(("refrigerator",))), (SET, made(("sofa", "chair-2"))),
    (SET, made(("chair-1", "chair-2", "couch"))), (NONE, made(())), (TRUE, made(True)),
    (BACK, made("behind")), (BACK, made("back")), (FRONT, made("in front")),
    (FRAME, made(True, frame=SIDE)),
    (FRAME, made(True, status=Status.AMBIGUOUS)), (EITHER, made(True)),
    (REFUSED, made(None, status=Status.CANNOT_DETECT)),
    (EITHER, made(None, status=Status.UNKNOWN_OBJECT)),
]  # fmt: skip
WRONG = [
    (LENGTH, made(2.07, "m")), (LENGTH, made(2.0, "ft")), (LENGTH, made(2.0, "count")),
    (LENGTH, made(True, "m")), (LENGTH, made("2.0")), (LENGTH, made(4.0, "m2")),
    (LENGTH, made(2.0, "m", status=Status.AMBIGUOUS)), (COUNT, made(4, "count")),
    (COUNT, made(3.0, "m")), (FEET, made(3.048, "m")), (LABEL, made("sofa")),
    (LABEL, made(("refrigerator", "sofa"))), (LABEL, made(())), (SET, made(("sofa",))),
    (SET, made(("sofa", "chair", "refrigerator"))), (SET, made("sofa")), (NONE, made(("sofa",))),
    (TRUE, made(False)), (TRUE, made(1, "count")), (TRUE, made("yes")), (BACK, made("front")),
    (BACK, made("back-left")), (FRAME, made(True)), (FRAME, made(True, frame=None)),
    (REFUSED, made(0, "count")), (REFUSED, made(None, status=Status.NOT_UNDERSTOOD)),
    (EITHER, made(False)), (EITHER, made(None, status=Status.NEEDS_VIDEO)),
]  # fmt: skip


@pytest.mark.parametrize(("expect", "reply"), RIGHT)
def test_the_judge_accepts_what_is_right(expect, reply):
    assert fault(expect, reply, labels=LABELS) is None


@pytest.mark.parametrize(("expect", "reply"), WRONG)
def test_the_judge_refuses_what_is_wrong(expect, reply):
    assert fault(expect, reply, labels=LABELS)


def test_the_judge_looks_at_the_object_meant():
    scene = SimpleNamespace(
        ids=("chair-1", "chair-2"),
        objects=SimpleNamespace(centers=torch.tensor([[0.0, 0, 0], [1.0, 0, 0]])),
    )
    expect = {"status": ["answered"], "label": "chair", "center": [1.0, 0.0, 0.0]}
    right, wrong = (made("chair", evidence=(name,)) for name in ("chair-2", "chair-1"))
    assert fault(expect, right, labels=LABELS, scene=scene) is None
    assert fault(expect, wrong, labels=LABELS, scene=scene)
