"""`groundplane blind-pairs`: planted pairs are found, no others; a second run encodes nothing."""

import json

import numpy as np
import plain_encoders
import pytest
from PIL import Image as PILImage
from plain_encoders import stripes

RED, WHITE, BLUE, GREEN = (200, 30, 30), (250, 250, 250), (30, 30, 200), (20, 160, 40)


@pytest.fixture
def mine(run, tmp_path, monkeypatch):
    """Run the command on a folder of pictures, with the two encoders of known blindness."""
    plain_encoders.install(tmp_path / "plugins")
    monkeypatch.syspath_prepend(str(tmp_path / "plugins"))
    monkeypatch.delenv("GROUNDPLANE_FEATURE_STORE", raising=False)
    (tmp_path / "photos" / "sub").mkdir(parents=True)

    def call(*more, first="colours", second="edges"):
        out = tmp_path / "pairs.jsonl"
        found = run(
            "blind-pairs", tmp_path / "photos", "--first", first, "--second", second,
            "--out", out, *more,
        )  # fmt: skip
        lines = out.read_text("utf-8").splitlines() if out.exists() else []
        return (*found, [json.loads(line) for line in lines])

    return call


@pytest.fixture
def planted(tmp_path):
    """Lying and standing stripes of the same colours, and pictures that are like nothing else."""
    folder = tmp_path / "photos"
    pictures = {
        "lying.png": stripes(across=True, colours=(RED, WHITE)),
        "sub/standing \u7ad6.png": stripes(across=False, colours=(RED, WHITE)),
        "blue.png": stripes(across=True, colours=(BLUE, WHITE)),
        "green.png": stripes(across=False, colours=(GREEN, BLUE)),
    }
    for name, pixels in pictures.items():
        PILImage.fromarray(pixels).save(folder / name)
    return folder


def test_the_planted_pair_is_found_and_no_other(mine, planted):
    code, out, err, records = mine()
    assert (code, err) == (0, "")
    assert [record["pictures"] for record in records] == [["lying.png", "sub/standing \u7ad6.png"]]
    assert records[0]["first"] > 0.99
    assert records[0]["second"] < 0.1
    assert "4 pictures, 4 of them encoded now" in out
    assert "1 pairs with colours at 0.95 or more and edges at 0.6 or less" in out


def test_the_other_way_round_another_pair_is_found(mine, planted):
    _, _, _, records = mine(first="edges", second="colours")
    pairs = {tuple(record["pictures"]) for record in records}
    assert ("lying.png", "sub/standing \u7ad6.png") not in pairs
    assert ("blue.png", "lying.png") in pairs


def test_a_second_run_encodes_nothing_and_writes_the_same(mine, planted, tmp_path):
    mine()
    before = (tmp_path / "pairs.jsonl").read_bytes()
    _, out, _, _ = mine()
    assert "4 pictures, 0 of them encoded now" in out
    assert (tmp_path / "pairs.jsonl").read_bytes() == before
    assert (tmp_path / "pairs.jsonl.features").is_dir()


def test_broken_files_become_records_and_the_code_is_1(mine, planted):
    (planted / "cut.png").write_bytes((planted / "lying.png").read_bytes()[:80])
    (planted / "text.jpg").write_text("no picture")
    code, out, err, records = mine()
    assert code == 1
    assert [record["picture"] for record in records[1:]] == ["cut.png", "text.jpg"]
    assert all(record["error"] for record in records[1:])
    assert "2 not read" in out
    assert len(err.splitlines()) == 2


def test_copies_give_no_pairs_of_their_own(mine, planted):
    (planted / "copy.png").write_bytes((planted / "lying.png").read_bytes())
    _, out, _, records = mine()
    assert len(records) == 1
    assert "1 copies left out" in out


def test_a_file_name_that_is_no_text_is_written(mine, planted):
    (planted / "lying.png").rename(planted / "a\udcff\u2028.png")
    _, _, _, records = mine()
    assert records[0]["pictures"][0] == "a\\udcff\u2028.png"


def test_the_store_is_the_one_that_is_named(mine, planted, tmp_path):
    mine("--store", tmp_path / "mine")
    assert (tmp_path / "mine").is_dir()
    assert not (tmp_path / "pairs.jsonl.features").exists()


def test_options_go_to_their_encoder(mine, planted, tmp_path):
    code, _, _, _ = mine("--option", "colours.cells=3", "--option", "second.cells=4")
    assert code == 0
    code, _, err, _ = mine("--option", "cells=3")
    assert code == 2
    assert "say for which encoder" in err


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_the_sheet_is_drawn_the_same_each_time(mine, planted, tmp_path, kind):
    sheet = tmp_path / f"sheet.{kind}"
    mine("--sheet", sheet)
    before = sheet.read_bytes()
    mine("--sheet", sheet)
    assert sheet.read_bytes() == before
    assert len(before) > 2000


def test_the_sheet_of_an_earlier_run_is_no_picture_of_the_folder(mine, planted):
    first, second = (mine("--sheet", planted / "sheet.png") for _ in range(2))
    assert "4 pictures, 4 of them" in first[1]
    assert "4 pictures, 0 of them" in second[1]
    assert first[3] == second[3]


def test_a_sheet_without_pairs_is_drawn(mine, planted, tmp_path):
    code, _, _, records = mine("--max-second", "-0.9", "--sheet", tmp_path / "none.png")
    assert (code, records) == (0, [])
    assert np.asarray(PILImage.open(tmp_path / "none.png")).std() > 0


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--min-first", "2"), "min_first"),
        (("--most", "0"), "most"),
        (("--batch", "0"), "batch"),
        (("--sheet", "x.gif"), ".svg or .png"),
        (("--out", "/nowhere/at/all.jsonl"), "folder that exists"),
        (("--option", "colours.sizes=3"), "sizes"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(mine, planted, more, said):
    code, _, err, _ = mine(*more)
    assert code == 2
    assert said in err
    assert len(err.splitlines()) == 1


def test_an_empty_folder_is_said_to_be_one(mine):
    code, _, err, _ = mine()
    assert code == 2
    assert "holds no picture" in err


def test_one_picture_makes_no_pair(mine, planted):
    for path in list(planted.rglob("*.png"))[1:]:
        path.unlink()
    code, _, _, records = mine()
    assert (code, records) == (0, [])
