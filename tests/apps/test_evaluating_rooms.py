"""`groundplane evaluate rooms`: the page, going on, and what is refused."""

import json
import os
import shutil
import subprocess
import sys

import pytest

# A room that takes little time; a process of its own runs without checks of every shape.
SETTINGS = ("--rooms", "1", "--seed", "9", "--step", "40", "--noise", "lost=0,0.5")


def call(*arguments):
    command = [sys.executable, "-m", "groundplane", "evaluate", "rooms", *map(str, arguments)]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=env)


@pytest.fixture
def refused(run):
    """Run in this process what ends before any room is made; gives the line on stderr."""

    def call(*arguments):
        code, _, err = run("evaluate", "rooms", *arguments)
        assert code == 2
        assert err.count("\n") == 1
        return err

    return call


@pytest.fixture(scope="module")
def made(draws, tmp_path_factory):
    folder = tmp_path_factory.mktemp("rooms")
    done = call(*SETTINGS, "--out", folder / "report", "--json", folder / "all.json")
    return done, folder


def test_the_table_has_a_column_for_each_condition(made):
    done, _ = made
    assert done.returncode == 0
    head = done.stdout.splitlines()[0].split()
    assert head == ["task", "boxes", "none", "lost=0.5"]
    assert "mean over the eight tasks" in done.stdout


def test_the_json_holds_every_room_and_condition(made):
    record = json.loads((made[1] / "all.json").read_text())
    assert [each["condition"] for each in record["conditions"]] == ["boxes", "none", "lost=0.5"]
    assert len(record["rooms"]) == 3


def test_the_page_needs_no_other_file(made):
    page = (made[1] / "report" / "index.html").read_text()
    assert page.count("data:image/svg+xml;base64,") >= 3
    assert "http://" not in page
    assert "https://" not in page
    assert "default-src 'none'" in page


def test_a_run_goes_on_where_it_was_ended(made, tmp_path):
    folder = tmp_path / "again"
    shutil.copytree(made[1] / "report", folder)
    log = folder / "rooms.jsonl"
    before = log.read_bytes()
    with log.open("ab") as file:
        file.write(b'[{"room": "cut o')
    done = call(*SETTINGS, "--out", folder)
    assert done.returncode == 0
    assert log.read_bytes() == before
    assert done.stdout == made[0].stdout


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["--rooms", "0"], "expected rooms from 1"),
        (["--noise", "fog=1"], "unknown noise 'fog'"),
        (["--noise", "depth=-1"], "got -1"),
        (["--per-task", "0"], "per task from 1"),
        (["--json", "/nowhere/x.json"], "there is no such folder"),
    ],
)
def test_bad_input_is_one_line(refused, arguments, what):
    assert what in refused(*arguments)


def test_a_folder_of_something_else_is_left_alone(refused, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    assert "it holds 'thesis.txt'" in refused("--rooms", 1, "--out", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_run_with_other_settings_is_not_mixed_in(refused, made, tmp_path):
    folder = tmp_path / "other"
    shutil.copytree(made[1] / "report", folder)
    assert "other settings" in refused("--rooms", 1, "--seed", 8, "--out", folder)


@pytest.mark.parametrize("line", [b"no json\n", b"[1]\n", b"[]\n", b'[{"room": 1}]\n'])
def test_a_damaged_log_is_named(refused, made, tmp_path, line):
    folder = tmp_path / "damaged"
    shutil.copytree(made[1] / "report", folder)
    with (folder / "rooms.jsonl").open("ab") as file:
        file.write(line)
    assert "damaged" in refused(*SETTINGS, "--out", folder)


def test_ctrl_c_ends_after_the_room_and_says_how_to_go_on(run, monkeypatch, tmp_path):
    import os
    import signal

    from groundplane.apps import evaluating_rooms

    def evaluated(job, number):
        os.kill(os.getpid(), signal.SIGINT)
        return []

    monkeypatch.setattr(evaluating_rooms, "evaluate_room", evaluated)
    code, out, err = run("evaluate", "rooms", "--rooms", "3", "--out", tmp_path / "report")

    assert (code, out) == (130, "")
    assert "interrupted after room 1; the same call goes on from there" in err
