"""Shape and type checks at run time for every test, and the data with outside truth.

The checks are in place before any module of the package is imported; subprocesses that tests
start run without them, as users do.
"""

from __future__ import annotations

import doctest
import inspect
import os
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Self

import jaxtyping
import pytest
from beartype import BeartypeConf, FrozenDict, beartype
from beartype.roar import BeartypeDecorHintException

# These run in environments of their own, beside the tool that they try.
collect_ignore_glob = ["support/check_*.py", "support/read_with_*.py"]

if "PYTEST_XDIST_WORKER" in os.environ:
    # Each worker has a core: threads of torch beyond it would only take turns.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# The tower lets an int stand where a float is asked for, as mypy does. `Self` means nothing to
# beartype where a method is decorated alone, as the hook does it.
_CHECKS = BeartypeConf(is_pep484_tower=True, hint_overrides=FrozenDict({Self: object}))
_DATA = Path(__file__).resolve().parents[1] / ".." / "shared" / "data"
_UNCHECKABLE: list[str] = []


def check_types(thing: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate with beartype; what it cannot check is noted, and one test fails for it."""
    try:
        return beartype(conf=_CHECKS)(thing)
    except BeartypeDecorHintException as error:
        _UNCHECKABLE.append(str(error).splitlines()[0])
        return thing


# The hook takes its checker by name only, and each way of running pytest names this file anew.
sys.modules["groundplane_checks"] = sys.modules[__name__]
jaxtyping.install_import_hook("groundplane", "groundplane_checks.check_types")


def _is_from(finder: doctest.DocTestFinder, module: ModuleType | None, thing: object) -> bool:
    return _found_in(finder, module, inspect.unwrap(thing) if callable(thing) else thing)


# A checked function is a wrapper that another module defines: doctest would pass it over.
_found_in = doctest.DocTestFinder._from_module
doctest.DocTestFinder._from_module = _is_from


@pytest.fixture
def uncheckable() -> list[str]:
    """What was said of the signatures that could not be checked."""
    return _UNCHECKABLE


@pytest.fixture
def unchecked() -> Iterator[None]:
    """Calls are not checked: for tests of what the package itself refuses."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of data with outside truth; what needs it is skipped where it is not."""
    if not _DATA.is_dir():
        pytest.skip("needs the folder ../shared/data, which is not here")
    return _DATA


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that must draw a room is skipped by that reason where there is no EGL."""
    # Only here: this file's checks of the package come before any of its modules.
    from drawing import as_skipped

    return as_skipped(item, call, (yield))


@pytest.fixture(scope="session")
def draws() -> None:
    """For tests whose subprocesses draw rooms: they are skipped where there is no EGL."""
    from drawing import need_drawing

    need_drawing()
