"""The package as it ships: entry points, typing, lock file, forbidden calls, commands and links."""

from __future__ import annotations

import importlib
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import typer

import groundplane
from groundplane.apps.cli import app
from groundplane.core.host import KINDS, PluginInfo, available, check

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SOURCES = sorted((ROOT / "groundplane").rglob("*.py"))
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("examples/**/*.md")])
GROUPS = PROJECT["project"]["entry-points"]
LOCKED = {
    package["name"]: package for package in tomllib.loads((ROOT / "uv.lock").read_text())["package"]
}
# Every other package must come from where numpy comes from.
INDEX = LOCKED["numpy"]["source"]["registry"]
FILES = urlsplit(LOCKED["numpy"]["wheels"][0]["url"])._replace(path="/", query="").geturl()
# Code that runs what a file holds, or what somebody else's repository holds.
FORBIDDEN = {
    "trust_remote_code=True": r"trust_remote_code\s*=\s*True",
    "torch.load(": r"\btorch\.load\(",
    "pickle.load": r"\bpickle\.loads?\b",
    "eval(": r"(?:(?<![\w.])|\bbuiltins\.)eval\(",
}

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


# Entry points and files ----------------------------------------------------------------------


def target(value):
    module, _, attribute = value.partition(":")
    return getattr(importlib.import_module(module), attribute)


@pytest.mark.parametrize(
    ("group", "name"), [(group, name) for group in GROUPS for name in GROUPS[group]]
)
def test_entry_points_load_and_keep_their_protocol(group, name):
    kind, value = group.removeprefix("groundplane."), GROUPS[group][name]
    assert kind in KINDS
    info = {"kind": kind, "name": name, "distribution": "groundplane", "version": "0"}
    assert check(PluginInfo(value=value, **info)) is None
    gone = check(PluginInfo(value=f"{value}Gone", **info))
    assert gone is not None
    assert "does not define" in gone


@pytest.mark.parametrize("name", PROJECT["project"]["scripts"])
def test_commands_load(name):
    assert callable(target(PROJECT["project"]["scripts"][name]))


def test_the_plugins_that_ship_are_installed_and_in_order():
    listed = {(info.kind, info.name): info.status for info in available()}
    for group, names in GROUPS.items():
        for name in names:
            assert listed[group.removeprefix("groundplane."), name] == "ok"


def test_the_types_ship():
    assert (ROOT / "groundplane" / "py.typed").is_file()
    build = PROJECT["tool"]["hatch"]["build"]["targets"]
    assert build["wheel"] == {"packages": ["groundplane"]}
    assert "groundplane" in build["sdist"]["include"]
    for name in (PROJECT["project"]["readme"], *PROJECT["project"]["license-files"]):
        assert (ROOT / name).stat().st_size > 0


def test_the_version_is_one():
    assert groundplane.__version__ == PROJECT["project"]["version"]


@pytest.mark.parametrize("name", groundplane.__all__)
def test_every_public_name_is_there(name):
    assert getattr(groundplane, name) is not None


def test_an_unknown_public_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = groundplane.nothing


# The lock file -------------------------------------------------------------------------------


def lock_faults(text):
    """Packages that come from elsewhere than the public index, the project itself left out."""
    faults = []
    for package in tomllib.loads(text)["package"]:
        source, name = package["source"], package["name"]
        if name == "groundplane":
            own = source in ({"editable": "."}, {"virtual": "."})
            faults += [] if own else [f"{name}: {source}"]
            continue
        faults += [] if source == {"registry": INDEX} else [f"{name}: {source}"]
        files = [*package.get("wheels", []), *([package["sdist"]] if "sdist" in package else [])]
        faults += [f"{name}: {file}" for file in files if not file["url"].startswith(FILES)]
    return faults


@pytest.mark.parametrize("address", [INDEX, FILES])
def test_the_index_is_a_public_one(address):
    parts = urlsplit(address)
    assert parts.scheme == "https"
    assert (parts.port, parts.username) == (None, None)
    assert re.fullmatch(r"[a-z.]+\.(?:org|com|io|dev)", parts.hostname)


def test_the_lock_names_the_public_index_only():
    text = (ROOT / "uv.lock").read_text()
    assert lock_faults(text) == []
    assert "path = " not in text


@pytest.mark.parametrize(
    "source",
    [
        'source = { path = "../torch" }', 'source = { registry = "https://other.example/simple" }',
        'source = { git = "https://example.org/x" }', 'source = { editable = "." }',
        f'source = {{ registry = "{INDEX}" }}\nsdist = {{ url = "https://other.example/x.gz" }}',
    ],
)  # fmt: skip
def test_the_check_of_the_lock_can_fail(source):
    head = '[[package]]\nname = "groundplane"\nsource = { editable = "." }\n'
    assert lock_faults(head) == []
    assert lock_faults(f'{head}[[package]]\nname = "torch"\n{source}\n')


# Forbidden calls -----------------------------------------------------------------------------


def forbidden_in(text):
    return [name for name, pattern in FORBIDDEN.items() if re.search(pattern, text)]


def test_nothing_runs_what_a_file_holds():
    assert len(SOURCES) > 50
    found = {f"{p.parent.name}/{p.name}": forbidden_in(p.read_text()) for p in SOURCES}
    # The converter of checkpoints that somebody trusts, in a child process behind a wall.
    assert {name: words for name, words in found.items() if words} == {
        "apps/weights.py": ["torch.load("]
    }


@pytest.mark.parametrize(
    "text",
    ["f(trust_remote_code=True)", "x = torch.load(path)", "pickle.loads(b)", "y = eval(text)",
     "[eval(t) for t in a]", "builtins.eval(t)", "pickle.load(f)"],
)  # fmt: skip
def test_the_check_of_calls_can_fail(text):
    assert forbidden_in(text)


def test_a_method_of_that_name_is_no_fault():
    assert forbidden_in("model.eval()\nliteral_eval(text)\ntrust_remote_code=False") == []


# Pages ---------------------------------------------------------------------------------------


def command_lines(text):
    """The `groundplane` commands of a page: lines of console blocks, and inline code."""
    blocks = re.findall(r"```(?:console|bash|sh)\n(.*?)```", text, re.S)
    lines = [line for block in blocks for line in block.splitlines()]
    prose = re.sub(r"```.*?```", "", text, flags=re.S)
    lines += re.findall(r"`([^`\n]+(?:\n[^`\n]+)?)`", prose)
    found = [line.strip().removeprefix("$ ").removeprefix("uv run ") for line in lines]
    return [line for line in found if re.match(r"groundplane(?: |$)", line)]


def command_fault(line):
    """Why there is no such command; None where there is."""
    words = shlex.split(line.replace("\\|", "|"), comments=True)[1:]
    words = words[: next((i for i, word in enumerate(words) if word in (">", "|", "...")), None)]
    command = typer.main.get_command(app)
    while words and hasattr(command, "commands"):
        if words[0].startswith("-"):
            break
        name = words.pop(0)
        if name not in command.commands:
            return f"{line!r}: no command {name!r}"
        command = command.commands[name]
    known = {option for param in command.params for option in param.opts} | {"--help"}
    unknown = [word for word in words if word.startswith("--") and word not in known]
    return f"{line!r}: no option {unknown[0]!r}" if unknown else None


@pages
def test_commands_on_pages_exist(page):
    faults = [command_fault(line) for line in command_lines(page.read_text())]
    assert [fault for fault in faults if fault] == []


def test_the_readme_has_commands():
    assert len(command_lines((ROOT / "README.md").read_text())) >= 5


def test_the_check_of_commands_can_fail():
    text = "```console\nuv run groundplane aks x\n```\n`groundplane ask s q --jsn`, `groundplane`"
    lines = command_lines(text)
    assert lines == ["groundplane aks x", "groundplane ask s q --jsn", "groundplane"]
    assert [command_fault(line) is None for line in lines] == [False, False, True]
    assert command_fault("groundplane evaluate vsibench --scenes a --questions b") is None
    assert command_fault("groundplane evaluate vsi --scenes a")


def test_the_readme_s_first_command_prints_what_it_says():
    text = (ROOT / "README.md").read_text()
    shown = re.search(r"```text\n(.*?)```", text, re.S)[1]
    words = shlex.split(command_lines(text)[0])[1:]
    assert said([str(ROOT / word) if word.endswith(".json") else word for word in words]) == shown


def said(arguments):
    """What the command line prints in a process of its own."""
    command = [sys.executable, "-m", "groundplane", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def link_faults(page):
    """The links of a page that lead to no file."""
    prose = re.sub(r"```.*?```", "", page.read_text(), flags=re.S)
    links = re.findall(r"\]\(([^)\s]+)\)", prose)
    local = [link.partition("#")[0] for link in links if "://" not in link]
    return [link for link in local if link and not (page.parent / link).exists()]


@pages
def test_links_lead_to_files(page):
    assert link_faults(page) == []


def test_the_check_of_links_can_fail(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("[a](none.md) [b](page.md#part) [c](https://example.org) [d](#part)")
    assert link_faults(page) == ["none.md"]
