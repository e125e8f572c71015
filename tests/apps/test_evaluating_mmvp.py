"""`groundplane evaluate mmvp|mmvp-vlm`: tables, JSON, and one line for a fault."""

import json

import pytest
import torch
from PIL import Image as Pictures

from groundplane.apps import evaluating_mmvp
from groundplane.core.features import FeatureGrid
from groundplane.core.frames import Frame
from groundplane.core.session import Done, Text
from groundplane.testing.language_models import ScriptedModel

QUESTIONS = """Index,Question,Options,Correct Answer
1,Are the wings open?,(a) Yes (b) No,(a)
2,Are the wings open?,(a) Yes (b) No,(b)
3,Which way?,(a) Left (b) Right,(a)
4,Which way?,(a) Left (b) Right,(b)
"""


@pytest.fixture
def write(tmp_path):
    def file(name, content):
        path = tmp_path / name
        text = content if isinstance(content, str) else "\n".join(map(json.dumps, content))
        path.write_text(text)
        return path

    return file


def responses(*said, truth=("(a)", "(b)", "(a)", "(b)")):
    return [
        {"question_id": i, "response": word, "answer": right}
        for i, (word, right) in enumerate(zip(said, truth, strict=True), start=1)
    ]


class TestMmvp:
    def test_the_table_tells_pairs_singles_chance_and_misses(self, run, write):
        answers = write("a.jsonl", responses("Yes.", "(b)", "left", "hm"))
        out = answers.with_name("out.json")
        command = ("evaluate", "mmvp", "--questions", write("Questions.csv", QUESTIONS))
        code, table, err = run(*command, "--answers", answers, "--json", out)
        assert (code, err) == (0, "")
        assert "pair accuracy   0.5000  1 of 2 pairs" in table
        assert "95 % interval 0.0945 to 0.9055; chance 0.2500" in table
        assert "accuracy        0.7500  3 of 4 questions" in table
        assert "1 answers choose no option that can be read" in table
        assert "4: Which way? (a) Left (b) Right (b); cannot be read: hm" in table
        assert json.loads(out.read_text())["pair_accuracy"] == 0.5

    def test_patterns_have_a_table(self, run, write):
        code, table, _ = run(
            "evaluate", "mmvp", "--questions", write("Questions.csv", QUESTIONS),
            "--answers", write("a.jsonl", responses("a", "b", "b", "a")),
            "--patterns", write("p.csv", "index,pattern\n1,state\n3,direction\n"),
        )  # fmt: skip
        assert code == 0
        assert [line.split() for line in table.splitlines()[5:8]] == [
            ["pattern", "n", "right", "share"],
            ["state", "1", "1", "1.0000"],
            ["direction", "1", "0", "0.0000"],
        ]

    def test_answers_to_another_version_are_told(self, run, write):
        answers = write(
            "a.jsonl", responses("a", "b", "a", "b", truth=("(b)", "(b)", "(a)", "(b)"))
        )
        questions = write("Questions.csv", QUESTIONS)
        code, _, err = run("evaluate", "mmvp", "--questions", questions, "--answers", answers)
        assert code == 0
        assert "1 answers repeat another truth" in err

    def test_answers_that_are_cut_off_are_told(self, run, write, monkeypatch):
        model = ScriptedModel(lambda sequence, prompt: [Done(sequence=sequence)])
        monkeypatch.setattr(evaluating_mmvp, "load", lambda *_, **__: model)
        monkeypatch.setattr(evaluating_mmvp, "_SECONDS", 1e-9)
        questions = write("Questions.csv", QUESTIONS)
        for number in range(1, 5):
            Pictures.new("RGB", (5, 5)).save(questions.with_name(f"{number}.jpg"))
        code, _, err = run(
            "evaluate", "mmvp", "--questions", questions, "--images", questions.parent,
            "--model", "mof",
        )  # fmt: skip
        assert code == 0
        assert "4 answers were cut off after 1e-09 s and count as far as they go" in err

    def test_a_language_model_answers_through_the_orchestrator(self, run, write, monkeypatch):
        def script(sequence, prompt):
            letter = "(a)" if prompt.images[0].pixels.mean() > 100 else "(b)"
            asked.append(prompt.text)
            return [Text(sequence=sequence, text=letter), Done(sequence=sequence)]

        def load(kind, name, *, device, **options):
            made.append((kind, name, device, options))
            return ScriptedModel(script)

        asked, made = [], []
        monkeypatch.setattr(evaluating_mmvp, "load", load)
        questions = write("Questions.csv", QUESTIONS)
        for number in range(1, 5):
            grey = 200 if number % 2 else 20
            Pictures.new("RGB", (5, 5), (grey,) * 3).save(questions.with_name(f"{number}.jpg"))
        code, table, _ = run(
            "evaluate", "mmvp", "--questions", questions, "--images", questions.parent,
            "--model", "mof", "--option", "weights=W", "--device", "cpu",
        )  # fmt: skip
        assert code == 0
        assert "pair accuracy   1.0000  2 of 2 pairs" in table
        assert made == [("language_models", "mof", "cpu", {"weights": "W"})]
        assert asked[2] == "Which way? (a) Left (b) Right"

    @pytest.mark.parametrize(
        ("flags", "said"),
        [
            ([], "give --answers FILE, or --images"),
            (["--model", "planner"], "give --answers FILE, or --images"),
            (["--answers", "A", "--images", "."], "not both"),
            (["--answers", "A", "--option", "x=1"], "--answers takes none"),
            (["--answers", "nowhere"], "cannot be read"),
            (["--images", ".", "--model", "no-such"], "no-such"),
        ],
    )
    def test_flags_that_do_not_fit_are_one_line(self, run, write, flags, said):
        answers = write("a.jsonl", responses("a", "b", "a", "b"))
        flags = [str(answers) if flag == "A" else flag for flag in flags]
        questions = write("Questions.csv", QUESTIONS)
        code, out, err = run("evaluate", "mmvp", "--questions", questions, *flags)
        assert (code, out, len(err.splitlines())) == (2, "", 1)
        assert said in err


class TestMmvpVlm:
    @pytest.fixture
    def folder(self, write):
        path = write("Questions.csv", "Question ID,Type,Statement\n1,Text,STOP\n2,Text,GO\n")
        return path.parent

    def test_the_table_tells_patterns_and_mean(self, run, write, folder):
        scores = write("s.jsonl", [{"qid1": 1, "qid2": 2, "q1score": 0.9, "q2score": 0.1}])
        out = folder / "out.json"
        command = ("evaluate", "mmvp-vlm", "--folder", folder, "--scores", scores, "--json", out)
        code, table, err = run(*command)
        assert (code, err) == (0, "")
        assert [line.split() for line in table.splitlines()[1:3]] == [
            ["text", "1", "1", "1.0000"],
            ["mean", "of", "the", "patterns", "1", "1", "1.0000"],
        ]
        assert "chance 0.2500; 0 ties" in table
        assert json.loads(out.read_text())["patterns"]["text"]["right"] == 1

    def test_an_encoder_matches_pictures_and_captions(self, run, folder, monkeypatch):
        class Encoder:
            def encode(self, images):
                summary = torch.stack([self.point(i.pixels.mean() > 100) for i in images])
                return FeatureGrid(
                    tokens=summary[:, None],
                    grid=(1, 1),
                    patch=1,
                    frames=tuple(Frame.original(image.size) for image in images),
                    summary=summary,
                )

            def embed_texts(self, texts):
                return torch.stack([self.point("STOP" in text) for text in texts])

            def point(self, first):
                return torch.tensor([1.0, 0.0] if first else [0.0, 1.0])

        (folder / "MLLM_VLM Images" / "Text").mkdir(parents=True)
        for number, grey in ((1, 200), (2, 20)):
            path = folder / "MLLM_VLM Images" / "Text" / f"{number}.jpg"
            Pictures.new("RGB", (5, 5), (grey,) * 3).save(path)
        monkeypatch.setattr(evaluating_mmvp, "load", lambda kind, name, **options: Encoder())
        code, table, _ = run("evaluate", "mmvp-vlm", "--folder", folder, "--encoder", "clip")
        assert code == 0
        assert table.splitlines()[1].split() == ["text", "1", "1", "1.0000"]

    @pytest.mark.parametrize(
        ("flags", "said"),
        [
            ([], "give --encoder NAME or --scores FILE"),
            (["--encoder", "clip", "--scores", "x"], "not both"),
            (["--scores", "x", "--option", "a=b"], "--scores takes none"),
            (["--scores", "nowhere.csv"], "cannot be read"),
            (["--encoder", "no-such"], "no-such"),
        ],
    )
    def test_flags_that_do_not_fit_are_one_line(self, run, folder, flags, said):
        code, out, err = run("evaluate", "mmvp-vlm", "--folder", folder, *flags)
        assert (code, out, len(err.splitlines())) == (2, "", 1)
        assert said in err
