"""`groundplane ask --model transformers`, as a user calls it, on a tiny model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from groundplane.testing.language_checkpoints import save_language_model

SCHEMA = Path(__file__).parents[2] / "docs" / "schemas" / "record.schema.json"
VALIDATOR = Draft202012Validator(json.loads(SCHEMA.read_text()))


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return save_language_model("llava", tmp_path_factory.mktemp("llava"))


@pytest.fixture(scope="module")
def photo(data_dir):
    return sorted((data_dir / "coco" / "images").glob("*.jpg"))[0]


@pytest.fixture
def ask(run, data_dir, weights):
    def call(source, *more, question="What is there?", options=("max_tokens=8",)):
        given = [f"--model-option={option}" for option in (f"weights={weights}", *options)]
        expert = ["--detector", "coco-file", "--option"]
        expert += [f"annotations={data_dir / 'coco' / 'instances.json'}", "--device", "cpu"]
        where = [str(source), question]
        return run("ask", *where, *expert, "--model", "transformers", *given, *more)

    return call


@pytest.mark.parametrize("route", ["own", "marks"])
def test_every_route_gives_a_valid_record(ask, photo, tmp_path, route):
    options = ("max_tokens=8", f"route={route}")
    code, out, err = ask(photo, "--json", "--record", str(tmp_path / "run.json"), options=options)
    assert code == 0, err
    VALIDATOR.validate(json.loads(out))
    assert json.loads((tmp_path / "run.json").read_text())


def test_a_photo_is_drawn_whatever_the_model_said(ask, photo, tmp_path):
    code, _, err = ask(photo, "--map", str(tmp_path / "p.png"))
    assert code == 0, err
    assert (tmp_path / "p.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("max_token=8",), "has no option 'max_token'"),
        (("max_tokens=many",), "expected a whole number, got 'many'"),
        (("route=aftr",), "option route: expected one of own, after, marks, none"),
        (("seed=1", "seed=2"), "--model-option 'seed' is given twice"),
    ],
)
def test_wrong_options_are_one_line(ask, photo, options, message):
    code, _, err = ask(photo, options=options)
    assert code == 2
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("given", [(), ("--model-option", "weights=/nowhere/at/all")])
def test_weights_that_are_missing_name_the_flag(run, photo, given):
    code, _, err = run("ask", photo, "What?", "--model=transformers", "--device=cpu", *given)
    assert code == 2
    assert "--model-option" in err
    assert err.count("\n") == 1
