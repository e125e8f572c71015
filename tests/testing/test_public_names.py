"""What users import of `groundplane.testing` is there, and loaded on first use."""

import importlib
import subprocess
import sys

import pytest

PACKAGES = ("groundplane.testing", "groundplane.testing.rooms")

_LIGHT = """
import sys
import groundplane.testing, groundplane.testing.rooms
heavy = {"torch", "pytest", "moderngl", "trimesh"} & set(sys.modules)
assert not heavy, heavy
from groundplane.testing.rooms import OracleDetector, make_questions, make_room, save_room
heavy = {"pytest", "moderngl", "trimesh"} & set(sys.modules)
assert not heavy, heavy
"""


@pytest.mark.parametrize("package", PACKAGES)
def test_every_name_is_that_of_its_home(package):
    module = importlib.import_module(package)

    assert dir(module) == sorted(module.__all__) == sorted(module._HOMES)
    for name, home in module._HOMES.items():
        assert name in importlib.import_module(f"{package}.{home}").__all__
        assert getattr(module, name).__name__ == name


@pytest.mark.parametrize("package", PACKAGES)
def test_what_is_not_there_is_said(package):
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'makeroom'"):
        _ = importlib.import_module(package).makeroom


def test_importing_them_draws_nothing_and_tests_nothing():
    command = [sys.executable, "-c", _LIGHT]
    done = subprocess.run(command, check=False, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
