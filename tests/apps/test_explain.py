"""`ask --record` and `explain`: what happened is kept, told, drawn and replayed, or refused."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
from PIL import Image as PILImage

from groundplane.apps.explaining import ExplainJob, explained
from groundplane.apps.explaining import run as explain
from groundplane.apps.timeline import draw_timeline
from groundplane.apps.timeline_bars import chart_of, marks_in
from groundplane.core.answer import Answer
from groundplane.core.errors import InputError
from groundplane.core.expressions import Select
from groundplane.core.image import FrameMap
from groundplane.core.media import read_image
from groundplane.core.orchestrator import Budget, Orchestrator, Resolvers
from groundplane.core.queries import Count
from groundplane.core.record import Record, Recorder
from groundplane.core.session import Done, Ground, Locate, Need, Prompt, Query, Text
from groundplane.core.session_notes import Injected, Note
from groundplane.testing.language_models import FakeResolver, ScriptedModel, found, picture

ROOT = Path(__file__).resolve().parents[2]
APARTMENT = ROOT / "examples" / "apartment.json"
HOSTILE = "a\x1b[31m\u202ecat\x07\r\n\u0301 $\\frac{$ <b>"


def look(call):
    if "gone" in call.event.phrases:
        raise ValueError("the expert is gone")
    return found(call.event, image_size=call.prompt.images[call.event.image].size)


def script(i=0, word="dog"):
    return [
        Text(sequence=i, text="A "),
        Text(sequence=i, text=f"{word}, "),
        Ground(sequence=i, request="g", phrases=(word,), span=(2, 2 + len(word))),
        Need(sequence=i, requests=("g",)),
        Injected(sequence=i, request="g", text="<box>", tokens=(1, 2), before=4, after=6, cut=1),
        Locate(sequence=i, boxes=np.array([[1.0, 1, 2, 3]]), frame_map=FrameMap.identity(),
               span=(0, 1)),
        Ground(sequence=i, request="lost", phrases=("gone",)),
        Query(sequence=i, request="q", expression=Count(Select("dog")), on=("g",)),
        Need(sequence=i, requests=("q",)),
        Note(sequence=i, name="dropped", detail="the oldest turn"),
        Text(sequence=i, text="once."),
        Done(sequence=i),
    ]  # fmt: skip


def prompt(text="What is there?", *images):
    return Prompt(text=text, images=images or (picture(40, 30),))


def watched(*scripts, prompts=None, budget=None):
    """A run with its record."""
    prompts = prompts or [prompt()] * len(scripts)
    solve = FakeResolver(lambda call: Answer(value=1, unit="count", evidence=("g-1",)))
    resolvers = Resolvers(ground=FakeResolver(look), query=solve)
    model = ScriptedModel(list(scripts))
    runner = Orchestrator(model, resolvers=resolvers, budget=budget or Budget())
    recorder = Recorder("scripted", experts="fake")
    return recorder, recorder.watch(prompts, runner.stream(prompts))


def recorded(*scripts, **more):
    recorder, updates = watched(*scripts, **more)
    list(updates)
    return recorder.record()


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "run.json"
    recorded(script(0), script(1, "猫")).save(path)
    return path


class TestAskAndExplain:
    @pytest.fixture
    def kept(self, run, tmp_path):
        path = tmp_path / "kept.json"
        code, _, err = run("ask", APARTMENT, "How far is the lamp from the sofa?", "--record", path)
        assert (code, err) == (0, "")
        return path

    def test_a_question_of_a_scene_is_told_step_by_step(self, run, kept):
        code, out, err = run("explain", kept)
        assert (code, err) == (0, "")
        lines = [line[13:] if line[10:11] == "s" else line for line in out.splitlines()]
        query = (
            "query     'query': measure(name='distance', "
            "of=[unique(select('lamp')), unique(select('sofa'))])"
        )
        assert lines == [
            "model: planner",
            "",
            "question 1: How far is the lamp from the sofa?",
            "  scene apartment",
            query,
            "need      'query'",
            "dispatch  'query' to query resolver 'QueryResolver'",
            "resolved  'query': 0.1499999999999997 m, answered",
            "text      'The lamp is 0.15 m from the sofa.' (4 pieces)",
            "done      complete",
            "  answer (complete): The lamp is 0.15 m from the sofa.",
            "    'The lamp' -> lamp",
            "    'the sofa' -> sofa",
            "    computed: 0.15 m (answered, rests on lamp, sofa)",
            "replayed: the same text, mentions, regions and answers",
        ]

    def test_a_record_of_a_scene_is_told_without_torch(self, kept):
        code = (
            "import sys; from pathlib import Path; from groundplane.apps.explaining import *;"
            f"run(ExplainJob(record=Path({str(kept)!r})));"
            "sys.exit(str([m for m in ('torch', 'matplotlib', 'PIL') if m in sys.modules] or ''))"
        )
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.stderr.strip(), done.stdout[:6]) == ("", "model:")

    def test_questions_of_a_file_stand_in_one_record(self, run, tmp_path):
        (tmp_path / "q.txt").write_text("How many lamps are there?\nblub?\n", encoding="utf-8")
        path = tmp_path / "r.json"
        run("ask", APARTMENT, "--questions", tmp_path / "q.txt", "--record", path)
        out = run("explain", path, "--question", 2)[1]
        assert "question 2: blub?" in out
        assert "question 1" not in out
        assert "answer (not_understood)" in out

    def test_a_photo_is_drawn_with_what_its_annotators_found(self, run, data_dir, tmp_path):
        coco = data_dir / "coco"
        photo, path = coco / "images" / "000000000790.jpg", tmp_path / "r.json"
        options = ("--detector", "coco-file", "--option", f"annotations={coco / 'instances.json'}")
        asked = run("ask", photo, "How many people are there?", *options, "--record", path)
        assert asked[0] == 0
        code, out, _ = run("explain", path, "--out", tmp_path / "r.png", "--photo", photo)
        assert code == 0
        assert "resolved  'ground': 4 regions: ann-187952 at [211.7, 78.1, 309.3, 198.8]" in out
        assert "model: planner; experts: coco-file" in out
        with PILImage.open(tmp_path / "r.png") as drawn:
            assert drawn.width == 1080
            assert drawn.height > 800
        record = Record.load(path)
        assert [m.label for m in marks_in(record, 0, read_image(photo))] == ["person"] * 4

    def test_a_record_replaces_nothing_that_is_read(self, run, tmp_path):
        code, _, err = run("ask", APARTMENT, "Where is it?", "--record", APARTMENT)
        assert (code, "is what is read" in err) == (2, True)
        code, _, err = run("ask", APARTMENT, "Where?", "--record", tmp_path / "no" / "r.json")
        assert (code, "no such folder" in err) == (2, True)

    def test_a_story_has_no_run_to_record(self, run, tmp_path):
        (tmp_path / "s.txt").write_text("A is left of B.", encoding="utf-8")
        arguments = ("ask", tmp_path / "s.txt", "What is the relation of A to B?")
        code, _, err = run(*arguments, "--record", tmp_path / "r.json")
        assert (code, "no run to record" in err) == (2, True)
        code, _, err = run(*arguments, "--model", "transformers")
        assert (code, "without a language model" in err) == (2, True)


class TestTold:
    def test_every_kind_of_step_is_told(self, saved):
        out = "\n".join(explained(Record.load(saved), [0]))
        for piece in (
            "text      'A dog, ' (2 pieces)",
            "ground    'g': dog in image 0",
            "dispatch  'g' to ground resolver 'FakeResolver'",
            "resolved  'g': 1 regions: g-1 at [0.0, 0.0, 40.0, 30.0]",
            "injected  'g': '<box>', 2 tokens, in place of 1 of its own, cache 4 to 6",
            "locate    image 0: located-1 at [1.0, 1.0, 2.0, 3.0]",
            "failed    'lost', error: ",
            "query     'q': count(select('dog'))",
            "dropped   the oldest turn",
            "    'dog' -> g-1 at [0.0, 0.0, 40.0, 30.0]",
            "    'A' -> located-1 at [1.0, 1.0, 2.0, 3.0]",
            "    computed: 1 count (answered, rests on g-1)",
        ):
            assert piece in out

    def test_all_questions_are_told_and_replayed(self, run, saved):
        code, out, _ = run("explain", saved)
        assert code == 0
        assert "question 2: What is there?" in out
        assert "'猫' -> g-1" in out
        assert out.endswith("replayed: the same text, mentions, regions and answers\n")

    def test_a_run_that_a_budget_cut_off_says_so(self):
        record = recorded(script(), budget=Budget(calls=1))
        assert "failed    'lost', budget" in "\n".join(explained(record, [0]))
        record = recorded([Text(sequence=0, text="ab" * 9)] * 9, budget=Budget(text=40))
        assert "  answer (budget): abab" in "\n".join(explained(record, [0]))

    def test_a_run_cut_short_is_told_as_far_as_it_went(self, run, tmp_path):
        recorder, updates = watched(script())
        for update in updates:
            if isinstance(update, Note):
                break
        updates.close()
        recorder.record().save(tmp_path / "r.json")
        code, out, _ = run("explain", tmp_path / "r.json", "--out", tmp_path / "r.svg")
        assert code == 0
        for piece in (
            "text      'A dog, ' (2 pieces)",
            "ground    'g': dog in image 0",
            "resolved  'g': 1 regions: g-1 at [0.0, 0.0, 40.0, 30.0]",
            "injected  'g': '<box>'",
            "locate    image 0: [[1.0, 1.0, 2.0, 3.0]]",
            "failed    'lost', error: ",
            "resolved  'q': 1 count, answered",
            "dropped   the oldest turn",
            "it never finished\nreplayed: nothing finished",
        ):
            assert piece in out
        assert (tmp_path / "r.svg").stat().st_size > 1000

    def test_a_run_under_a_wider_budget_replays_whole(self, run, tmp_path):
        lines = [
            Ground(sequence=0, request=f"g{k}", phrases=(f"thing {k}",), span=(0, 1))
            for k in range(60)
        ]
        script = [Text(sequence=0, text="x"), *lines, Done(sequence=0)]
        recorded(script, budget=Budget(calls=60)).save(tmp_path / "r.json")
        code, out, _ = run("explain", tmp_path / "r.json")
        assert (code, "replayed: the same" in out) == (0, True)
        assert out.count("resolved") == 60

    def test_nothing_in_a_record_steers_a_terminal(self, run, tmp_path):
        record = recorded(script(word=HOSTILE), prompts=[prompt(HOSTILE * 300)])
        record = replace(record, model=HOSTILE, experts=HOSTILE)
        record.save(tmp_path / "r.json")
        code, out, err = run("explain", tmp_path / "r.json", "--out", tmp_path / "r.png")
        assert (code, err) == (0, "")
        assert all(char.isprintable() or char == "\n" for char in out)
        assert max(map(len, out.splitlines())) < 1200
        assert "\\x1b[31m\\u202ecat" in out


class TestReplay:
    def test_what_was_changed_is_seen(self, run, saved):
        document = json.loads(saved.read_text(encoding="utf-8"))
        last = [e["update"] for e in document["entries"] if e["update"]["type"] == "Finished"][-1]
        last["result"]["text"] = "Nothing, twice."
        saved.write_text(json.dumps(document), encoding="utf-8")
        code, out, _ = run("explain", saved)
        assert (code, out.splitlines()[-1]) == (1, "replayed: NOT the same (question 2)")
        assert run("explain", saved, "--question", 1)[0] == 0

    def test_a_box_that_was_moved_is_seen(self, run, saved):
        document = json.loads(saved.read_text(encoding="utf-8"))
        updates = [entry["update"] for entry in document["entries"]]
        result = next(u["result"] for u in updates if u["type"] == "Finished")
        result["regions"][0]["boxes"]["values"][0] = 5.0
        saved.write_text(json.dumps(document), encoding="utf-8")
        code, out, _ = run("explain", saved)
        assert (code, out.splitlines()[-1]) == (1, "replayed: NOT the same (question 1)")


class TestPicture:
    @pytest.mark.parametrize("kind", ["svg", "png"])
    def test_the_same_record_gives_the_same_bytes(self, saved, tmp_path, kind):
        digests = set()
        for name in ("a", "b"):
            path = tmp_path / f"{name}.{kind}"
            draw_timeline(Record.load(saved), 1, path, photo=picture(40, 30))
            digests.add(hashlib.sha256(path.read_bytes()).hexdigest())
        assert len(digests) == 1

    def test_bars_tell_who_waited_for_what(self):
        chart = chart_of(recorded(script()), 0)
        first, lost, query = chart.bars
        assert [bar.what for bar in chart.bars] == ["dog", "gone", "count(select('dog'))"]
        assert (first.failed, lost.failed, query.failed) == (False, True, False)
        assert first.begun <= first.ended <= first.given <= chart.end
        assert first.outcome.startswith("1 region, ")
        assert query.outcome.startswith("1 count, ")
        assert (len(chart.spoken), len(chart.placed), len(chart.waits)) == (3, 1, 2)

    @pytest.mark.parametrize("sides", [(1, 1), (3000, 40)])
    @pytest.mark.parametrize("text", ["", "猫" * 500])
    def test_odd_photos_and_questions_are_drawn(self, tmp_path, sides, text):
        said = [Text(sequence=0, text=text), Done(sequence=0)]
        record = recorded(said, prompts=[prompt(text, picture(*sides))])
        draw_timeline(record, 0, tmp_path / "r.png", photo=picture(*sides))
        with PILImage.open(tmp_path / "r.png") as drawn:
            assert drawn.width == 1080

    def test_marks_are_those_of_the_photo_that_is_shown(self):
        first, second = picture(40, 30), picture(50, 20)
        asks = [
            Ground(sequence=0, request=f"g{i}", phrases=(f"thing {i}",), image=i) for i in (0, 1)
        ]
        again = Ground(sequence=0, request="g2", phrases=("thing 1",), image=1)
        record = recorded([*asks, again, Done(sequence=0)], prompts=[prompt("?", first, second)])
        assert [mark.label for mark in marks_in(record, 0, second)] == ["thing 1"]

    def test_many_requests_stay_a_picture_that_can_be_read(self, tmp_path):
        asks = [Ground(sequence=0, request=f"g{k}", phrases=(f"t{k}",)) for k in range(60)]
        record = recorded([*asks, Done(sequence=0)], budget=Budget(calls=60))
        draw_timeline(record, 0, tmp_path / "r.png")
        with PILImage.open(tmp_path / "r.png") as drawn:
            assert drawn.height < 2000


class TestRefused:
    def test_another_photo(self, run, saved, tmp_path):
        PILImage.new("RGB", (40, 30)).save(tmp_path / "other.png")
        out = tmp_path / "r.png"
        more = ("--question", 1, "--out", out, "--photo", tmp_path / "other.png")
        code, _, err = run("explain", saved, *more)
        assert (code, "its bytes differ" in err, out.exists()) == (2, True, False)

    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            (("--question", 3), "--question 3: expected 1 to 2"),
            (("--question", 0), "--question 0: expected 1 to 2"),
            (("--out", "r.jpg"), "must be .svg or .png"),
            (("--out", "nowhere/r.png"), "no such folder"),
            (("--photo", "a.png"), "--photo is drawn with --out"),
            (("--out", "r.png"), "--out draws one question and the record holds 2"),
        ],
    )
    def test_arguments_that_fit_nothing(self, run, saved, arguments, says):
        code, out, err = run("explain", saved, *arguments)
        assert (code, out) == (2, "")
        assert says in err
        assert err.count("\n") == 1

    def test_a_picture_in_place_of_the_photo(self, run, saved, tmp_path):
        photo = tmp_path / "p.png"
        PILImage.new("RGB", (40, 30)).save(photo)
        before = photo.read_bytes()
        code, _, err = run("explain", saved, "--question", 1, "--out", photo, "--photo", photo)
        assert (code, "is what is read" in err) == (2, True)
        assert photo.read_bytes() == before

    @pytest.mark.parametrize("data", [b"", b"{}", b"\x89PNG", b'{"groundplane_record": 2}'])
    def test_files_that_are_no_record(self, run, tmp_path, data):
        (tmp_path / "r.json").write_bytes(data)
        code, out, err = run("explain", tmp_path / "r.json")
        assert (code, out, err.count("\n")) == (2, "", 1)

    def test_a_missing_file_and_an_empty_record(self, run, tmp_path):
        assert run("explain", tmp_path / "none.json")[0] == 2
        Recorder("m").record().save(tmp_path / "r.json")
        code, _, err = run("explain", tmp_path / "r.json")
        assert (code, "holds no question" in err) == (2, True)

    def test_whatever_is_changed_in_a_record_it_is_told_or_refused(self, tmp_path, capsys):
        """`GROUNDPLANE_FUZZ=5000` is the full form."""
        path = tmp_path / "r.json"
        recorded(script()).save(path)
        document, random = json.loads(path.read_text(encoding="utf-8")), Random(6)
        values = [None, -1, 1e300, "x", [], {}, [[0]], True, float("nan"), {"type": "Text"}]
        ends = set()
        for _ in range(int(os.environ.get("GROUNDPLANE_FUZZ", "80"))):
            path.write_text(json.dumps(_spoiled(document, random, values)), encoding="utf-8")
            out = tmp_path / "r.svg" if random.random() < 0.1 else None
            try:
                ends.add(explain(ExplainJob(record=path, out=out)))
            except InputError:
                ends.add(2)
        capsys.readouterr()
        assert ends >= {0, 2}


def _spoiled(document, random, values):
    """A copy with one value somewhere replaced."""
    copy = json.loads(json.dumps(document))
    at = copy
    while True:
        keys = list(at) if isinstance(at, dict) else range(len(at))
        key = random.choice(list(keys))
        inner = at[key]
        if not isinstance(inner, dict | list) or not inner or random.random() < 0.1:
            at[key] = random.choice(values)
            return copy
        at = inner


class TestPage:
    """`docs/explain.md` says what is so."""

    page = (ROOT / "docs" / "explain.md").read_text(encoding="utf-8")

    def block(self, language):
        return self.page.split(f"```{language}\n")[1].split("```")[0]

    def test_its_commands_print_what_it_shows(self, run, tmp_path, monkeypatch):
        (tmp_path / "examples").symlink_to(ROOT / "examples")
        monkeypatch.chdir(tmp_path)
        ask, explain = map(shlex.split, self.block("console").splitlines())
        assert run(*ask[1:])[0] == 0
        shown = run(*explain[1:])[1]

        def untimed(text):
            return re.sub(r"\d\.\d{3}s ", "", text)

        assert untimed(shown) == untimed(self.block("text"))

    def test_its_python_runs(self, tmp_path, monkeypatch, capsys):
        (tmp_path / "examples").symlink_to(ROOT / "examples")
        monkeypatch.chdir(tmp_path)
        exec(self.block("python"), {})
        said = capsys.readouterr().out
        assert said.splitlines()[1] == f"How many lamps are there? -> {said.splitlines()[0]}"

    def test_its_fields_are_those_of_the_file(self, saved):
        document = json.loads(saved.read_text(encoding="utf-8"))
        [prompt, *_], [entry, *_] = document["prompts"], document["entries"]
        for name in (*document, *prompt, *prompt["images"][0], *entry):
            assert f"`{name}`" in self.page
        for entry in document["entries"]:
            assert f"`{entry['update']['type']}`" in self.page
        example = json.loads(self.block("json"))
        grounds = [e["update"] for e in document["entries"] if e["update"]["type"] == "Ground"]
        assert example["update"].keys() == grounds[0].keys()

    def test_its_options_are_those_of_the_command(self, run):
        shown = run("explain", "--help")[1]
        for name in re.findall(r"^\| `(--\w+) ", self.page, flags=re.MULTILINE):
            assert name in shown


def test_keys_and_options_stay_out_of_a_record(run, monkeypatch, tmp_path):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    path = tmp_path / "r.json"
    assert run("ask", APARTMENT, "How many lamps are there?", "--record", path)[0] == 0
    assert "secret" not in path.read_text(encoding="utf-8")
