"""How sure an answer is, in words."""

import pytest

from groundplane.core.answer import Answer, RunnerUp, Status
from groundplane.core.expressions import Select, Unique
from groundplane.core.queries import Measure
from groundplane.spatial.chances.hedging import Piece, hedge_after, hedge_before, hedged, percent
from groundplane.spatial.wording import word_answer


def close(value, probability, rival=None, **details):
    return Answer(
        value=value, status=Status.TOO_CLOSE, probability=probability, runner_up=rival, **details
    )


def test_the_interval_stands_in_the_sentence():
    height = Measure(name="height", of=(Unique(Select("lamp")),))
    answer = Answer(value=2.6, unit="m", interval=(2.519, 2.688))

    told = "".join(piece.text for piece in word_answer(height, answer))

    assert told == "The lamp is 2.60 m tall (2.52 to 2.69 m with 90 % probability)."


def test_an_answer_without_error_bars_is_worded_as_ever():
    pieces = (Piece("It is "), Piece("there.", ("a",)))

    assert hedged(pieces, Answer(value=True)) == pieces


def test_the_unit_is_said_once():
    answer = Answer(value=213.0, unit="cm", interval=(205.2, 220.9))

    assert hedge_after(answer) == " (205 to 221 cm with 90 % probability)"


def test_a_number_of_chosen_objects_tells_both():
    answer = Answer(value=2.6, unit="m", interval=(2.5, 2.7), probability=0.91)

    assert hedge_after(answer).endswith("with 90 % probability, of the right objects with 91 %)")


def test_the_runner_up_is_named():
    told = hedge_before(close("lamp", 0.55, RunnerUp(value="cup", probability=0.4)))

    assert (
        told == "Too close to call: lamp with 55 % probability, cup with 40 %. As the boxes are: "
    )


def test_a_runner_up_may_be_no_answer():
    assert "no answer with 30 %" in hedge_before(
        close(2, 0.7, RunnerUp(value=None, probability=0.3))
    )


def test_a_long_set_is_not_listed_twice():
    names = tuple("abcde")

    told = hedge_before(close(names, 0.5, RunnerUp(value=names[1:], probability=0.2)))

    assert told.startswith("Too close to call: just these with 50 % probability.")


def test_a_number_of_the_wrong_objects_is_told():
    told = hedge_before(close(2.0, 0.6, interval=(1.9, 2.1), unit="m"))

    assert told == "Too close to call which objects are meant; with 60 % probability: "


def test_the_pieces_keep_what_they_refer_to():
    pieces = hedged((Piece("Yes, "), Piece("the lamp.", ("lamp",))), close(True, 0.6))

    assert pieces[-1].refers == ("lamp",)
    assert pieces[0].text.startswith("Too close to call: yes")


@pytest.mark.parametrize(
    ("share", "told"), [(0.994, "over 99 %"), (0.5, "50 %"), (0.0, "under 1 %"), (0.99, "99 %")]
)
def test_a_share_of_worlds_is_never_certain(share, told):
    assert percent(share) == told
