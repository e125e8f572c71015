"""The checks at run time: they are on in every test, and doctests are found in spite of them."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import sys
from typing import Protocol

import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError

import groundplane
from groundplane.core import boxes, masks
from groundplane.core.errors import ShapeError
from groundplane.core.image import FrameMap


def test_an_array_of_the_wrong_shape_is_refused_by_the_hook():
    with pytest.raises(TypeCheckError):
        FrameMap.identity().points(np.zeros((2, 3)))


def test_a_wrong_type_is_refused_by_the_hook_and_a_whole_number_is_no_wrong_float():
    with pytest.raises(TypeCheckError):
        masks.from_counts([1, 3], "size")
    assert masks.from_polygons([[0, 0, 2, 0, 2, 2]], (2, 2)).size == (2, 2)


def test_checks_can_be_taken_off_to_see_what_the_package_refuses_itself(unchecked):
    with pytest.raises(ShapeError):
        masks.from_counts([1, 3], "size")


def test_every_signature_of_the_package_can_be_checked(uncheckable):
    for module in pkgutil.walk_packages(groundplane.__path__, "groundplane."):
        if not module.name.endswith("__main__"):  # it runs the program
            importlib.import_module(module.name)
    assert uncheckable == []


class Uncheckable(Protocol):
    def run(self): ...


def test_a_signature_that_cannot_be_checked_is_noted(uncheckable):
    def function(thing: Uncheckable): ...

    function.__annotations__ = {"thing": Uncheckable}
    assert sys.modules["groundplane_checks"].check_types(function) is function
    assert "Uncheckable" in uncheckable.pop()


def test_what_fits_passes_the_hook():
    corners = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
    assert FrameMap.identity().boxes(corners.numpy()).tolist() == corners.tolist()


@pytest.mark.parametrize("module", [boxes, masks], ids=["boxes", "masks"])
def test_doctests_of_checked_functions_are_found(module):
    found = {test.name.split(".")[-1] for test in doctest.DocTestFinder().find(module)}
    public = [name for name in module.__all__ if ">>>" in (getattr(module, name).__doc__ or "")]
    assert public
    assert set(public) <= found


def test_data_dir_is_a_folder_with_data(data_dir):
    assert (data_dir / "coco").is_dir()
