"""Views: thresholds, one region a thing, tracks, and what became of each prompt."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from runs import done, failed, job, regions

from groundplane.annotation.view import View, changed_thresholds
from groundplane.core.errors import InputError, ShapeError
from groundplane.testing.annotations import random_records
from groundplane.testing.exporters import record_differences

BOX, NEAR, FAR = (0, 0, 10, 10), (0, 0, 10, 9), (50, 50, 60, 60)


def seen(rows, *, thresholds=(None, None, None), merge=0.7, **terms):
    view = View(thresholds=thresholds, merge=merge, **terms)
    return view.apply(done("a", rows=rows))


def overlap(a, b):
    wide = max(min(a[2], b[2]) - max(a[0], b[0]), 0)
    high = max(min(a[3], b[3]) - max(a[1], b[1]), 0)
    sizes = [max(c[2] - c[0], 0) * max(c[3] - c[1], 0) for c in (a, b)]
    whole = sum(sizes) - wide * high
    return wide * high / whole if whole > 0 else 0.0


def plain_view(rows, thresholds, merge):
    """Which rows stay: by a loop over all pairs, the best first."""
    wanted = [
        i
        for i, (_, score, prompt, _, kept) in enumerate(rows)
        if (kept if prompt < 0 or thresholds[prompt] is None else score >= thresholds[prompt])
    ]
    order = sorted(wanted, key=lambda i: (-rows[i][1], rows[i][2], f"r{i}"))
    stay = []
    for i in order:
        box, _, prompt, class_id, _ = rows[i]
        beaten = merge is not None and any(
            class_id >= 0
            and rows[j][3] == class_id
            and rows[j][2] != prompt
            and overlap(box, rows[j][0]) > merge
            for j in stay
        )
        if not beaten:
            stay.append(i)
    return sorted(stay)


EDGE = st.sampled_from([0.0, 1, 2, 3, 5, 8, 13.25])
BOXES = st.tuples(EDGE, EDGE, EDGE, EDGE).map(
    lambda e: (min(e[0], e[2]), min(e[1], e[3]), max(e[0], e[2]), max(e[1], e[3]))
)
ROWS = st.lists(
    st.tuples(
        BOXES, st.sampled_from([0.1, 0.3, 0.5, 0.9]), st.integers(-1, 2), st.integers(-1, 1),
        st.booleans(),
    ),
    max_size=14,
)  # fmt: skip
LEAST = st.sampled_from([None, 0.0, 0.3, 0.5, 1.0])


@settings(max_examples=100)
@given(
    rows=ROWS,
    thresholds=st.tuples(LEAST, LEAST, LEAST),
    merge=st.sampled_from([None, 0.0, 0.4, 0.5, 0.7, 1.0]),
)
def test_it_keeps_what_a_loop_over_all_pairs_keeps(rows, thresholds, merge):
    record = seen(rows, thresholds=thresholds, merge=merge)
    expected = plain_view(rows, thresholds, merge)
    assert record.regions.ids == tuple(f"r{i}" for i in expected)
    everything = seen(rows, thresholds=thresholds, merge=merge, candidates=True)
    assert np.flatnonzero(everything.regions.kept).tolist() == expected
    assert len(everything.regions) == len(rows)


def test_without_a_threshold_the_expert_decides():
    rows = [(BOX, 0.2, 0, 0, True), (FAR, 0.9, 0, 0, False)]
    assert seen(rows).regions.ids == ("r0",)
    assert seen(rows, thresholds=(0.5, None, None)).regions.ids == ("r1",)


def test_two_prompts_of_one_class_give_a_thing_once():
    rows = [(BOX, 0.5, 0, 0, True), (NEAR, 0.6, 1, 0, True), (NEAR, 0.9, 2, 1, True)]
    assert seen(rows).regions.ids == ("r1", "r2")
    assert seen(rows, merge=None).regions.ids == ("r0", "r1", "r2")


def test_of_equal_scores_the_earlier_prompt_stays():
    rows = [(NEAR, 0.5, 1, 0, True), (BOX, 0.5, 0, 0, True)]
    assert seen(rows).regions.ids == ("r1",)


def test_what_one_prompt_found_twice_stays_twice():
    rows = [(BOX, 0.5, 0, 0, True), (BOX, 0.5, 0, 0, True), (FAR, 0.4, 1, 0, True)]
    assert len(seen(rows).regions) == 3


def test_regions_without_a_class_are_never_merged():
    rows = [(BOX, 0.5, 0, -1, True), (BOX, 0.6, 1, -1, True)]
    assert len(seen(rows).regions) == 2


def test_a_candidate_beats_nothing_that_is_kept():
    rows = [(BOX, 0.9, 0, 0, False), (NEAR, 0.3, 1, 0, True)]
    assert seen(rows).regions.ids == ("r1",)


def test_outcomes_follow_the_thresholds_but_not_what_was_merged():
    rows = [(BOX, 0.5, 0, 0, True), (BOX, 0.4, 1, 0, True)]
    assert seen(rows).outcomes == ("found", "found", "cannot")
    assert seen(rows, thresholds=(0.6, None, None)).outcomes == ("none", "found", "cannot")
    assert View(thresholds=()).apply(failed("a")).outcomes == ()


def test_tracks_are_told_by_the_regions_id():
    record = View(thresholds=(None,) * 3).apply(done("a"), {"r0": 4, "r7": 5})
    assert record.regions.track_ids.tolist() == [4]
    assert View(thresholds=(None,) * 3).apply(done("a"), {}).regions.track_ids.tolist() == [-1]


def test_a_region_of_an_unknown_prompt_is_refused():
    with pytest.raises(ShapeError, match="answers prompt 2"):
        View(thresholds=(None,)).apply(done("a", rows=[(BOX, 0.5, 2, 0, True)]))


@pytest.mark.parametrize("seed", range(20))
def test_a_view_of_a_view_changes_nothing_and_the_record_stays(seed):
    records = random_records(seed)
    view = View.of(job(classes=records.classes, floor=0.0))
    for record in records:
        before = [column.copy() for column in (record.regions.boxes, record.regions.kept)]
        once = view.apply(record)
        assert record_differences(once, view.apply(once)) == []
        assert (record.regions.boxes == before[0]).all()
        assert (record.regions.kept == before[1]).all()
        assert once.regions.kept.all()


def test_a_crowd_is_merged_in_near_linear_time():
    chance = np.random.default_rng(0)
    n = 30_000
    corner = chance.uniform(0, 4000, (n, 2))
    boxes = np.concatenate([corner, corner + chance.uniform(5, 60, (n, 2))], axis=1)
    crowd = regions(
        list(zip(boxes.round(2).tolist(), chance.uniform(0, 1, n).round(4).tolist(),
                 (np.arange(n) % 2).tolist(), [0] * n, [True] * n, strict=True))
    )  # fmt: skip
    view = View(thresholds=(None, None, None), merge=0.3)
    merged = view._merged(crowd, np.ones(n, dtype=bool))
    assert n * 0.5 < merged.sum() < n


class TestThresholds:
    def test_what_is_not_named_stays(self):
        assert changed_thresholds(job(), (0.2, None, 0.4), "puppy=0.5") == (0.2, 0.5, 0.4)

    def test_a_number_alone_is_for_all_that_are_not_named(self):
        given = ["0.6", "red car=0.7"]
        assert changed_thresholds(job(), (0.2, None, 0.4), given) == (0.6, 0.6, 0.7)

    def test_a_class_stands_for_all_its_prompts_but_a_prompt_goes_first(self):
        assert changed_thresholds(job(), (None,) * 3, {"car": 0.7}) == (None, None, 0.7)
        assert changed_thresholds(job(), (None,) * 3, {"dog": 0.7}) == (0.7, None, None)

    def test_nothing_goes_back_to_the_jobs_own(self):
        assert changed_thresholds(job(), (0.2, 0.2, 0.4), ()) == (None, 0.3, None)

    @pytest.mark.parametrize("given", [0.01, {"dog": 0.05}, ["puppy=0"]])
    def test_below_the_floor_nothing_was_kept(self, given):
        with pytest.raises(InputError, match=r"less than 0\.1 was not kept"):
            changed_thresholds(job(), (None,) * 3, given)
