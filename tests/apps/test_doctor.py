"""The doctor recognises the ways in which an installation breaks, and says what to do."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest

from groundplane.apps import doctor
from groundplane.core import host

NMS = "operator torchvision::nms does not exist"


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """Put a library of a given text on the path, installed as a distribution."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def add(module: str, text: str, *, dist: str | None = None, requires: str = "") -> None:
        (tmp_path / module).mkdir()
        (tmp_path / module / "__init__.py").write_text(text)
        info = tmp_path / f"{(dist or module).replace('-', '_')}-9.9.dist-info"
        info.mkdir()
        needs = f"Requires-Dist: {requires}\n" if requires else ""
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {dist or module}\nVersion: 9.9\n{needs}"
        )

    return add


def optional(name):
    (row,) = [row for row in doctor._OPTIONAL if row[0] == name]
    return doctor._optional(*row)


def test_a_torchvision_of_another_torch_is_recognised(tmp_path):
    package = tmp_path / "torchvision"
    package.mkdir()
    (package / "__init__.py").write_text(f"raise RuntimeError({NMS!r})\n")
    code = "import sys; from groundplane.apps.doctor import run; sys.exit(run(as_json=True))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert done.returncode == 1, done.stderr
    shown = json.loads(done.stdout)
    (found,) = [c for c in shown["checks"] if c["name"] == "torchvision"]
    assert found["state"] == "problem"
    assert NMS in found["found"]
    assert "pip install --upgrade torch torchvision" in found["fix"]
    assert "uv pip install --torch-backend=cpu torch torchvision" in found["fix"]
    assert shown["problems"] >= 1


def test_a_library_that_torchvision_breaks_gets_the_same_fix(fake):
    fake("timm", f"raise RuntimeError('failed to import because of:\\n{NMS}')\n")
    assert "torchvision that matches torch" in optional("timm").fix


def test_a_torchvision_that_fails_at_its_first_use_is_found(fake):
    text = 'class ops:\n    def nms(*_): raise RuntimeError("Couldn\'t load custom C++ ops")\n'
    fake("torchvision", text)
    found = optional("torchvision")
    assert (found.state, "matches torch" in found.fix) == ("problem", True)


@pytest.mark.parametrize(("pin", "state"), [("torch==0.0.1", "warning"), ("torch", "ok")])
def test_a_torchvision_that_works_is_still_asked_for_its_torch(fake, pin, state):
    text = "class ops:\n    nms = staticmethod(lambda *_: None)\n"
    fake("torchvision", "__version__ = '9.9'\n" + text, requires=pin)
    assert optional("torchvision").state == state


def test_an_absent_library_is_no_problem_and_says_what_it_is_for(monkeypatch):
    monkeypatch.setattr(doctor.util, "find_spec", lambda _: None)
    found = optional("segment-anything")
    assert found.state == "ok"
    assert "not installed" in found.found
    assert "pip install 'groundplane[sam]'" in found.found


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n", "code -11"),
        ("import no_such_lib\n", "'no_such_lib' is not installed"),
        ("raise SystemExit(3)\n", "SystemExit: 3"),
    ],
)
def test_a_library_that_breaks_harms_nobody(fake, text, told):
    fake("supervision", text)
    found = optional("supervision")
    assert found.state == "problem"
    assert told in found.found
    assert "pip install" in found.fix


def test_two_opencv_distributions_are_a_problem(fake):
    fake("cv_one", "", dist="opencv-python")
    fake("cv_two", "", dist="opencv-contrib-python")
    found = doctor._opencv()
    assert found.state == "problem"
    assert "opencv-python 9.9" in found.found
    assert "pip uninstall -y opencv-python " in found.fix


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({"version": "5.0.0", "cascades": True}, "expected 4"),
        ({"version": "4.12.0", "cascades": False}, "no CascadeClassifier"),
        ("ImportError: libGL.so.1", "libGL"),
    ],
)
def test_a_wrong_opencv_is_a_problem(monkeypatch, facts, told):
    monkeypatch.setattr(doctor, "_facts", lambda _: facts)
    found = doctor._opencv()
    assert (found.state, told in found.found) == ("problem", True)
    assert "opencv-python-headless>=4.10,<5" in found.fix


def test_the_opencv_that_is_installed_is_accepted():
    assert doctor._opencv().state == "ok"


def test_torch_tells_its_version_and_devices(monkeypatch):
    facts = {"version": "2.10.0", "devices": ["A", "B"]}
    monkeypatch.setattr(doctor, "_facts", lambda _: facts)
    assert doctor._torch().found == "2.10.0, CUDA on A, B"
    monkeypatch.setattr(doctor, "_facts", lambda _: {"version": "2.10.0", "devices": []})
    assert doctor._torch().found == "2.10.0, no CUDA device: runs on the CPU"


def test_a_broken_torch_is_a_problem(monkeypatch):
    monkeypatch.setattr(doctor, "_facts", lambda _: "OSError: libcudart.so.12")
    found = doctor._torch()
    assert (found.state, bool(found.fix)) == ("problem", True)


def test_an_old_python_is_a_problem(monkeypatch):
    monkeypatch.setattr(doctor, "sys", SimpleNamespace(version_info=(3, 10, 1), executable="py"))
    assert doctor._python().state == "problem"


@pytest.mark.parametrize(
    ("distribution", "name", "source"),
    [
        ("groundplane", "owlv2", "'groundplane[owlv2]'"),
        ("groundplane", "unlisted", "transformers no-such"),
        ("vendor", "owlv2", "transformers no-such"),
    ],
)
def test_a_plugin_without_its_library_says_what_to_install(monkeypatch, distribution, name, source):
    needs = tuple(
        host.Need(library=library, present=library == "torch")
        for library in ("torch", "transformers", "no_such")
    )
    info = host.PluginInfo(
        kind="detectors",
        name=name,
        value="a:B",
        distribution=distribution,
        version="1",
        needs=needs,
    )
    monkeypatch.setattr(host, "check", lambda _: None)
    found = doctor._plugin(info)
    assert found.state == "ok"
    told = f"cannot be used without transformers, no_such: pip install {source}"
    assert found.found.endswith(told)


def test_a_library_whose_own_requirements_clash_is_installed_without_them(monkeypatch):
    needs = (host.Need(library="groundingdino", present=False),)
    info = host.PluginInfo(
        kind="detectors",
        name="grounding-dino-py",
        value="a:B",
        distribution="groundplane",
        version="1",
        needs=needs,
    )
    monkeypatch.setattr(host, "check", lambda _: None)
    assert "pip install --no-deps groundingdino-py, and pip" in doctor._plugin(info).found


def test_every_extra_that_the_doctor_tells_of_is_there():
    """What the doctor tells to install is an extra that there is."""
    from importlib import metadata

    extras = set(metadata.metadata("groundplane").get_all("Provides-Extra"))
    told = {
        word for row in doctor._OPTIONAL for word in re.findall(r"groundplane\[([\w-]+)", row[3])
    }
    assert told <= extras


def test_a_groundplane_that_is_not_installed_is_a_problem(monkeypatch):
    monkeypatch.setattr(doctor, "_version", lambda _: "")
    assert doctor._groundplane().state == "problem"


@pytest.mark.parametrize(
    ("status", "reason", "state"),
    [
        ("ok", None, "ok"),
        ("ok", "OSError: late", "problem"),
        ("duplicate", None, "warning"),
        ("disabled", "OSError: late", "ok"),
    ],
)
def test_plugins_are_really_loaded(monkeypatch, status, reason, state):
    info = host.PluginInfo(
        kind="detectors", name="x", value="m:P", distribution="d", version="1", status=status
    )
    monkeypatch.setattr(host, "check", lambda _: reason)
    found = doctor._plugin(info)
    assert found.state == state
    assert bool(found.fix) == (state != "ok")


@pytest.mark.parametrize(("state", "code"), [("ok", 0), ("warning", 0), ("problem", 1)])
@pytest.mark.parametrize("as_json", [False, True])
def test_the_exit_code_is_1_only_for_a_problem(monkeypatch, capsys, state, code, as_json):
    made = doctor.Check(name="thing", state=state, found="seen", fix="mend it")
    monkeypatch.setattr(doctor, "examine", lambda: [made])
    assert doctor.run(as_json=as_json) == code
    out = capsys.readouterr().out
    assert "mend it" in out
    assert "thing" in out
