"""The command line with `--noise`, `--too-close` and `--what-if`."""

import json
from pathlib import Path

import jsonschema
import pytest
from PIL import Image as PILImage

import groundplane as gp
from groundplane.testing.scenes import SceneBuilder

ROOT = Path(__file__).resolve().parents[2]
APARTMENT = str(ROOT / "examples" / "apartment.json")
SCHEMA = json.loads((ROOT / "docs" / "schemas" / "record.schema.json").read_text())
FAR = "How far is the lamp from the sofa?"
NEAR = "Is the lamp near the sofa?"


@pytest.fixture
def border(tmp_path):
    """A lamp that is near by a centimetre."""
    builder = SceneBuilder("border").add("sofa", at=(0, 0, 0.5), size=(1, 1, 1))
    path = tmp_path / "border.json"
    builder.add("lamp", at=(1.69, 0, 0.5), size=(0.4, 0.4, 1)).build().save(path)
    return str(path)


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "grey.png"
    PILImage.new("RGB", (32, 24), (90, 90, 90)).save(path)
    return path


def record_of(out):
    record = json.loads(out)
    jsonschema.validate(record, SCHEMA)
    return record


class TestNoise:
    def test_the_sentence_holds_the_interval(self, run):
        code, out, err = run("ask", APARTMENT, FAR, "--noise", "0.05")

        assert (code, err) == (0, "")
        assert out.splitlines()[0] == (
            "The lamp is 0.15 m from the sofa (0.02 to 0.28 m with 90 % probability)."
        )

    def test_what_is_too_close_to_call_says_so_and_is_no_failure(self, run, border):
        code, out, err = run("ask", border, NEAR, "--noise", "0.1")

        assert (code, err) == (0, "")
        assert out.startswith("Too close to call: yes with 53 % probability, no with 47 %.")

    def test_the_record_holds_probability_and_runner_up(self, run, border):
        _, out, _ = run("ask", border, NEAR, "--noise", "0.1", "--json")

        record = record_of(out)
        assert record["status"] == "too_close"
        assert record["value"] is True
        assert record["probability"] == pytest.approx(0.525, abs=0.01)
        assert record["runner_up"]["value"] is False

    def test_the_record_holds_the_interval(self, run):
        _, out, _ = run("ask", APARTMENT, FAR, "--noise", "0.05", "--json")

        assert record_of(out)["interval"] == pytest.approx([0.02, 0.28], abs=0.001)

    def test_the_threshold_can_be_set(self, run, border):
        _, out, _ = run("ask", border, NEAR, "--noise", "0.1", "--too-close", "0.5")

        assert out.startswith("Yes, the lamp is near the sofa (53 % probability).")

    def test_noise_of_the_scene_file_counts_without_the_flag(self, run, border):
        scene = gp.CognitiveMap.load(border).with_noise(0.1)
        scene.save(border)

        _, out, _ = run("ask", border, NEAR)

        assert out.startswith("Too close to call")

    @pytest.mark.parametrize(
        ("arguments", "told"),
        [(("--noise", "-1"), "noise"), (("--noise", "nan"), "noise"),
         (("--too-close", "2"), "too_close: expected a probability")],
    )  # fmt: skip
    def test_numbers_out_of_range_are_refused_in_one_line(self, run, arguments, told):
        code, out, err = run("ask", APARTMENT, FAR, *arguments)

        assert (code, out) == (2, "")
        assert told in err
        assert err.count("\n") == 1

    def test_a_photo_has_no_metres(self, run, photo):
        code, _, err = run("ask", photo, "How many cups are there?", "--noise", "0.1")

        assert code == 2
        assert "noise needs a scene of boxes in metres; a photo or a story has none" in err

    def test_a_folder_of_photos_has_none_either(self, run, photo):
        code, _, err = run("ask", photo.parent, "How many cups are there?", "--noise", "0.1")

        assert code == 2
        assert "noise needs a scene" in err


class TestWhatIf:
    def test_flips_stand_under_the_answer(self, run, border):
        code, out, _ = run("ask", border, NEAR, "--what-if")

        assert code == 0
        assert "  what if (the least change that flips the answer):" in out
        assert "    lamp not there: no answer" in out
        assert "distances on the ground times 1.01: no" in out

    def test_the_record_holds_every_change(self, run, border):
        _, out, _ = run("ask", border, NEAR, "--what-if", "--json")

        kinds = {flip["kind"] for flip in record_of(out)["what_if"]}
        assert kinds == {"scale", "shift", "drop", "swap"}

    def test_nobody_asked_is_null(self, run, border):
        _, out, _ = run("ask", border, NEAR, "--json")

        assert record_of(out)["what_if"] is None

    def test_many_questions_are_each_tested(self, run, border, tmp_path):
        questions = tmp_path / "questions.txt"
        questions.write_text("How many lamps are there?\nWhat is the meaning of life?\n")

        _, out, _ = run("ask", border, "--questions", questions, "--what-if")

        first, second = map(record_of, out.splitlines())
        assert [flip["value"] for flip in first["what_if"]] == [0]
        assert second["what_if"] is None

    @pytest.mark.parametrize("place", ["photo", "folder"])
    def test_photos_are_refused(self, run, photo, place):
        source = photo if place == "photo" else photo.parent

        code, _, err = run("ask", source, "How many cups are there?", "--what-if")

        assert code == 2
        assert "needs a scene" in err

    def test_a_set_tells_what_it_gains_and_loses(self, run, border):
        _, out, _ = run("ask", border, "What is near the sofa?", "--what-if")

        assert "lamp not there: without lamp" in out


def test_python_asks_the_same_way(border):
    reply = gp.ask(border, NEAR, noise=0.1, what_if=True)

    assert reply.status is gp.Status.TOO_CLOSE
    assert not reply.failed
    assert reply.what_if
