"""`groundplane evaluate rooms`: the page, going on, and what is refused."""

import json
import shutil

import pytest
from typer.testing import CliRunner

from groundplane.apps.cli import app


def call(*arguments):
    return CliRunner().invoke(app, ["evaluate", "rooms", *map(str, arguments)])


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rooms")
    done = call("--rooms", 1, "--seed", 9, "--step", 30, "--noise", "lost=0,0.5",
                "--out", folder / "report", "--json", folder / "all.json")  # fmt: skip
    return done, folder


def test_the_table_has_a_column_for_each_condition(made):
    done, _ = made
    assert done.exit_code == 0
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
    assert "http://" not in page and "https://" not in page
    assert "default-src 'none'" in page


def test_a_run_goes_on_where_it_was_ended(made, tmp_path):
    folder = tmp_path / "again"
    shutil.copytree(made[1] / "report", folder)
    log = folder / "rooms.jsonl"
    before = log.read_bytes()
    with log.open("ab") as file:
        file.write(b'[{"room": "cut o')
    done = call("--rooms", 1, "--seed", 9, "--step", 30, "--noise", "lost=0.5", "--out", folder)
    assert done.exit_code == 0
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
def test_bad_input_is_one_line(arguments, what):
    done = call(*arguments)
    assert done.exit_code == 2
    assert what in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    done = call("--rooms", 1, "--out", tmp_path)
    assert done.exit_code == 2
    assert "it holds 'thesis.txt'" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_run_with_other_settings_is_not_mixed_in(made, tmp_path):
    folder = tmp_path / "other"
    shutil.copytree(made[1] / "report", folder)
    done = call("--rooms", 1, "--seed", 8, "--out", folder)
    assert done.exit_code == 2
    assert "other settings" in done.stderr


@pytest.mark.parametrize("line", [b"no json\n", b"[1]\n", b"[]\n", b'[{"room": 1}]\n'])
def test_a_damaged_log_is_named(made, tmp_path, line):
    folder = tmp_path / "damaged"
    shutil.copytree(made[1] / "report", folder)
    with (folder / "rooms.jsonl").open("ab") as file:
        file.write(line)
    done = call("--rooms", 1, "--seed", 9, "--step", 30, "--noise", "lost=0.5", "--out", folder)
    assert done.exit_code == 2
    assert "damaged" in done.stderr
