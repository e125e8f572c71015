import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from groundplane.core import masks
from groundplane.core.answer import Step
from groundplane.core.detection import DetectResult, Outcome
from groundplane.core.errors import InputError, ShapeError
from groundplane.core.regions import Regions
from groundplane.grounding.result_merging import Merging, merge_results

FOUND, NONE, CANNOT = Outcome.FOUND, Outcome.NONE, Outcome.CANNOT
CUP = (0.0, 0.0, 10.0, 10.0)
BESIDE = (30.0, 0.0, 40.0, 10.0)


def regions_of(*rows, phrases=("cup", "plate"), size=(50, 50), with_masks=False):
    """Regions of rows of box, score and phrase id."""
    picture = np.zeros((size[1], size[0]), dtype=bool)
    picture[:10, :10] = True
    return Regions(
        ids=tuple(f"r{i}" for i in range(len(rows))),
        boxes=torch.tensor([row[0] for row in rows], dtype=torch.float32).reshape(-1, 4),
        scores=torch.tensor([row[1] for row in rows], dtype=torch.float32),
        phrases=phrases,
        phrase_ids=torch.tensor([row[2] for row in rows], dtype=torch.long),
        image_size=size,
        masks=(masks.encode(picture),) * len(rows) if with_masks else None,
    )


def result_of(*rows, outcomes=None, candidates=None, **fields):
    regions = regions_of(*rows, with_masks=fields.pop("with_masks", False))
    named = set(regions.phrase_ids.tolist())
    return DetectResult(
        regions=regions,
        outcomes=outcomes or tuple(FOUND if i in named else NONE for i in range(2)),
        candidates=None if candidates is None else regions_of(*candidates),
        **fields,
    )


def merge(*results, **options):
    names = options.pop("names", tuple("abc"[: len(results)]))
    return merge_results(results, merging=Merging(**options.pop("how", {})), names=names, **options)


class TestOutcomes:
    def test_a_phrase_that_one_found_is_found(self):
        merged = merge(result_of((CUP, 0.5, 0)), result_of())
        assert merged.outcomes == (FOUND, NONE)

    def test_a_phrase_that_nobody_can_look_for_is_cannot(self):
        blind = result_of(outcomes=(CANNOT, CANNOT))
        assert merge(blind, blind).outcomes == (CANNOT, CANNOT)

    def test_a_phrase_that_somebody_looked_for_in_vain_is_none(self):
        merged = merge(result_of(outcomes=(CANNOT, CANNOT)), result_of(outcomes=(NONE, CANNOT)))
        assert merged.outcomes == (NONE, CANNOT)

    def test_a_region_that_answers_no_phrase_is_kept(self):
        merged = merge(result_of((CUP, 0.5, -1)), result_of())
        assert merged.regions.phrase_ids.tolist() == [-1]
        assert merged.outcomes == (NONE, NONE)


class TestMethods:
    def test_duplicates_of_two_experts_leave_the_better(self):
        merged = merge(result_of((CUP, 0.5, 0)), result_of((CUP, 0.6, 0), (BESIDE, 0.4, 0)))
        assert merged.regions.ids == ("b/r0", "b/r1")
        assert merged.regions.sources == ("b", "b")

    def test_phrases_do_not_compete(self):
        merged = merge(result_of((CUP, 0.5, 0)), result_of((CUP, 0.6, 1)))
        assert merged.outcomes == (FOUND, FOUND)

    def test_a_part_within_its_whole_goes_with_containment_only(self):
        part = (2.0, 2.0, 6.0, 6.0)
        pair = result_of((CUP, 0.5, 0)), result_of((part, 0.4, 0))
        assert len(merge(*pair).regions) == 2
        assert merge(*pair, how={"method": "containment"}).regions.ids == ("a/r0",)

    def test_fusion_averages_and_halves_what_one_of_two_saw(self):
        near = (1.0, 0.0, 11.0, 10.0)
        merged = merge(
            result_of((CUP, 0.9, 0)),
            result_of((near, 0.3, 0), (BESIDE, 0.8, 0)),
            how={"method": "fuse"},
        )
        assert merged.regions.boxes.tolist() == [pytest.approx([0.25, 0, 10.25, 10]), [*BESIDE]]
        assert merged.regions.scores.tolist() == pytest.approx([0.6, 0.4])
        assert merged.regions.sources == ("a+b", "b")
        assert merged.regions.ids == ("a/r0", "b/r1")

    def test_who_cannot_look_has_no_vote_in_fusion(self):
        merged = merge(
            result_of((CUP, 0.9, 0)), result_of(outcomes=(CANNOT, NONE)), how={"method": "fuse"}
        )
        assert merged.regions.scores.tolist() == pytest.approx([0.9])

    def test_a_light_expert_counts_less(self):
        pair = result_of((CUP, 0.9, 0)), result_of((CUP, 0.6, 0))
        merged = merge(*pair, weights=(1.0, 2.0))
        assert merged.regions.ids == ("b/r0",)
        assert merged.regions.scores.tolist() == pytest.approx([0.6])

    @pytest.mark.parametrize("method", ["nms", "containment", "fuse"])
    def test_nothing_found_gives_nothing(self, method):
        merged = merge(result_of(), result_of(), how={"method": method})
        assert len(merged.regions) == 0
        assert merged.outcomes == (NONE, NONE)


def results_at(candidates, least):
    kept = [row for row in candidates if row[1] >= least[row[2]]]
    return result_of(*kept, candidates=candidates)


@st.composite
def scored(draw):
    rows = draw(
        st.lists(
            st.tuples(
                st.integers(0, 20), st.integers(0, 20), st.integers(1, 20), st.integers(0, 1)
            ),
            max_size=12,
        )
    )
    return [((x, y, x + 9.0, y + 9.0), score / 20, phrase) for x, y, score, phrase in rows]


class TestThresholds:
    @settings(max_examples=60, deadline=None)
    @given(scored(), scored(), st.sampled_from(["nms", "fuse"]), st.integers(0, 19))
    def test_the_candidates_at_thresholds_are_a_merge_at_them(self, one, two, method, twentieths):
        least, low = (twentieths / 20, 0.5), (0.0, 0.0)
        how = {"method": method}
        at_once = merge(results_at(one, least), results_at(two, least), how=how, thresholds=least)
        later = merge(results_at(one, low), results_at(two, low), how=how, thresholds=low).at(least)
        assert at_once.regions.ids == later.regions.ids
        assert at_once.regions.scores.tolist() == later.regions.scores.tolist()
        assert at_once.outcomes == later.outcomes

    def test_weighted_scores_meet_the_thresholds(self):
        pair = result_of((CUP, 0.9, 0)), result_of()
        merged = merge(*pair, weights=(1.0, 2.0), thresholds=(0.5, 0.5))
        assert merged.outcomes == (NONE, NONE)

    def test_without_thresholds_each_experts_own_decide(self):
        shy = result_of(candidates=[(CUP, 0.6, 0)])  # its own threshold is above
        bold = result_of((CUP, 0.3, 0), candidates=[(CUP, 0.3, 0)])
        merged = merge(shy, bold)
        assert merged.regions.ids == ("b/r0",)
        assert merged.candidates.scores.tolist() == pytest.approx([0.6])

    def test_an_expert_without_candidates_leaves_none(self):
        kept = result_of((CUP, 0.6, 0), candidates=[(CUP, 0.6, 0)])
        assert merge(kept, result_of((BESIDE, 0.5, 0))).candidates is None
        blind = result_of(outcomes=(CANNOT, CANNOT))
        assert len(merge(kept, blind).candidates) == 1


class TestWords:
    def test_notes_say_whose_they_are(self):
        merged = merge(result_of(note="dark"), result_of(note="far"), names=("owl", "dino"))
        assert merged.note == "owl: dark; dino: far"

    def test_masks_are_kept_where_all_give_them(self):
        one, two = (result_of((box, 0.5, 0), with_masks=True) for box in (CUP, BESIDE))
        assert len(merge(one, result_of()).regions.masks) == 1
        bare = merge(one, result_of((BESIDE, 0.4, 0)))
        assert bare.regions.masks is None
        assert bare.note == "no masks: not every expert gave them"
        assert "means of boxes" in merge(one, two, how={"method": "fuse"}).note

    def test_presences_steps_and_uncounted_phrases_are_kept(self):
        step = Step(name="ground", detail="looked")
        merged = merge(
            result_of(presence=(0.1, 0.9), steps=(step,), uncounted=(1,)),
            result_of(presence=(0.5, 0.2)),
        )
        assert merged.presence == (0.5, 0.9)
        assert merged.steps == (step,)
        assert merged.uncounted == (1,)


class TestBadInput:
    def test_no_results_are_refused(self):
        with pytest.raises(InputError, match="one result or more"):
            merge()

    def test_results_about_other_requests_are_refused(self):
        other = DetectResult(
            regions=Regions.empty(phrases=("cup", "plate"), image_size=(9, 9)),
            outcomes=(NONE, NONE),
        )
        with pytest.raises(ShapeError, match="about one request"):
            merge(result_of(), other)

    @pytest.mark.parametrize("weights", [(1.0, 0.0), (1.0, -1.0), (1.0, float("nan"))])
    def test_weights_that_weigh_nothing_are_refused(self, weights):
        with pytest.raises(InputError, match="weights above 0"):
            merge(result_of(), result_of(), weights=weights)

    def test_counts_that_differ_are_refused(self):
        with pytest.raises(ShapeError, match="2 results but 1 names"):
            merge(result_of(), result_of(), names=("a",))

    def test_one_name_for_two_is_refused(self):
        with pytest.raises(InputError, match="names that differ"):
            merge(result_of(), result_of(), names=("a", "a"))
