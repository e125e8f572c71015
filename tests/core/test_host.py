"""The plugin host, on hand-made distributions: each fault is named and harms no other plugin."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundplane.core.errors import InputError, PluginBrokenError, PluginNotFoundError
from groundplane.core.host import (
    DISABLE,
    KINDS,
    available,
    call_apart,
    check,
    load,
    option_names,
    prepare,
)
from groundplane.core.options import make_options

GOOD = """
from dataclasses import dataclass
from pathlib import Path

@dataclass(frozen=True)
class Options:
    size: int = 3
    words: tuple[str, ...] = ()
    folder: Path | None = None

class Plugin:
    Options = Options
    vocabulary = ("dog",)

    def __init__(self, options, *, device, dtype):
        self.options, self.device, self.dtype = options, device, dtype

    def detect(self, requests):
        return []
"""
NO_DETECT = GOOD.replace("def detect", "def find")
BROKEN = {
    "missing module": (None, "module 'gp_{}' is not there"),
    "syntax error": (GOOD + "\ndef (:\n", "syntax error in gp_{}.py, line"),
    "return": (GOOD + "\nreturn 1\n", "'return' outside function"),
    "raise": (GOOD + "\nraise RuntimeError('no licence')\n", "no licence"),
    "missing attribute": (GOOD.replace("Plugin", "Other"), "gp_{} does not define 'Plugin'"),
    "missing library": ("import no_such_lib\n" + GOOD, "'no_such_lib' is not installed"),
    "exit": ("import sys\nsys.exit(3)\n" + GOOD, "3"),
}


class Site:
    """A folder of installed distributions."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, dist, name, text, *, kind="detectors", value=None, version="1.0", module=None):
        module = module or "gp_" + dist.replace("-", "_")
        if text is not None:
            (self.folder / f"{module}.py").write_text(text)
        info = self.folder / f"{dist.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {dist}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(
            f"[groundplane.{kind}]\n{name} = {value or module + ':Plugin'}\n"
        )
        return info


@pytest.fixture
def site(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delenv(DISABLE, raising=False)
    before = set(sys.modules)
    yield Site(tmp_path)
    for name in set(sys.modules) - before:
        if name.startswith("gp_"):
            del sys.modules[name]


def listed(name, kind="detectors"):
    return [info for info in available(kind) if info.name == name]


def one(name, kind="detectors"):
    (info,) = listed(name, kind)
    return info


def test_a_good_third_party_plugin_is_listed_with_its_origin(site):
    site.add("gp-good", "good", GOOD, version="2.5")
    info = one("good")
    assert (info.status, info.reason, info.qualified) == ("ok", "", "gp-good:good")
    assert (info.distribution, info.version, info.value) == ("gp-good", "2.5", "gp_gp_good:Plugin")


def test_our_own_plugins_are_listed_from_their_entry_points():
    named = {(info.kind, info.name, info.distribution) for info in available()}
    assert ("detectors", "opencv", "groundplane") in named
    assert ("language_models", "planner", "groundplane") in named


def test_listing_runs_no_plugin(site):
    canary = site.folder / "canary"
    site.add("gp-canary", "canary", f"open({str(canary)!r}, 'w').close()\n" + GOOD)
    assert one("canary").status == "ok"
    assert not canary.exists()
    load("detectors", "canary", device="cpu")
    assert canary.exists()  # the canary sings when the plugin does run


def test_a_listing_of_names_reads_no_file(site, monkeypatch):
    site.add("gp-good", "good", GOOD)
    site.add("gp-bad", "bad", "def (:")
    site.add("gp-off", "off", GOOD)
    monkeypatch.setenv(DISABLE, "off")
    found = {info.name: info for info in available("detectors", read=False)}
    assert (found["good"].status, found["bad"].status, found["off"].status) == (
        "ok",
        "ok",
        "disabled",
    )
    assert set(found) == {info.name for info in available("detectors")}


def test_options_are_named_without_making_the_plugin(site):
    site.add("gp-good", "good", GOOD)
    assert option_names("detectors", "good") == ("size", "words", "folder")
    with pytest.raises(PluginNotFoundError):
        option_names("detectors", "nobody")


def test_a_plugin_is_prepared_with_checked_options_and_made_later(site):
    site.add("gp-good", "good", GOOD)
    prepared = prepare("detectors", "good", {})
    assert prepared.info.name == "good"
    assert type(prepared.make(device="cpu")) is prepared.plugin
    with pytest.raises(InputError, match="has no option 'nonsense'"):
        prepare("detectors", "good", {"nonsense": 1})


def test_listing_loads_nothing_heavy():
    code = (
        "import sys; from groundplane.core.host import available; available();"
        "print([m for m in ('torch','numpy','jaxtyping','rich','cv2') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("way", sorted(BROKEN))
def test_a_broken_plugin_is_named_and_harms_no_other(site, way):
    text, reason = BROKEN[way]
    dist = "gp-" + way.replace(" ", "-")
    site.add("gp-good", "good", GOOD)
    site.add(dist, "bad", text)
    told = reason.format(dist.replace("-", "_"))
    bad = one("bad")
    assert bad.status == "broken"
    assert told in bad.reason
    with pytest.raises(PluginBrokenError) as caught:
        load("detectors", "bad", device="cpu")
    assert "detector 'bad'" in str(caught.value)
    assert f"{dist} 1.0" in str(caught.value)
    assert one("good").status == "ok"
    assert load("detectors", "good", device="cpu").device == "cpu"


@pytest.mark.parametrize("way", sorted(BROKEN))
def test_checking_in_a_process_of_its_own_tells_the_same(site, way):
    site.add("gp-bad", "bad", BROKEN[way][0])
    assert check(one("bad"))


def test_checking_a_good_plugin_finds_nothing(site):
    site.add("gp-good", "good", "print('chatter')\n" + GOOD)
    assert check(one("good")) is None


def test_checking_survives_what_only_running_shows(site):
    site.add("gp-crash", "crash", "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    site.add("gp-hang", "hang", "import time\ntime.sleep(60)\n")
    site.add("gp-late", "late", "if True:\n    raise OSError('late')\n" + GOOD)
    assert "code -11" in check(replace_status(one("crash")))
    assert check(replace_status(one("hang")), timeout=3) == "no answer within 3 s"
    assert one("late").status == "ok"
    assert check(one("late")) == "OSError: late"


def replace_status(info):
    assert info.status == "broken"  # they define no Plugin either
    return info


def test_the_cause_is_chained_and_the_missing_library_is_named(site):
    site.add("gp-lib", "lib", "import no_such_lib\n" + GOOD)
    with pytest.raises(PluginBrokenError, match="Try: pip install no-such-lib") as caught:
        load("detectors", "lib", device="cpu")
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


def test_an_exit_at_import_does_not_end_the_program(site):
    site.add("gp-exit", "exit", "raise SystemExit(0)\n" + GOOD)
    with pytest.raises(PluginBrokenError, match="SystemExit") as caught:
        load("detectors", "exit", device="cpu")
    assert isinstance(caught.value.__cause__, SystemExit)


def test_a_plugin_of_the_wrong_protocol_is_refused_by_the_missing_method(site):
    site.add("gp-wrong", "wrong", NO_DETECT)
    assert one("wrong").status == "ok"  # the text alone cannot tell
    assert "lacks detect" in check(one("wrong"))
    with pytest.raises(PluginBrokenError, match=r"gp-wrong 1\.0 .* lacks detect"):
        load("detectors", "wrong", device="cpu")


def test_a_constructor_that_fails_is_told_with_its_cause(site):
    site.add("gp-make", "make", GOOD.replace("self.options,", "1 / 0\n        self.options,", 1))
    with pytest.raises(PluginBrokenError, match="cannot be made: ZeroDivisionError"):
        load("detectors", "make", device="cpu")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("frozen=True", "frozen=False", "not frozen"),
        ("Options = Options", "Settings = Options", "Options is not there"),
    ],
)
def test_options_must_be_a_frozen_dataclass(site, old, new, told):
    site.add("gp-opt", "opt", GOOD.replace(old, new))
    assert told in check(one("opt"))
    with pytest.raises(PluginBrokenError, match=told):
        load("detectors", "opt", device="cpu")


def test_a_duplicate_names_both_origins_and_loads_by_its_qualified_name(site):
    site.add("gp-one", "twin", GOOD)
    site.add("gp-two", "twin", GOOD.replace('"dog"', '"cat"'))
    assert [info.status for info in listed("twin")] == ["duplicate", "duplicate"]
    assert "gp-two 1.0" in listed("twin")[0].reason
    assert "gp-one 1.0" in listed("twin")[1].reason
    with pytest.raises(PluginBrokenError, match=r"gp-one 1\.0 .*gp-two 1\.0.*'gp-two:twin'"):
        load("detectors", "twin", device="cpu")
    assert load("detectors", "gp-two:twin", device="cpu").vocabulary == ("cat",)


def test_the_same_name_in_two_kinds_is_no_duplicate(site):
    site.add("gp-one", "twin", GOOD)
    site.add("gp-two", "twin", GOOD, kind="segmenters")
    assert one("twin").status == one("twin", "segmenters").status == "ok"


def test_a_distribution_that_is_twice_on_the_path_counts_once(site, monkeypatch):
    second = Site(site.folder / "second")
    second.folder.mkdir()
    site.add("gp-good", "good", GOOD, version="2.0")
    second.add("gp_Good", "good", GOOD, version="1.0")
    monkeypatch.syspath_prepend(str(second.folder))
    monkeypatch.syspath_prepend(str(site.folder))
    assert one("good").version == "2.0"


@pytest.mark.parametrize("hidden", ["good", "gp-good:good", " other , good "])
def test_a_disabled_plugin_is_listed_but_not_loaded(site, monkeypatch, hidden):
    site.add("gp-good", "good", GOOD)
    monkeypatch.setenv(DISABLE, hidden)
    assert one("good").status == "disabled"
    with pytest.raises(PluginNotFoundError, match=f"disabled by .*{DISABLE}"):
        load("detectors", "good", device="cpu")


def test_disabling_one_of_two_ends_the_ambiguity(site, monkeypatch):
    site.add("gp-one", "twin", GOOD)
    site.add("gp-two", "twin", GOOD)
    monkeypatch.setenv(DISABLE, "gp-two:twin")
    assert [info.status for info in listed("twin")] == ["ok", "disabled"]
    assert load("detectors", "twin", device="cpu").vocabulary == ("dog",)


def test_an_unknown_name_lists_what_there_is(site):
    site.add("gp-good", "good", GOOD)
    told = r"detector 'goood' is not installed; available: .*good.* Did you mean 'good'\?"
    with pytest.raises(PluginNotFoundError, match=told):
        load("detectors", "goood")


@pytest.mark.parametrize("call", [lambda: available("detector"), lambda: load("detector", "x")])
def test_an_unknown_kind_is_refused_with_a_near_match(call):
    with pytest.raises(InputError, match=r"unknown plugin kind 'detector'.*'detectors'"):
        call()


def test_damaged_metadata_does_not_end_the_listing(site, caplog):
    site.add("gp-good", "good", GOOD)
    info = site.add("gp-bare", "bare", GOOD)
    (info / "METADATA").unlink()
    binary = site.add("gp-binary", "binary", GOOD)
    (binary / "entry_points.txt").write_bytes(b"[groundplane.detectors]\n\xff = a:b\n")
    site.add("gp-odd", "odd", GOOD, value="not a value")
    names = {i.name: (i.status, i.distribution) for i in available("detectors")}
    assert names["good"] == ("ok", "gp-good")
    assert names["bare"] == ("ok", "unnamed")
    assert names["odd"] == ("broken", "gp-odd")
    assert "not UTF-8" in caplog.text


def test_libraries_are_told_apart_by_when_they_are_imported(site):
    text = (
        "from typing import TYPE_CHECKING\n"
        "import json\n"
        "if TYPE_CHECKING:\n    import only_typed\n"
        "try:\n    import maybe_there\nexcept ImportError:\n    maybe_there = None\n"
        "def later():\n    import lazy_lib.sub\n    raise ValueError\n"
        "import numpy as np\n"
    )
    site.add("gp-lazy", "lazy", text + GOOD)
    info = one("lazy")
    assert info.status == "ok"
    needs = {need.library: need.present for need in info.needs}
    assert needs == {"lazy_lib": False, "maybe_there": False, "numpy": True}


def test_a_library_that_is_asked_for_by_name_is_needed_too(site):
    text = (
        "from groundplane.core.weights import need_library\n"
        "class Reads:\n"
        "    def __init__(self, name):\n"
        "        need_library('lazy_lib.sub', who='x')\n"
        "        need_library(name, who='x')\n"
    )
    site.add("gp-asks", "asks", text + GOOD)
    assert {need.library for need in one("asks").needs} == {"lazy_lib"}
    assert one("asks").status == "ok"


@pytest.mark.parametrize(
    "text",
    [
        "from json import *\n",
        "def __getattr__(name): ...\n",
        "globals()['Plugin'] = object\n",
        "try:\n    from json import loads as Plugin\nexcept ImportError:\n    Plugin = None\n",
        "if 1 + 1 == 2:\n    class Plugin: ...\n",
        "Plugin: type = object\n",
        "for Plugin in (object,): ...\n",
    ],
)
def test_a_name_that_may_exist_is_not_called_missing(site, text):
    site.add("gp-dyn", "dyn", text)
    assert one("dyn").status == "ok"


@pytest.mark.parametrize(
    "text", ["Plugin: type\n", "def f():\n    Plugin = 1\n", "class A:\n    Plugin = 1\n"]
)
def test_a_name_that_cannot_exist_is_called_missing(site, text):
    site.add("gp-none", "none", text)
    assert "does not define 'Plugin'" in one("none").reason


def test_a_package_that_fails_breaks_the_plugin_inside_it(site):
    package = site.folder / "gp_pack"
    package.mkdir()
    (package / "__init__.py").write_text("import no_such_lib\n")
    (package / "inner.py").write_text(GOOD)
    site.add("gp-pack", "pack", None, value="gp_pack.inner:Plugin")
    assert "no_such_lib" in one("pack").reason
    (package / "__init__.py").write_text("")
    assert one("pack").status == "ok"
    site.add("gp-gone", "gone", None, value="gp_pack.outer:Plugin")
    assert "'gp_pack' has no 'outer'" in one("gone").reason


def test_options_reach_the_plugin_converted(site):
    site.add("gp-good", "good", GOOD)
    made = load("detectors", "good", device="cpu", size="7", words="a, b", folder="x/y")
    assert (made.options.size, made.options.words) == (7, ("a", "b"))
    assert made.options.folder == Path("x/y")
    assert made.dtype is None


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"sise": 4}, r"detector 'good' has no option 'sise'.* Did you mean 'size'\?"),
        ({"size": "big"}, r"'good', option 'size': expected a whole number, got 'big'"),
    ],
)
def test_a_wrong_option_is_refused_by_name(site, options, told):
    site.add("gp-good", "good", GOOD)
    with pytest.raises(InputError, match=told):
        load("detectors", "good", device="cpu", **options)


def test_devices_are_chosen_passed_on_or_refused(site, monkeypatch):
    import torch

    site.add("gp-good", "good", GOOD)
    for there, expected in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert load("detectors", "good").device == expected
    with pytest.raises(InputError, match="'cuda:1': torch finds no CUDA device"):
        load("detectors", "good", device="cuda:1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert load("detectors", "good", device="cuda:1").device == "cuda:1"
    with pytest.raises(InputError, match="unknown device 'gpu'"):
        load("detectors", "good", device="gpu")


def test_what_a_geometry_expert_lacks_is_told(site):
    site.add("gp-geo", "geo", NO_DETECT, kind="geometry")
    assert "lacks begin, estimate" in check(one("geo", "geometry"))
    with pytest.raises(PluginBrokenError, match="estimate"):
        load("geometry", "geo", device="cpu")


def test_a_module_that_fails_to_make_a_name_on_demand_is_named(site):
    site.add("gp-lazy", "lazy", "def __getattr__(name):\n    import not_there_at_all\n")
    with pytest.raises(PluginBrokenError, match="'lazy' from gp-lazy"):
        load("detectors", "lazy", device="cpu")


def test_a_file_too_deep_for_the_reader_is_not_called_broken(site):
    site.add("gp-deep", "deep", GOOD + "\nDEEP = " + " + ".join(["1"] * 3000) + "\n")
    assert one("deep").status != "broken"


def test_kinds_are_one_group_each():
    assert len(set(KINDS)) == 6


def test_what_fails_apart_is_told_in_one_line():
    with pytest.raises(PluginBrokenError, match=r"^JSONDecodeError: [^\n]*$"):
        call_apart("json:loads", "{")
    assert call_apart("json:loads", "[1, 2]") == [1, 2]


class Level(StrEnum):
    LOW = "low"
    HIGH = "high"


@dataclass(frozen=True)
class Every:
    path: Path
    text: str = ""
    count: int = 0
    ratio: float = 0.0
    flag: bool = False
    words: tuple[str, ...] = ()
    pair: tuple[int, float] = (0, 0.0)
    mode: Literal["fast", "best", 2] = "fast"
    maybe: int | None = 1
    name: str | None = "x"
    level: Level = Level.LOW

    def __post_init__(self) -> None:
        if self.count < 0:
            raise ValueError("count below zero")


def made(**given):
    return make_options(Every, {"path": "p", **given}, plugin="detector 'every'")


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        ("path", "a/b", Path("a/b")),
        ("text", "none", "none"),
        ("count", " 12", 12),
        ("ratio", "1e-3", 1e-3),
        ("ratio", 2, 2.0),
        ("flag", "Yes", True),
        ("flag", "0", False),
        ("words", "a, b,c", ("a", "b", "c")),
        ("words", "", ()),
        ("words", ["a"], ("a",)),
        ("pair", "1,2.5", (1, 2.5)),
        ("mode", "best", "best"),
        ("mode", "2", 2),
        ("maybe", "None", None),
        ("maybe", "5", 5),
        ("name", "none", None),
        ("level", "high", Level.HIGH),
        ("level", Level.HIGH, Level.HIGH),
    ],
)
def test_text_becomes_the_declared_type(field, text, value):
    got = getattr(made(**{field: text}), field)
    assert got == value
    assert type(got) is type(value)


@pytest.mark.parametrize(
    ("field", "bad", "expected"),
    [
        ("path", "", "a path"),
        ("text", 3, "text"),
        ("count", "1.5", "a whole number"),
        ("count", True, "a whole number"),
        ("ratio", "nan", "a number"),
        ("flag", "maybe", "true or false"),
        ("flag", 1, "true or false"),
        ("words", 3, "values separated by commas, each text"),
        ("pair", "1", "2 values separated by commas"),
        ("mode", "slow", "one of fast, best, 2"),
        ("maybe", "x", "a whole number or none"),
        ("level", "mid", "one of low, high"),
    ],
)
def test_a_bad_value_names_plugin_option_expected_and_got(field, bad, expected):
    with pytest.raises(InputError) as caught:
        made(**{field: bad})
    assert str(caught.value) == (
        f"detector 'every', option {field!r}: expected {expected}, got {bad!r}"
    )


def test_a_required_option_that_is_missing_is_named():
    with pytest.raises(InputError, match=r"needs the option 'path'.*--option path=VALUE"):
        make_options(Every, {}, plugin="detector 'every'")


def test_what_the_options_refuse_themselves_is_an_input_error():
    with pytest.raises(InputError, match="count below zero"):
        made(count="-1")


@given(st.integers(), st.floats(allow_nan=False), st.booleans())
def test_values_written_as_text_come_back(count, ratio, flag):
    got = made(count=str(abs(count)), ratio=repr(ratio), flag=str(flag))
    assert (got.count, got.ratio, got.flag) == (abs(count), ratio, flag)


@given(st.lists(st.text("abcxyz", min_size=1), min_size=1))
def test_words_written_with_commas_come_back(words):
    assert made(words=",".join(words)).words == tuple(words)


def test_the_template_loads_as_its_own_metadata_registers_it(site, monkeypatch):
    template = Path(__file__).resolve().parents[2] / "examples" / "plugin-template"
    project = tomllib.loads((template / "pyproject.toml").read_text())["project"]
    ((name, value),) = project["entry-points"]["groundplane.detectors"].items()
    monkeypatch.syspath_prepend(str(template / "src"))
    site.add(project["name"], name, None, value=value)
    info = one("colour-blobs")
    assert (info.status, check(info)) == ("ok", None)
    assert load("detectors", name, device="cpu", min_area="9").vocabulary[0] == "red"
