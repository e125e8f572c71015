import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundplane.core.claims import Number, Verdict
from groundplane.core.errors import InputError
from groundplane.grounding.claim_chances import Trust, judge_number

SURE = Trust()
SUPPORTED, CONTRADICTED, TELL = Verdict.SUPPORTED, Verdict.CONTRADICTED, Verdict.CANNOT_TELL


@pytest.mark.parametrize(
    ("number", "sure", "possible", "verdict"),
    [
        (Number(), 1, 0, SUPPORTED),
        (Number(), 0, 0, CONTRADICTED),
        (Number(), 0, 1, TELL),
        (Number(), 1, 5, SUPPORTED),
        (Number(least=0, most=0), 0, 0, SUPPORTED),
        (Number(least=0, most=0), 1, 0, CONTRADICTED),
        (Number(least=0, most=0), 0, 3, TELL),
        (Number(least=2, most=2), 2, 0, SUPPORTED),
        (Number(least=2, most=2), 1, 0, CONTRADICTED),
        (Number(least=2, most=2), 1, 1, TELL),
        (Number(least=2, most=2), 2, 1, TELL),
        (Number(least=2, most=2), 3, 1, CONTRADICTED),
        (Number(least=4, most=4), 1, 2, CONTRADICTED),
        (Number(least=3, floor=2), 2, 0, TELL),
        (Number(least=3, floor=2), 1, 0, CONTRADICTED),
    ],
)
def test_finds_and_possible_finds_decide(
    number: Number, sure: int, possible: int, verdict: Verdict
) -> None:
    assert judge_number(number, sure, possible, trust=SURE) is verdict


def test_a_crowd_leaves_a_number_open_but_not_that_there_is_one() -> None:
    assert judge_number(Number(), 1, trust=SURE, more=True) is SUPPORTED
    assert judge_number(Number(least=3, most=3), 1, trust=SURE, more=True) is TELL
    assert judge_number(Number(least=3, most=3), 4, trust=SURE, more=True) is CONTRADICTED
    assert judge_number(Number(least=3), 1, trust=SURE, more=True) is TELL


@given(st.integers(0, 8), st.integers(0, 8), st.integers(0, 4))
def test_an_expert_that_errs_not_is_believed_by_counting(
    claimed: int, sure: int, possible: int
) -> None:
    verdict = judge_number(Number(least=claimed, most=claimed), sure, possible, trust=SURE)
    could = claimed in range(sure, sure + possible + 1)
    assert verdict is (CONTRADICTED if not could else TELL if possible else SUPPORTED)


@pytest.mark.parametrize("recall", [0.5, 0.8, 0.95])
@pytest.mark.parametrize("claimed", [0, 1, 2, 3])
def test_verdicts_are_right_as_often_as_they_say(recall: float, claimed: int) -> None:
    """Played out: claims are right half of the time, things are missed, and verdicts counted."""
    rng = random.Random(7)
    number, trust = Number(least=claimed, most=claimed), Trust(recall=recall, confidence=0.8)
    judged = {sure: judge_number(number, sure, trust=trust) for sure in range(40)}
    told: dict[Verdict, list[bool]] = {verdict: [] for verdict in Verdict}
    others = [count for count in range(30) if count != claimed]
    weights = [(2 / 3) ** count for count in others]
    for _ in range(20_000):
        right = rng.random() < 0.5
        count = claimed if right else rng.choices(others, weights)[0]
        sure = sum(rng.random() < recall for _ in range(count))
        told[judged[sure]].append(right)
    # 0.03: three standard deviations of a share of 0.8 among the fewest verdicts here.
    for verdict, truth in ((SUPPORTED, True), (CONTRADICTED, False)):
        if len(told[verdict]) > 500:
            share = sum(right is truth for right in told[verdict]) / len(told[verdict])
            assert share >= 0.8 - 0.03
    assert told[CONTRADICTED], "nothing was ever contradicted"


def test_a_worse_expert_never_decides_more() -> None:
    recalls = (1.0, 0.9, 0.7, 0.5, 0.2)
    for claimed, sure in itertools.product(range(4), range(4)):
        number = Number(least=claimed, most=claimed)
        verdicts = [judge_number(number, sure, trust=Trust(recall=r)) for r in recalls]
        told = [verdict for verdict in verdicts if verdict is not TELL]
        assert len(set(told)) <= 1


def test_finds_that_may_be_wrong_support_less() -> None:
    assert judge_number(Number(), 1, trust=Trust(precision=0.95)) is SUPPORTED
    assert judge_number(Number(), 1, trust=Trust(precision=0.6)) is TELL
    assert judge_number(Number(), 4, trust=Trust(precision=0.6)) is SUPPORTED


def test_two_things_are_trusted_less_than_one() -> None:
    pairs = Trust(recall=0.9, precision=0.8).of_pairs()
    assert pairs.recall == pytest.approx(0.81)
    assert pairs.precision == pytest.approx(0.64)


def test_many_finds_are_counted_as_they_are() -> None:
    trust = Trust(recall=0.8, precision=0.9)
    assert judge_number(Number(), 10_000, trust=trust) is SUPPORTED
    assert judge_number(Number(least=2, most=2), 10_000, 10_000, trust=trust) is CONTRADICTED


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({"recall": 0.0}, "recall above 0"),
        ({"precision": 1.2}, "precision above 0"),
        ({"recall": float("nan")}, "recall above 0"),
        ({"confidence": 0.5}, "confidence between"),
        ({"confidence": 1.0}, "confidence between"),
        ({"prior": 0.0}, "prior between"),
        ({"low": 0.5, "high": 0.4}, "low <= high"),
        ({"low": float("nan")}, "low <= high"),
    ],
)
def test_a_trust_out_of_range_is_refused(bad: dict[str, float], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Trust(**bad)
