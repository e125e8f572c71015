"""Records: written and read back the same, replayed to the same text, refused when damaged."""

from __future__ import annotations

import json
import os
from random import Random

import numpy as np
import pytest
import torch

from groundplane.core import record_values
from groundplane.core.answer import Answer, RunnerUp
from groundplane.core.errors import InputError
from groundplane.core.expressions import Select
from groundplane.core.image import FrameMap
from groundplane.core.masks import encode
from groundplane.core.orchestrator import Budget, Orchestrator, Resolvers
from groundplane.core.queries import Count
from groundplane.core.record import Record, Recorder, replay
from groundplane.core.session import Done, Ground, Locate, Need, Prompt, Query, Text
from groundplane.core.session_notes import Injected, Note
from groundplane.testing.language_models import FakeResolver, ScriptedModel, found, picture

PROMPT = Prompt(text="What is there?", images=(picture(8, 6),), choices=("A. dog",))


def look(call):
    if "gone" in call.event.phrases:
        return ValueError("the expert is gone")
    result = found(call.event, image_size=(8, 6))
    mask = encode(np.ones((6, 8), dtype=bool))
    regions = result.regions
    return type(result)(
        regions=type(regions)(
            ids=regions.ids,
            boxes=regions.boxes,
            scores=regions.scores,
            phrases=regions.phrases,
            phrase_ids=regions.phrase_ids,
            image_size=(8, 6),
            masks=(mask,) * len(regions),
        ),
        outcomes=result.outcomes,
    )


def solve(call):
    other = RunnerUp(value=2, probability=0.25)
    return Answer(value=1, unit="count", runner_up=other, interval=(0.5, float("inf")))


def script(i):
    boxes = np.array([[0.5, 1, 2, 3]])
    return [
        Text(sequence=i, text="A dog and a "),
        Ground(sequence=i, request="g", phrases=("dog",), span=(2, 5)),
        Need(sequence=i, requests=("g",)),
        Injected(sequence=i, request="g", text="<box>", tokens=(1, 2), before=4, after=7),
        Text(sequence=i, text="cat 猫\ud83d.", tokens=3),
        Locate(sequence=i, boxes=boxes, frame_map=FrameMap.identity(), span=(12, 15)),
        Ground(sequence=i, request="gone", phrases=("gone",), span=(0, 1)),
        Ground(sequence=i, request="h", phrases=("dog",), embedding=torch.ones(4), span=(2, 5)),
        Query(sequence=i, request="q", expression=Count(Select("dog")), on=("g",)),
        Need(sequence=i, requests=("q",)),
        Note(sequence=i, name="dropped", detail="nothing"),
        Done(sequence=i),
    ]  # fmt: skip


def recorded(*scripts, budget=None):
    model = ScriptedModel(list(scripts))
    resolvers = Resolvers(ground=FakeResolver(look), query=FakeResolver(solve))
    runner = Orchestrator(model, resolvers=resolvers, budget=budget or Budget())
    recorder = Recorder("scripted", experts="fake")
    prompts = [PROMPT] * len(scripts)
    list(recorder.watch(prompts, runner.stream(prompts)))
    return recorder.record()


def alike(text, other):
    assert (text.text, text.finish, text.answers) == (other.text, other.finish, other.answers)
    assert [(m.span, m.ids, m.phrase) for m in text.mentions] == [
        (m.span, m.ids, m.phrase) for m in other.mentions
    ]
    assert [r and (r.ids, r.boxes.tolist(), r.masks) for r in text.regions] == [
        r and (r.ids, r.boxes.tolist(), r.masks) for r in other.regions
    ]


def test_a_run_comes_back_from_its_file_and_replays_to_the_same_texts(tmp_path):
    record = recorded(script(0), script(1))
    record.save(tmp_path / "run.json")
    read = Record.load(tmp_path / "run.json")
    assert read.prompts == record.prompts
    assert [entry.seconds for entry in read.entries] == pytest.approx(
        [entry.seconds for entry in record.entries], abs=1e-5
    )
    assert len(record.results[0].mentions) == 3
    for i, text in enumerate(replay(read)):
        expected = record.results[i]
        # Half a surrogate pair is no UTF-8; a record spells it.
        alike(text, type(expected)(**{
            **{name: getattr(expected, name) for name in expected.__dataclass_fields__},
            "text": read.results[i].text,
        }))  # fmt: skip


def test_a_run_that_a_budget_ended_replays_to_where_it_ended():
    record = recorded([Text(sequence=0, text="abc")] * 9, budget=Budget(text=10))
    [text] = replay(record)
    assert (text.text, text.finish) == ("abcabcabca", "budget")


def test_replay_shows_a_change_of_the_record():
    record = recorded(script(0))
    kept = [e for e in record.entries if getattr(e.update, "text", "") != "A dog and a "]
    changed = Record(model="m", prompts=record.prompts, entries=tuple(kept))
    with pytest.raises(InputError, match="contradicts itself"):
        replay(changed)


def test_states_and_candidates_are_not_kept(tmp_path):
    recorded(script(0)).save(tmp_path / "r.json")
    grounds = [
        entry["update"]
        for entry in json.loads((tmp_path / "r.json").read_text())["entries"]
        if entry["update"]["type"] == "Ground"
    ]
    assert grounds[2]["embedding"] == {"type": "state", "shape": [4]}


def holding(update):
    return lambda document: {**document, "entries": [{"seconds": 0, "update": update}]}


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda d: [], "expected a JSON object"),
        (lambda d: {**d, "groundplane_record": 7}, "expected a JSON object"),
        (lambda d: {**d, "prompts": []}, "sequence 0, but 0 prompts"),
        (holding({"type": "Path"}), "no kind"),
        (holding({"type": "Text", "who": 1}), "Text"),
        (holding({"type": "Quantity", "value": 1, "unit": "m"}), "no update"),
        (lambda d: {**d, "entries": 4}, "damaged"),
        (lambda d: {k: v for k, v in d.items() if k != "model"}, "damaged"),
    ],
)
def test_a_file_that_is_no_record_is_refused_by_name(tmp_path, spoil, says):
    path = tmp_path / "r.json"
    recorded(script(0)).save(path)
    path.write_text(json.dumps(spoil(json.loads(path.read_text()))))
    with pytest.raises(InputError, match=says):
        Record.load(path)


@pytest.mark.parametrize("data", [b"", b"\xff\xfe", b"[" * 100_000, b"{}", b"null"])
def test_bytes_that_are_no_json_are_refused(tmp_path, data):
    (tmp_path / "r.json").write_bytes(data)
    with pytest.raises(InputError, match=r"record r\.json|record .*r\.json"):
        Record.load(tmp_path / "r.json")


def test_a_missing_file_is_one_line():
    with pytest.raises(InputError, match="cannot be read: No such file"):
        Record.load("nowhere.json")


def test_whatever_is_changed_in_a_record_it_is_read_or_refused(tmp_path):
    """`GROUNDPLANE_FUZZ=20000` is the full form."""
    path = tmp_path / "r.json"
    recorded(script(0)).save(path)
    text, random = path.read_text(), Random(6)
    pieces = ["", "0", "-1", "9e9", "null", "[]", "{}", '"', "Text", "x", ",", "[[0]]"]
    refused = 0
    for _ in range(int(os.environ.get("GROUNDPLANE_FUZZ", "300"))):
        at = random.randrange(len(text))
        path.write_text(text[:at] + random.choice(pieces) + text[at + random.randrange(12) :])
        try:
            replay(Record.load(path))
        except InputError:
            refused += 1
    assert refused


def test_every_kind_of_value_that_a_record_may_hold_exists():
    for name, module in record_values._homes().items():
        assert hasattr(__import__(f"groundplane.core.{module}", fromlist=[name]), name)
    with pytest.raises(InputError, match="cannot be written"):
        record_values.pack(object())


def test_a_number_that_its_type_cannot_hold_is_refused():
    packed = {"type": "array", "dtype": "float32", "shape": [1], "values": [1e99]}
    with pytest.raises(InputError, match="cannot be read"):
        record_values.unpack(packed)
