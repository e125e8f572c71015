"""Weights of a hub: a hub on the loopback, and a process of its own for each use."""

import json
import subprocess
import sys

import pytest
from fake_hub import COMMIT, serve

from groundplane.testing.checkpoints_owlv2 import save_owlv2

PROGRAM = """
import json, logging, os, sys
logging.basicConfig(format="LOG %(message)s", stream=sys.stdout)
from groundplane.core.errors import WeightsError
from groundplane.core.hub import find_weights
try:
    found = find_weights(**json.loads(sys.argv[1]), who="detector 'x'")
    print("FOUND", found)
    print("HOLDS", *sorted(str(p.relative_to(found)) for p in found.rglob("*")))
except WeightsError as error:
    print("REFUSED", error)
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = save_owlv2(tmp_path_factory.mktemp("owlv2"))
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def find(tmp_path, monkeypatch):
    """Look for weights in a new process that keeps what it fetches in the test's own folder."""

    def run(address, **options):
        order = {"weights": "maker/model", "revision": COMMIT} | options
        environment = {
            "HF_ENDPOINT": address,
            "HF_HOME": str(tmp_path / "cache"),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        }
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, json.dumps(order)],
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    return run


def test_only_what_is_needed_is_fetched_and_said(files, find):
    others = {
        "pytorch_model.bin": b"\x80evil",
        "modeling_evil.py": b"evil",
        "model.ckpt": b"\x80evil",
        "onnx/model.safetensors": b"evil",
        "README.md": b"#",
    }
    with serve({"maker/model": files | others}) as (address, asked):
        said = find(address)
        assert f"LOG detector 'x': fetching maker/model at {COMMIT}: 5 files, 0." in said
        assert f"HOLDS {' '.join(sorted(files))}\n" in said
        got = {line.rpartition("/")[2] for line in asked if line.startswith("GET /maker")}
        assert got == set(files)


def test_what_was_fetched_is_not_fetched_again(files, find):
    with serve({"maker/model": files}) as (address, asked):
        first = find(address)
        asked.clear()
        again = find(address)
        assert not [line for line in asked if line.startswith("GET /maker")]
    assert "fetching" not in again
    assert again.partition("FOUND")[2] == first.partition("FOUND")[2]
    for off in ({"offline": True}, {}):
        assert find("http://127.0.0.1:9", **off).startswith("FOUND")


def test_without_a_network_it_says_what_to_fetch_and_how(find, monkeypatch):
    with serve({}) as (address, asked):
        said = find(address, offline=True)
        assert not asked
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        assert find(address) == said
        assert not asked
    assert "REFUSED detector 'x': maker/model at" in said
    assert f"hf download maker/model --revision {COMMIT} --include '*.json' --include" in said
    assert "--option weights=FOLDER" in said


def test_a_model_that_is_not_there_is_one_line(find):
    with serve({}) as (address, _):
        said = find(address)
    assert said.startswith("REFUSED detector 'x': maker/model at")
    assert "cannot be fetched" in said
    assert said.count("\n") == 1


def test_a_hub_of_pickles_is_refused_before_they_are_fetched(files, find):
    pickles = {"config.json": files["config.json"], "pytorch_model.bin": b"\x80evil"}
    with serve({"maker/model": pickles}) as (address, asked):
        said = find(address)
        assert not [line for line in asked if line.startswith("GET /maker")]
    assert "publishes no safetensors, only config.json; pickles are not read" in said
