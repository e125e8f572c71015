import json
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from groundplane.apps import weights
from groundplane.apps.cli_weights import weights_app
from groundplane.apps.weights import convert
from groundplane.core.errors import OutputError, WeightsError
from groundplane.core.weights import read_state

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.ones(2, dtype=torch.int64)}


def saved(folder, thing, name="x.pth"):
    torch.save(thing, folder / name)
    return folder / name


def same(folder, expected):
    got = load_file(folder / "x.safetensors")
    assert got.keys() == expected.keys()
    assert all(torch.equal(got[name], expected[name]) for name in expected)


CHILD = """
import json, pickle, sys
from groundplane.apps import weights
for line in sys.stdin:
    order = json.loads(line)
    if "evil" not in order:
        answer = weights._convert(order)
    else:
        try:
            weights._wall_in()
            pickle.loads(bytes.fromhex(order["evil"]))
            answer = "ran"
        except BaseException as error:
            answer = type(error).__name__
    print(json.dumps(answer), flush=True)
"""


@pytest.fixture(scope="module")
def child():
    """The process that reads, kept for all tests: starting one takes seconds."""
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )

    def call(order):
        process.stdin.write(json.dumps(order) + "\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())

    yield call
    process.stdin.close()
    process.wait()
    process.stdout.close()


@pytest.fixture
def quick(child, monkeypatch):
    """Conversion asks that process instead of one of its own."""
    monkeypatch.setattr(weights, "call_apart", lambda _, order, timeout: child(order))


class Runs:
    def __init__(self, call, *arguments):
        self.call, self.arguments = call, arguments

    def __reduce__(self):
        return self.call, self.arguments


def test_a_table_of_tensors_is_written_as_it_is(quick, tmp_path):
    told = convert(saved(tmp_path, STATE), tmp_path / "x.safetensors")
    same(tmp_path, STATE)
    assert told["count"] == 2
    assert told["left_out"] == []
    assert read_state(tmp_path / "x.safetensors", who="x").keys() == STATE.keys()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.pth", "x.safetensors"]


@pytest.mark.parametrize("inner", ["model", "state_dict", "model_state_dict"])
def test_weights_are_taken_from_beside_what_belongs_to_training(quick, tmp_path, inner):
    thing = {inner: STATE, "epoch": 3, "optimizer": {"lr": 0.1}}
    told = convert(saved(tmp_path, thing), tmp_path / "x.safetensors")
    same(tmp_path, STATE)
    assert told["left_out"] == ["epoch", "optimizer"]


def test_the_prefix_of_parallel_training_is_cut(quick, tmp_path):
    convert(
        saved(tmp_path, {f"module.{k}": v for k, v in STATE.items()}), tmp_path / "x.safetensors"
    )
    same(tmp_path, STATE)


def test_tensors_that_share_memory_are_written_apart(quick, tmp_path):
    base = torch.arange(4.0)
    state = {"a": base, "b": base[1:], "c": base.reshape(2, 2).T}
    convert(saved(tmp_path, state), tmp_path / "x.safetensors")
    same(tmp_path, state)


def test_the_old_format_of_torch_is_read(quick, tmp_path):
    torch.save(STATE, tmp_path / "x.pth", _use_new_zipfile_serialization=False)
    convert(tmp_path / "x.pth", tmp_path / "x.safetensors")
    same(tmp_path, STATE)


CALLS = {
    "open": lambda canary: Runs(open, str(canary), "w"),
    "system": lambda canary: Runs(os.system, f"touch {canary}"),
    "exec": lambda canary: Runs(exec, f"open({str(canary)!r}, 'w')"),
    "eval": lambda canary: Runs(eval, f"open({str(canary)!r}, 'w')"),
    "mkdir": lambda canary: Runs(os.mkdir, str(canary)),
    "path": lambda canary: Runs(Path.touch, canary),
}


@pytest.mark.parametrize("how", sorted(CALLS))
@pytest.mark.parametrize("form", ["torch", "plain", "inside"])
def test_a_checkpoint_that_would_run_code_is_refused(quick, tmp_path, how, form):
    canary, source = tmp_path / "canary", tmp_path / "x.pth"
    evil = CALLS[how](canary)
    if form == "plain":
        source.write_bytes(pickle.dumps(evil))
    else:
        torch.save({"model": STATE, "x": evil} if form == "inside" else evil, source)
    with pytest.raises(WeightsError) as raised:
        convert(source, tmp_path / "x.safetensors")
    assert "\n" not in str(raised.value)
    assert [p.name for p in tmp_path.iterdir()] == ["x.pth"]


@pytest.mark.parametrize("how", sorted(CALLS))
def test_the_wall_holds_where_the_reader_does_not(tmp_path, child, how):
    """As if torch's restricted reader had another hole: the same, unrestricted."""
    canary = tmp_path / "canary"
    evil = pickle.dumps(CALLS[how](canary))
    assert child({"evil": evil.hex()}) == "WeightsError"
    assert not canary.exists()


@pytest.mark.parametrize(
    ("thing", "said"),
    [
        ([1, 2], "expected a table of tensors, got list"),
        ({}, "expected a table of tensors"),
        ({"a": torch.ones(1), "b": 3}, "expected tensors only, got also b"),
        ({1: torch.ones(1)}, "expected tensors only"),
        (torch.ones(2), "expected a table of tensors, got Tensor"),
    ],
)
def test_what_is_no_table_of_tensors_is_refused(quick, tmp_path, thing, said):
    with pytest.raises(WeightsError, match=said):
        convert(saved(tmp_path, thing), tmp_path / "x.safetensors")


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04", b"\x80\x04."])
def test_what_is_no_checkpoint_is_refused(quick, tmp_path, content):
    (tmp_path / "x.pth").write_bytes(content)
    with pytest.raises(WeightsError, match="it is no table of tensors"):
        convert(tmp_path / "x.pth", tmp_path / "x.safetensors")


def test_a_zip_of_other_things_is_refused(quick, tmp_path):
    with zipfile.ZipFile(tmp_path / "x.pth", "w") as archive:
        archive.writestr("../../evil.txt", "x")
    with pytest.raises(WeightsError):
        convert(tmp_path / "x.pth", tmp_path / "x.safetensors")


def test_a_source_that_is_not_there_is_named(tmp_path):
    with pytest.raises(WeightsError, match=r"none.pth: no such file"):
        convert(tmp_path / "none.pth", tmp_path / "x.safetensors")


def test_a_target_of_another_kind_is_refused(tmp_path):
    with pytest.raises(OutputError, match=r"ends in .safetensors"):
        convert(saved(tmp_path, STATE), tmp_path / "x.bin")


def test_a_target_in_no_folder_is_refused(tmp_path):
    with pytest.raises(WeightsError, match="cannot be converted"):
        convert(saved(tmp_path, STATE), tmp_path / "none" / "x.safetensors")


def test_the_command_says_what_it_wrote(tmp_path):
    source = saved(tmp_path, {"model": STATE, "epoch": 1})
    done = CliRunner().invoke(
        weights_app, ["convert", str(source), str(tmp_path / "x.safetensors")]
    )
    assert done.exit_code == 0, done.output
    assert "2 tensors, 0.0 MB, sha256" in done.output
    assert "left out, as no weights: epoch" in done.output
