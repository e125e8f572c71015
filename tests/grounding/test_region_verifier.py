"""Boxes against exemplars, on pictures in which the truth is painted."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from plain_encoders import ColourEncoder, PlainOptions
from squares import RED, box_of, picture_of_squares

from groundplane.core.claims import Verdict
from groundplane.core.errors import InputError, ShapeError
from groundplane.grounding.region_verifier import Exemplars, RegionVerifier
from groundplane.testing.detectors import make_image


@pytest.fixture
def verifier() -> RegionVerifier:
    return RegionVerifier(ColourEncoder(PlainOptions(cells=12)))


def test_what_looks_alike_is_supported_and_what_does_not_is_contradicted(verifier) -> None:
    known = verifier.learn([(picture_of_squares(), box_of("red"))])
    (judged,) = verifier.judge([picture_of_squares(24)], [box_of("red", "blue", shift=24)], known)
    assert judged.verdicts == (Verdict.SUPPORTED, Verdict.CONTRADICTED)
    assert judged.alike.tolist() == pytest.approx([1.0, 0.0], abs=1e-5)
    assert judged.other.tolist() == [-1.0, -1.0]


def test_between_the_thresholds_nothing_is_told() -> None:
    verifier = RegionVerifier(ColourEncoder(PlainOptions(cells=12)), accept=0.9, reject=0.2)
    known = verifier.learn([(picture_of_squares(), box_of("red"))])
    # Half red, half grey: a cosine of about 0.7.
    half = torch.tensor([[24.0, 8, 56, 40]])
    (judged,) = verifier.judge([picture_of_squares()], [half], known)
    assert judged.verdicts == (Verdict.CANNOT_TELL,)


def test_a_nearer_negative_contradicts(verifier) -> None:
    half = torch.tensor([[20.0, 8, 60, 40]])
    only = verifier.learn([(picture_of_squares(), box_of("red"))])
    both = verifier.learn(
        [(picture_of_squares(), box_of("red"))], [(picture_of_squares(), box_of("grey"))]
    )
    assert verifier.judge([picture_of_squares()], [half], only)[0].verdicts == (Verdict.SUPPORTED,)
    narrow = torch.tensor([[34.0, 8, 54, 40]])
    assert verifier.judge([picture_of_squares()], [narrow], both)[0].verdicts == (
        Verdict.CONTRADICTED,
    )


def test_what_the_encoder_did_not_see_cannot_be_told() -> None:
    verifier = RegionVerifier(ColourEncoder(PlainOptions(cells=12, crop=True)))
    wide = make_image(np.full((96, 300, 3), RED, np.uint8))
    known = verifier.learn([(wide, torch.tensor([[110.0, 10, 190, 80]]))])
    (judged,) = verifier.judge(
        [wide], [torch.tensor([[0.0, 0, 90, 96], [120.0, 0, 180, 96]])], known
    )
    assert judged.verdicts == (Verdict.CANNOT_TELL, Verdict.SUPPORTED)
    with pytest.raises(InputError, match="less than half"):
        verifier.learn([(wide, torch.tensor([[0.0, 0, 90, 96]]))])


def test_pictures_are_encoded_in_one_call_and_answered_in_order(verifier) -> None:
    known = verifier.learn([(picture_of_squares(), box_of("red"))])
    boxes = [box_of("blue"), torch.zeros(0, 4), box_of("red")]
    judged = verifier.judge([picture_of_squares()] * 3, boxes, known)
    assert [j.verdicts for j in judged] == [(Verdict.CONTRADICTED,), (), (Verdict.SUPPORTED,)]
    assert verifier.judge([], [], known) == []


def test_exemplars_of_another_encoder_are_refused(verifier) -> None:
    known = verifier.learn([(picture_of_squares(), box_of("red"))])
    other = Exemplars(
        positive=known.positive, sizes=known.sizes, negative=known.negative, encoder="dinov2"
    )
    with pytest.raises(InputError, match="'dinov2'"):
        verifier.judge([picture_of_squares()], [box_of("red")], other)


def test_no_positive_exemplar_is_refused(verifier) -> None:
    with pytest.raises(InputError, match="got none"):
        verifier.learn([], [(picture_of_squares(), box_of("red"))])
    with pytest.raises(InputError, match="got none"):
        verifier.learn([(picture_of_squares(), torch.zeros(0, 4))])


def test_a_box_without_area_or_number_is_refused_as_exemplar(verifier) -> None:
    with pytest.raises(InputError, match="no area"):
        verifier.learn([(picture_of_squares(), torch.tensor([[4.0, 4, 4, 9]]))])
    with pytest.raises(InputError, match="finite"):
        verifier.learn([(picture_of_squares(), torch.tensor([[4.0, 4, float("nan"), 9]]))])


def test_lists_that_do_not_match_are_refused(verifier) -> None:
    known = verifier.learn([(picture_of_squares(), box_of("red"))])
    with pytest.raises(ShapeError, match="2 pictures"):
        verifier.judge([picture_of_squares()] * 2, [box_of("red")], known)


@pytest.mark.parametrize(
    "wrong", [{"accept": 0.2}, {"reject": float("nan")}, {"accept": 1.5}, {"margin": -0.1}]
)
def test_thresholds_that_cannot_be_are_refused(wrong) -> None:
    with pytest.raises(InputError, match="region verifier"):
        RegionVerifier(ColourEncoder(PlainOptions()), **wrong)
