"""Chains of statements, against counting by hand."""

from __future__ import annotations

import pytest

from groundplane.spatial.stories.chains import Chain, Contradiction, Places, Statement


def say(number, subject, anchor, offset):
    return Statement(
        number=number, text="", subject=subject, anchor=anchor, kind="place", offset=offset
    )


ROW = [say(1, "a", "b", (-1, 0, 0)), say(2, "c", "b", (1, 0, 0)), say(3, "c", "d", (0, -1, 0))]


def test_a_chain_sums_its_steps_whichever_way_they_were_said():
    (chain,) = Places(ROW).shortest("a", "d")

    assert chain.names == ("a", "b", "c", "d")
    assert chain.offset == (-2, -1, 0)
    assert [step for _, step in chain.legs()] == [(-1, 0, 0), (-1, 0, 0), (0, -1, 0)]


def test_no_chain_leads_to_what_nothing_is_said_of():
    assert Places(ROW).shortest("a", "z") == ()
    assert Places([]).shortest("a", "b") == ()
    assert Places([]).contradictions() == ()


def test_equally_short_chains_come_by_their_sentences():
    places = Places([
        say(3, "a", "p", (0, 1, 0)), say(4, "p", "z", (0, 1, 0)),
        say(1, "a", "q", (1, 0, 0)), say(2, "q", "z", (1, 0, 0)),
    ])  # fmt: skip

    assert [chain.direction for chain in places.shortest("a", "z")] == ["right", "above"]


def test_only_what_lies_between_two_things_is_in_dispute():
    loop = [say(4, "x", "y", (1, 0, 0)), say(5, "y", "x", (1, 0, 0)), say(6, "x", "a", (1, 0, 0))]
    places = Places([*ROW, *loop])

    assert not places.disputed("a", "d")
    assert places.disputed("x", "y")
    assert not places.disputed("x", "a")
    assert places.disputed("y", "d")


def test_a_circle_is_told_with_the_gap_it_leaves():
    places = Places([*ROW, say(4, "a", "d", (0, -1, 0))])

    (found,) = places.contradictions()

    assert {statement.number for statement in found.statements} == {1, 2, 3, 4}
    assert sorted(found.names) == ["a", "b", "c", "d"]
    assert abs(found.offset[0]) == 2
    assert found.offset[1:] == (0, 0)
    assert "misses its start by 2" in found.describe()


def test_the_gap_is_that_of_summing_the_circle():
    """Walked once around, the steps of the circle sum to the gap it is told with."""
    said = [say(1, "a", "b", (1, 1, 0)), say(2, "b", "c", (1, 0, 0)), say(3, "a", "c", (0, 1, 0)),
            say(4, "c", "e", (0, 0, 1))]  # fmt: skip

    (found,) = Places(said).contradictions()

    *path, closing = found.statements
    at, total = closing.subject, [0, 0, 0]
    for statement in path:
        way = 1 if statement.subject == at else -1
        at = statement.anchor if way > 0 else statement.subject
        total = [t + way * step for t, step in zip(total, statement.offset, strict=True)]
    assert at == closing.anchor
    gap = tuple(step - t for step, t in zip(closing.offset, total, strict=True))
    assert gap == found.offset != (0, 0, 0)


def test_all_chains_are_counted_until_there_are_too_many():
    ladder = [
        say(1 + 2 * i + side, f"n{i}", f"n{i + 1}", (1, 0, 0)) for i in range(12) for side in (0, 1)
    ]

    some, complete = Places(ladder[:8]).chains("n0", "n4")
    assert (len(some), complete) == (16, True)
    assert not Places(ladder).chains("n0", "n12")[1]


@pytest.mark.parametrize(
    ("steps", "holds"),
    [([(1, 0, 0), (1, 1, 0)], True), ([(1, 0, 0), (-1, 1, 0)], False), ([], True)],
)
def test_steps_one_way_lead_there_at_any_length(steps, holds):
    names = tuple(f"n{i}" for i in range(len(steps) + 1))
    said = tuple(say(i, names[i], names[i + 1], step) for i, step in enumerate(steps))

    assert Chain(names=names, statements=said, offset=(0, 0, 0)).any_length is holds


def test_a_circle_of_things_inside_each_other_has_no_gap():
    assert "in a circle" in Contradiction(statements=tuple(ROW), names=("a",)).describe()
