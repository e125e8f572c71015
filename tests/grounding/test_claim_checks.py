"""Each rule of how words are taken, on made-up sightings and a made-up table of relations."""

from collections.abc import Mapping, Sequence

import pytest
import torch
from jaxtyping import Shaped
from torch import Tensor

from groundplane.core.claims import Sighting, Truths, Verdict
from groundplane.grounding.claim_chances import Trust
from groundplane.grounding.claim_checks import ClaimChecker, Finding
from groundplane.grounding.claims import read_claims
from groundplane.spatial.claim_relations import Wordings

YES, NO, OPEN = Verdict.SUPPORTED, Verdict.CONTRADICTED, Verdict.CANNOT_TELL


class Table:
    """Says which pairs stand in whatever relation is asked for; the open ones are not known."""

    def __init__(self, true: Sequence[str] = (), unknown: Sequence[str] = ()) -> None:
        self._true, self._unknown = set(true), set(unknown)

    def holds(self, relation: str, *sets: Sequence[str]) -> Truths:
        pairs = [[f"{a} {b}" for b in sets[1]] for a in sets[0]]
        shape = (len(sets[0]), len(sets[1]))
        holds = torch.tensor([[p in self._true for p in row] for row in pairs]).reshape(shape)
        known = torch.tensor([[p not in self._unknown for p in row] for row in pairs])
        return Truths(holds=holds.bool(), known=known.reshape(shape).bool(), reason=relation)

    def measure(self, name: str, *sets: Sequence[str]) -> Shaped[Tensor, "*sets"] | str:
        return (
            torch.full(tuple(map(len, sets)), 2.0) if name == "distance" else "nothing to measure"
        )


def seen(**things: Sighting | str | int) -> Mapping[str, Sighting]:
    """Sightings: `2` for two that are sure, `1+1` for one sure and one possible."""
    made: dict[str, Sighting] = {}
    for key, told in things.items():
        name = key.replace("_", " ")
        if isinstance(told, Sighting):
            made[name] = told
            continue
        sure, _, possible = str(told).partition("+")
        ids = [f"{key}{i}" for i in range(int(sure) + int(possible or 0))]
        made[name] = Sighting(
            phrase=name, ids=tuple(ids[: int(sure)]), possible=tuple(ids[int(sure) :])
        )
    return made


def check(
    text: str,
    things: Mapping[str, Sighting],
    table: Table | None = None,
    trust: Trust | None = None,
) -> Finding:
    """The finding of the last claim of a text."""
    claim = read_claims(text, relations=Wordings()).claims[-1]
    judge = ClaimChecker(things, table or Table(), trust=trust or Trust(), expert="test")
    return judge.check(claim)


@pytest.mark.parametrize(
    ("text", "dogs", "verdict"),
    [
        ("There is a dog.", 1, YES),
        ("There is a dog.", 0, NO),
        ("There is a dog.", "0+1", OPEN),
        ("There is no dog.", 0, YES),
        ("There is no dog.", 2, NO),
        ("There is no dog.", "0+1", OPEN),
        ("There are two dogs.", 2, YES),
        ("There are two dogs.", 3, NO),
        ("There are two dogs.", "1+1", OPEN),
        ("There aren't two dogs.", 3, YES),
        ("There are several dogs.", 2, OPEN),
        ("There are several dogs.", 1, NO),
        ("There are at least two dogs.", "2+4", YES),
    ],
)
def test_things_are_counted(text: str, dogs: str | int, verdict: Verdict) -> None:
    assert check(text, seen(dog=dogs)).verdict is verdict


def test_what_nobody_can_look_for_cannot_be_told() -> None:
    things = {"dog": Sighting(phrase="dog", known=False, note="only faces are known")}
    found = check("There is no dog.", things)
    assert (found.verdict, found.reason) == (OPEN, "only faces are known")


def test_a_stated_number_outweighs_what_is_listed() -> None:
    things = {"dog": Sighting(phrase="dog", ids=("a",), stated=4)}
    assert check("There are four dogs.", things).verdict is YES


DOG_LEFT = ("dog0 car0",)


@pytest.mark.parametrize(
    ("text", "dogs", "cars", "true", "unknown", "verdict"),
    [
        # a dog: some dog
        ("A dog is left of a car.", 2, 2, DOG_LEFT, (), YES),
        ("A dog is left of a car.", 2, 2, (), (), NO),
        ("A dog is left of a car.", 2, 2, (), ("dog1 car1",), OPEN),
        ("A dog is left of a car.", "0+1", 1, DOG_LEFT, (), OPEN),
        ("A dog is left of a car.", 1, "0+1", DOG_LEFT, (), OPEN),
        ("A dog is left of a car.", "1+1", 1, (), (), NO),
        # so many dogs
        ("Two dogs are left of a car.", 3, 1, ("dog0 car0", "dog1 car0"), (), YES),
        ("Two dogs are left of a car.", 3, 1, DOG_LEFT, (), NO),
        ("Two dogs are left of a car.", 3, 1, DOG_LEFT, ("dog1 car0",), OPEN),
        ("No dog is left of a car.", 2, 1, (), (), YES),
        ("No dog is left of a car.", 2, 1, DOG_LEFT, (), NO),
        # the dog: the one, or all agree
        ("The dog is left of the car.", 1, 1, DOG_LEFT, (), YES),
        ("The dog is left of the car.", 1, 1, (), (), NO),
        ("The dog is left of the car.", 2, 1, ("dog0 car0", "dog1 car0"), (), YES),
        ("The dog is left of the car.", 2, 1, DOG_LEFT, (), OPEN),
        ("The dog is left of the car.", 2, 1, (), (), NO),
        ("The dog is left of the car.", 1, 2, DOG_LEFT, (), OPEN),
        ("The dog is left of the car.", 1, 1, (), ("dog0 car0",), OPEN),
        # the dogs: each of them
        ("The dogs are left of the car.", 2, 1, DOG_LEFT, (), NO),
        ("The dogs are left of the car.", 2, 1, ("dog0 car0", "dog1 car0"), (), YES),
        # denied
        ("The dog is not left of the car.", 1, 1, (), (), YES),
        ("The dog is not left of the car.", 1, 1, DOG_LEFT, (), NO),
        ("The dog is not left of the car.", 2, 1, DOG_LEFT, (), OPEN),
        ("The dog is outside the car.", 1, 1, (), (), YES),
        ("The dog is outside the car.", 1, 1, DOG_LEFT, (), NO),
        ("The dog is not outside the car.", 1, 1, DOG_LEFT, (), YES),
        # so many anchors
        ("A dog is left of two cars.", 1, 3, ("dog0 car0", "dog0 car1"), (), YES),
        ("A dog is left of two cars.", 1, 3, DOG_LEFT, (), NO),
        # nothing there
        ("The dog is left of the car.", 0, 1, (), (), NO),
        ("The dog is left of the car.", 1, 0, (), (), NO),
        ("The dog is not left of the car.", 0, 1, (), (), OPEN),
        ("The dog is outside the car.", 1, 0, (), (), OPEN),
        ("No dog is left of a car.", 0, 1, (), (), YES),
    ],
)
def test_relations_are_taken_as_the_words_say(
    text: str, dogs: str | int, cars: str | int, true: Sequence[str], unknown: Sequence[str],
    verdict: Verdict,
) -> None:  # fmt: skip
    things = seen(dog=dogs, car=cars)
    assert check(text, things, Table(true, unknown)).verdict is verdict


def test_the_evidence_is_the_pairs_that_decide() -> None:
    found = check("A dog is left of a car.", seen(dog=2, car=2), Table(DOG_LEFT))
    assert found.evidence == ("dog0", "car0")


@pytest.mark.parametrize(
    ("text", "dogs", "red", "verdict"),
    [
        ("A red dog.", 2, 1, YES),
        ("A red dog.", 2, 0, NO),
        ("A red dog.", 2, "0+1", OPEN),
        ("Two red dogs.", 3, 2, YES),
        ("Two red dogs.", 3, 1, NO),
        ("No red dog.", 3, 0, YES),
        ("No red dog.", 3, 1, NO),
        ("The dog is red.", 1, 1, YES),
        ("The dog is red.", 1, 0, NO),
        ("The dog is red.", 2, 1, OPEN),
        ("The dogs are red.", 2, 2, YES),
        ("The dog is not red.", 1, 0, YES),
        ("The dog is not red.", 1, 1, NO),
        ("The dog is red.", 0, 0, NO),
        ("The dog is not red.", 0, 0, OPEN),
    ],
)
def test_attributes_are_counted_among_the_things(
    text: str, dogs: int, red: str | int, verdict: Verdict
) -> None:
    assert check(text, seen(dog=dogs, red_dog=red)).verdict is verdict


def test_an_attribute_that_nobody_checks_leaves_its_relation_open_and_its_thing_not() -> None:
    things = {
        **seen(dog=1, car=1),
        "red car": Sighting(phrase="red car", known=False, note="no red"),
    }
    claims = read_claims("The dog is left of a red car.", relations=Wordings()).claims
    judge = ClaimChecker(things, Table(DOG_LEFT), trust=Trust(), expert="test")
    verdicts = {claim.kind: judge.check(claim).verdict for claim in claims}
    assert verdicts == {"exists": YES, "attribute": OPEN, "relation": OPEN}


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("The dog is 2 m from the car.", YES),
        ("The dog is 3 m from the car.", NO),
        ("The dog is about 2.2 m from the car.", YES),
        ("The dog is more than 1 m from the car.", YES),
        ("The dog is at most 1 m from the car.", NO),
        ("The dog is not 3 m from the car.", YES),
        ("The dog is 1 m tall.", OPEN),
    ],
)
def test_measures_are_held_against_the_map(text: str, verdict: Verdict) -> None:
    assert check(text, seen(dog=1, car=1)).verdict is verdict


def test_an_expert_that_misses_things_contradicts_less() -> None:
    careful = Trust(recall=0.5)
    assert check("There are two dogs.", seen(dog=1), trust=careful).verdict is OPEN
    found = check("The dog is left of the car.", seen(dog=0, car=1), trust=careful)
    assert (found.verdict, found.reason) == (OPEN, "no dog is seen, and one may be missed")


def test_between_takes_any_two_of_several() -> None:
    class Between(Table):
        def holds(self, relation: str, *sets: Sequence[str]) -> Truths:
            shape = tuple(map(len, sets))
            holds = torch.zeros(shape, dtype=torch.bool)
            holds[0, 0, 1] = True
            return Truths(holds=holds, known=torch.ones_like(holds))

    things = seen(cat=1, bowl=2)
    assert check("A cat sits between two bowls.", things, Between()).verdict is YES
