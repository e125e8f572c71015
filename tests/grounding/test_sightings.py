from dataclasses import replace

import pytest
import torch

from groundplane.core.detection import DetectResult, Outcome
from groundplane.core.regions import Regions
from groundplane.grounding.claim_chances import Trust
from groundplane.grounding.sightings import plan_look, sightings_of

COCO = ("person", "dog", "cat", "car", "chair", "dining table")


def regions(*rows: tuple[str, int, float], phrases: tuple[str, ...]) -> Regions:
    return Regions(
        ids=tuple(row[0] for row in rows),
        boxes=torch.tensor([[0.0, 0, 5, 5]]).repeat(len(rows), 1),
        scores=torch.tensor([row[2] for row in rows]).reshape(-1),
        phrases=phrases,
        phrase_ids=torch.tensor([row[1] for row in rows], dtype=torch.long).reshape(-1),
        image_size=(10, 10),
    )


def result(
    *rows: tuple[str, int, float], phrases: tuple[str, ...] = ("dog", "cat")
) -> DetectResult:
    whole = regions(*rows, phrases=phrases)
    outcomes = tuple(
        Outcome.FOUND if i in [row[1] for row in rows] else Outcome.NONE
        for i in range(len(phrases))
    )
    return DetectResult(regions=whole, outcomes=outcomes, candidates=whole).at([0.5] * len(phrases))


def test_finds_above_the_experts_threshold_are_sure_and_those_above_low_possible() -> None:
    found = result(("a", 0, 0.9), ("b", 0, 0.4), ("c", 0, 0.1), ("d", 1, 0.3))
    seen, kept = sightings_of(found, plan_look(["dog", "cat"], None), trust=Trust(low=0.2))
    assert (seen["dog"].ids, seen["dog"].possible) == (("a",), ("b",))
    assert (seen["cat"].ids, seen["cat"].possible) == ((), ("d",))
    assert kept.ids == ("a", "b", "d")


def test_a_stated_threshold_replaces_the_experts_own() -> None:
    found = result(("a", 0, 0.9), ("b", 0, 0.6), ("c", 0, 0.4))
    seen, _ = sightings_of(found, plan_look(["dog"], None), trust=Trust(low=0.5, high=0.8))
    assert (seen["dog"].ids, seen["dog"].possible) == (("a",), ("b",))


def test_an_expert_without_candidates_has_its_regions_alone() -> None:
    found = DetectResult(
        regions=regions(("a", 0, 0.9), phrases=("dog",)), outcomes=(Outcome.FOUND,)
    )
    seen, kept = sightings_of(found, plan_look(["dog"], None), trust=Trust())
    assert seen["dog"].ids == kept.ids == ("a",)


def test_candidates_of_other_names_are_left_aside() -> None:
    found = DetectResult(
        regions=regions(("a", 0, 0.9), phrases=("dog",)), outcomes=(Outcome.FOUND,),
        candidates=regions(("x", 0, 0.9), phrases=("dog",)),
    )  # fmt: skip
    _, kept = sightings_of(found, plan_look(["dog"], None), trust=Trust())
    assert kept.ids == ("a",)


def test_what_an_expert_cannot_look_for_is_not_known() -> None:
    found = DetectResult(
        regions=Regions.empty(phrases=["dog"], image_size=(9, 9)), outcomes=(Outcome.CANNOT,),
        note="this expert cannot look for 'dog'; it knows: face; no masks",
    )  # fmt: skip
    seen, _ = sightings_of(found, plan_look(["dog"], None), trust=Trust())
    assert not seen["dog"].known
    assert seen["dog"].note == "this expert cannot look for 'dog'"


def test_a_crowd_says_that_there_are_more() -> None:
    found = DetectResult(
        regions=regions(("a", 0, 1.0), phrases=("dog",)), outcomes=(Outcome.FOUND,), uncounted=(0,)
    )
    seen, _ = sightings_of(found, plan_look(["dog"], None), trust=Trust())
    assert seen["dog"].more


def test_a_person_may_be_a_man_and_no_person_is_none() -> None:
    plan = plan_look(["man"], COCO)
    assert plan.asked == ("person",)
    seen, _ = sightings_of(result(("a", 0, 1.0), phrases=("person",)), plan, trust=Trust())
    assert (seen["man"].ids, seen["man"].possible, seen["man"].fewer) == ((), ("a",), True)
    nobody, _ = sightings_of(result(phrases=("person",)), plan, trust=Trust())
    assert (nobody["man"].ids, nobody["man"].possible) == ((), ())


def test_a_dog_is_an_animal_and_no_dog_leaves_other_animals() -> None:
    plan = plan_look(["animal"], COCO)
    assert plan.asked == ("cat", "dog")
    seen, _ = sightings_of(result(("a", 1, 1.0), phrases=("cat", "dog")), plan, trust=Trust())
    assert seen["animal"].ids == ("a",)
    assert seen["animal"].more


def test_an_expert_of_any_text_is_asked_as_it_is_said() -> None:
    assert plan_look(["man", "animal"], None).asked == ("man", "animal")
    assert plan_look([], COCO).asked == ()


def colored(red: float, white: float, *, apart: bool = False) -> DetectResult:
    """One car, looked for in all colours; red and white have a score."""
    asked = plan_look(["red car"], None).asked
    whole = regions(
        ("r", asked.index("red car"), red), ("w", asked.index("white car"), white), phrases=asked
    )
    if apart:
        boxes = torch.tensor([[0.0, 0, 5, 5], [6, 6, 9, 9]])
        whole = replace(whole, boxes=boxes)
    outcomes = tuple(Outcome.NONE for _ in asked)
    least = [0.3] * len(asked)
    return DetectResult(regions=whole, outcomes=outcomes, candidates=whole).at(least)


@pytest.mark.parametrize(
    ("red", "white", "ids", "possible"),
    [
        (0.9, 0.5, ("r",), ()),
        (0.9, 0.88, (), ("r",)),
        (0.8, 0.82, (), ("r",)),
        (0.5, 0.9, (), ()),
        (0.25, 0.05, (), ("r",)),
    ],
)
def test_a_car_is_red_where_red_fits_it_best(
    red: float, white: float, ids: tuple[str, ...], possible: tuple[str, ...]
) -> None:
    plan = plan_look(["red car"], None)
    seen, _ = sightings_of(colored(red, white), plan, trust=Trust())
    assert (seen["red car"].ids, seen["red car"].possible) == (ids, possible)


def test_a_white_car_elsewhere_takes_nothing_from_a_red_one() -> None:
    plan = plan_look(["red car"], None)
    seen, _ = sightings_of(colored(0.5, 0.9, apart=True), plan, trust=Trust())
    assert seen["red car"].ids == ("r",)


@pytest.mark.parametrize("phrase", ["car", "wooden car", "red", "dark car", "orange"])
def test_what_names_no_color_of_a_thing_has_no_rivals(phrase: str) -> None:
    assert plan_look([phrase], None).asked == (phrase,)
    assert plan_look(["red car"], ["car"]).rivals == {}
