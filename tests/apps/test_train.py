import contextlib
import io
import json
import shutil
import signal
import subprocess
import sys

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from tiny_language import save_language_model
from tiny_training import save_data, small_heap

from groundplane.apps.training import run_mof
from groundplane.core.media import read_image
from groundplane.mof.modeling import MofForConditionalGeneration
from groundplane.mof.processing import MofProcessor
from groundplane.testing.checkpoints_towers import save_clip, save_dinov2

CONFIG = """
output = "out"
language_model = "lm"
text = "text.txt"
[[encoders]]
name = "clip"
options = { weights = "clip", size = 56 }
[[encoders]]
name = "dinov2"
options = { weights = "dinov2", size = 56 }
[stage1]
data = "data/data.json"
held_out = "data/held_out.json"
batch = 4
micro_batch = 2
steps = 3
log_every = 1
save_every = 2
[stage2]
data = "data/data.json"
held_out = "data/more.json"
replay = { file = "data/text.json", share = 0.2 }
batch = 4
micro_batch = 4
steps = 3
lr = 1e-3
log_every = 1
packing = true
"""


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parts")
    save_language_model(folder / "lm")
    save_clip(folder / "clip")
    save_dinov2(folder / "dinov2")
    save_data(folder / "data")
    save_data(folder / "data", count=3, name="held_out.json")
    save_data(folder / "data", count=2, text=2, name="more.json")
    save_data(folder / "data", count=0, text=3, name="text.json")
    (folder / "text.txt").write_text("the dog on the table and a cat in the tree, 桌子 👩‍🚀\n")
    return folder


@pytest.fixture(scope="module", autouse=True)
def _small_heap():
    with small_heap():
        yield


@pytest.fixture(scope="module")
def finished(parts):
    """A run of both stages: its folder, the exit code and what was said."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run_mof(config(parts), resume=False, as_json=False)
    return parts, code, out.getvalue(), err.getvalue()


@pytest.fixture
def folder(parts, tmp_path):
    for name in ("lm", "clip", "dinov2"):
        (tmp_path / name).symlink_to(parts / name)
    shutil.copytree(parts / "data", tmp_path / "data")
    shutil.copy(parts / "text.txt", tmp_path)
    return tmp_path


def config(folder, *changes, name="train.toml"):
    text = CONFIG
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / name).write_text(text)
    return folder / name


def test_both_stages_and_what_they_leave(finished):
    folder, code, out, err = finished
    assert code == 0
    assert "stage1: 3 steps, 8 samples, loss" in out
    assert "backward transfer: " in out
    assert err.count("stage2 3/3 loss ") == 1
    report = json.loads((folder / "out" / "report.json").read_text())
    assert list(report["scores"]) == ["start", "stage1", "stage2"]
    text = [report["scores"][after]["text"]["perplexity"] for after in report["scores"]]
    assert text[0] == text[1] != text[2]  # the first stage leaves the language model alone
    assert report["stages"]["stage2"]["replayed"] == 2
    assert len(report["forgetting"]["scores"]) == 2
    assert read_image(folder / "out" / "loss.png").pixels.std() > 0
    log = (folder / "out" / "stage2" / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in log] == [1, 2, 3]


def test_what_learns_is_not_told_as_frozen(finished):
    told = [line.split(": ")[2] for line in finished[2].splitlines() if "frozen weights" in line]
    assert told == [
        "tower 0 (clip), tower 1 (dinov2), language_model",
        "tower 0 (clip), tower 1 (dinov2)",
    ]


def test_the_second_stage_alone_begins_with_adapters_of_another_run(run, finished):
    folder = finished[0]
    second = CONFIG.split("[stage1]", maxsplit=1)[0] + "[stage2]" + CONFIG.split("[stage2]")[1]
    second = second.replace('"out"', '"then"\nadapters = "out/stage1/adapters"')
    (folder / "second.toml").write_text(second)
    assert run("train", "mof", folder / "second.toml")[0] == 0
    one, two = (load_file(folder / n / "stage2" / "trained.safetensors") for n in ("then", "out"))
    assert all(torch.equal(one[name], two[name]) for name in two)


def test_what_was_trained_can_be_used(finished):
    place = finished[0] / "out" / "model"
    model = MofForConditionalGeneration.from_pretrained(place)
    processor = MofProcessor.from_pretrained(place)
    assert processor.view.fit == "pad"
    picture = read_image(Image.new("RGB", (40, 30), (200, 0, 0)))
    batch = processor("USER: <image>\nof the photo ASSISTANT:", [picture])
    made = model.generate(**batch, max_new_tokens=3, do_sample=False)
    assert made.shape[1] == batch["input_ids"].shape[1] + 3


KILLED = """
import os, pathlib, signal, sys
from groundplane.apps import training
tell = training._tell
def kill(progress):
    tell(progress)
    if (progress.stage, progress.step) == ("stage2", 3):
        os.kill(os.getpid(), signal.SIGKILL)
training._tell = kill
training.run_mof(pathlib.Path(sys.argv[1]), resume=False, as_json=False)
"""


def test_a_run_whose_process_was_killed_goes_on_and_ends_as_an_unbroken_one(run, folder, finished):
    whole = load_file(finished[0] / "out" / "stage2" / "trained.safetensors")
    path = config(folder, ("packing = true", "packing = true\nsave_every = 1"), name="b.toml")
    ended = subprocess.run([sys.executable, "-c", KILLED, path], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert not (folder / "out" / "report.json").exists()
    code, _, err = run("train", "mof", path)
    assert (code, "holds this run already; go on with it by --resume" in err) == (2, True)
    assert run("train", "mof", path, "--resume")[0] == 0
    report = json.loads((folder / "out" / "report.json").read_text())
    assert report["stages"]["stage2"]["resumed_from"] == 2
    again = load_file(folder / "out" / "stage2" / "trained.safetensors")
    assert all(torch.equal(again[name], whole[name]) for name in whole)


def test_a_sample_that_is_left_out_is_told_and_ends_in_code_1(run, folder):
    (folder / "data" / "red0.png").unlink()
    one = ("replay = { file", "skip_missing = true\nreplay = { file")
    two = ("steps = 3\nlog_every = 1\nsave", "steps = 1\nskip_missing = true\nlog_every = 1\nsave")
    code, out, err = run("train", "mof", config(folder, one, two), "--json")
    assert code == 1
    assert "left out: data 'data.json': [0] (id 0): the picture" in err
    assert "left out: 4 samples" in err  # the picture is in four of the files
    assert json.loads(out)["stages"]["stage1"]["samples"] == 7


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("[stage1]", "[stage1]\nlearning_rate = 1"), r"unknown key 'learning_rate'"),
        (("[stage2]", "[stage3]"), "unknown key 'stage3'"),
        (("lr = 1e-3", "lr = nan"), "expected a number, got nan"),
        (("data/data.json", "none.json"), "'none.json': cannot be read: No such file"),
        (("data/data.json", "data/empty.json"), "holds no sample that can be used"),
        (('"clip"\n', '"clop"\n'), "did you mean|not installed|Did you mean"),
        (('"lm"', '"no-lm"'), "no-lm"),
        (("text.txt", "data"), "cannot be read"),
    ],
)
def test_a_bad_config_ends_in_one_line_before_anything_is_written(run, folder, change, expected):
    (folder / "data" / "empty.json").write_text("[]")
    code, out, err = run("train", "mof", config(folder, change))
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert any(part in err for part in expected.split("|"))
    assert not (folder / "out" / "stage1").exists()


def test_a_missing_picture_is_refused_up_front(run, folder):
    (folder / "data" / "red0.png").unlink()
    code, _, err = run("train", "mof", config(folder))
    assert code == 2
    assert "1 of 8 samples cannot be used: data 'data.json': [0] (id 0): the picture" in err
    assert "skip_missing = true" in err


def test_a_folder_of_another_run_is_refused(run, finished):
    folder = finished[0]
    report = (folder / "out" / "report.json").read_bytes()
    path = config(folder, ("lr = 1e-3", "lr = 2e-3"), name="other.toml")
    code, _, err = run("train", "mof", path, "--resume")
    assert code == 2
    assert "holds another run: config.stage2.lr (0.001 before, 0.002 now) differs" in err
    assert (folder / "out" / "report.json").read_bytes() == report


def test_a_folder_of_other_files_is_refused(run, folder):
    (folder / "out").mkdir()
    (folder / "out" / "thesis.txt").write_text("mine")
    code, _, err = run("train", "mof", config(folder))
    assert (code, "holds other files, such as 'thesis.txt'" in err) == (2, True)


def test_several_processes_are_refused(run, folder, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    code, _, err = run("train", "mof", config(folder))
    assert (code, "runs in one process, got WORLD_SIZE = 2" in err) == (2, True)


def test_forgetting_of_a_table_of_scores(run, tmp_path):
    path = tmp_path / "scores.json"
    path.write_text('{"tasks": ["a", "b"], "scores": [[0.9, 0.2], [0.6, 0.8]]}')
    code, out, _ = run("train", "forgetting", path)
    assert code == 0
    assert json.loads(out)["backward_transfer"] == pytest.approx(-0.3)
    for bad in ('{"scores": [["x"]]}', '{"score": []}', '{"tasks": [1], "scores": [[1]]}', "[]"):
        path.write_text(bad)
        assert run("train", "forgetting", path)[0] == 2
