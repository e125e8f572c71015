"""`groundplane verify`: claim for claim, with the evidence; a photo or a scene."""

import json

import pytest

from groundplane.core.media import read_image
from groundplane.testing.scenes import SceneBuilder


@pytest.fixture
def photo(data_dir):
    return data_dir / "coco" / "images" / "000000160012.jpg"


@pytest.fixture
def verify(run, data_dir, photo):
    """Verify a text against what people annotated in a photo of pizzas, a bottle and one car."""
    option = f"annotations={data_dir / 'coco' / 'instances.json'}"

    def call(text, *more):
        return run("verify", photo, text, "--detector", "coco-file", "--option", option, *more)

    return call


def verdicts(out):
    return [(c["kind"], c["verdict"]) for c in json.loads(out)["claims"]]


def test_true_and_false_claims_are_told_apart(verify):
    code, out, err = verify("There are two pizzas and three cars.", "--json")
    assert (code, err) == (0, "")
    assert verdicts(out) == [("count", "supported"), ("count", "contradicted")]
    evidence = json.loads(out)["claims"][0]["evidence"]
    assert [row["label"] for row in evidence] == ["pizza", "pizza"]


def test_a_changed_word_changes_the_verdict(verify):
    true = verify("The bottle is left of a pizza.", "--json")[1]
    false = verify("The bottle is right of a pizza.", "--json")[1]
    assert ("relation", "supported") in verdicts(true)
    assert ("relation", "contradicted") in verdicts(false)


def test_the_text_is_shown_marked_with_a_line_a_claim(verify):
    code, out, _ = verify("There is a giraffe. Is it hot?")
    lines = out.splitlines()
    assert code == 0
    assert lines[0] == "There is a giraffe [contradicted]. Is it hot?"
    assert lines[1].split(maxsplit=2) == ["contradicted", "exists", "a giraffe"]
    assert lines[-2].split(maxsplit=2)[:2] == ["not", "read"]
    assert lines[-1].startswith("1 claim: ")


def test_the_evidence_is_drawn(verify, tmp_path):
    assert verify("There are two pizzas.", "--out", tmp_path / "a.png")[0] == 0
    assert read_image(tmp_path / "a.png").size[0] >= 1000


def test_a_text_without_claims_is_no_fault(verify):
    code, out, _ = verify("")
    assert code == 0
    assert out.splitlines()[-1] == "The text claims nothing that can be checked."


def test_a_scene_needs_no_expert(run, tmp_path):
    scene = SceneBuilder().add("chair", at=(0, 0, 0.5), size=(0.5, 0.5, 1)).build()
    path = tmp_path / "scene.json"
    path.write_text(scene.to_json())
    code, out, _ = run("verify", path, "There is a chair and no sofa.", "--json")
    assert code == 0
    assert verdicts(out) == [("exists", "supported"), ("exists", "supported")]
    code, _, err = run("verify", path, "There is a chair.", "--out", tmp_path / "a.png")
    assert code == 2
    assert "--out draws a photo" in err


@pytest.mark.parametrize("source", ["none.png", "none.json", ""])
def test_a_source_that_is_not_there(run, source):
    code, out, err = run("verify", source, "There is a dog.", "--detector", "opencv")
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
