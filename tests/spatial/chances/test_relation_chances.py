"""Probabilities of relations: closed forms against samples, complements, edge cases."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from groundplane.core.errors import InputError
from groundplane.spatial import relations
from groundplane.spatial.boxes import Boxes3D
from groundplane.spatial.chances.relation_chances import (
    CLOSED_FORMS,
    FIRST_ORDER,
    SAMPLED,
    SHRUNK,
    relation_probability,
    sampled_worlds,
)
from groundplane.spatial.relations.definitions import DEFINITIONS
from groundplane.spatial.scene import UnsupportedError

AHEAD = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)
DRAWN = 3000


def room(n=5, seed=0, *, sigma=0.2):
    """Things in a small room, each with an error of its own kind."""
    generator = torch.Generator().manual_seed(seed)
    axes, _ = torch.linalg.qr(torch.randn(n, 3, 3, generator=generator, dtype=torch.float64))
    spread = torch.rand(n, 6, 6, generator=generator, dtype=torch.float64) * sigma / 2
    return Boxes3D(
        centers=torch.rand(n, 3, generator=generator, dtype=torch.float64) * 2,
        sizes=torch.rand(n, 3, generator=generator, dtype=torch.float64) + 0.5,
        axes=axes * torch.linalg.det(axes)[:, None, None],
        covariance=spread @ spread.transpose(1, 2),
    )


def needs_of(name):
    view = AHEAD if name in relations.VIEWER_RELATIONS else None
    return {"view": view, "limit": 0.5 if name == "within" else None}


def chance(name, a, b, **options):
    return relation_probability(name, a, b, **needs_of(name), **options)


def apart(boxes):
    """Pairs of different things."""
    return ~torch.eye(len(boxes), dtype=torch.bool)


class TestSampledWorlds:
    def test_the_same_seed_gives_the_same_worlds(self):
        first, second = (list(sampled_worlds(room(), samples=3, seed=7)) for _ in range(2))

        for a, b in zip(first, second, strict=True):
            assert torch.equal(a.centers, b.centers)
            assert torch.equal(a.sizes, b.sizes)

    def test_worlds_do_not_depend_on_how_many_are_taken(self):
        few, many = (list(sampled_worlds(room(), samples=k)) for k in (2, 9))

        assert torch.equal(few[1].centers, many[1].centers)

    def test_another_seed_gives_other_worlds(self):
        (a,), (b,) = (list(sampled_worlds(room(), samples=1, seed=seed)) for seed in (0, 1))

        assert not torch.equal(a.centers, b.centers)

    def test_the_spread_is_that_of_the_covariance(self):
        boxes = room(1, 3, sigma=0.1)

        worlds = list(sampled_worlds(boxes, samples=DRAWN))

        drawn = torch.stack([torch.cat([w.centers[0], w.sizes[0]]) for w in worlds])
        scale = float(boxes.covariance.abs().max())
        assert torch.allclose(drawn.T.cov(), boxes.covariance[0], atol=0.12 * scale)

    def test_sides_stay_positive(self):
        thin = replace(room(), sizes=torch.full((5, 3), 0.01, dtype=torch.float64))

        assert all(bool((w.sizes > 0).all()) for w in sampled_worlds(thin, samples=20))

    def test_exact_boxes_stay_as_they_are(self):
        exact = replace(room(), covariance=None)

        assert all(torch.equal(w.centers, exact.centers) for w in sampled_worlds(exact, samples=2))

    def test_a_singular_covariance_is_sampled(self):
        flat = room(1)
        flat.covariance[:] = torch.diag(torch.tensor([0.04, 0, 0, 0, 0, 0], dtype=torch.float64))

        (world,) = sampled_worlds(flat, samples=1)

        assert float(world.centers[0, 0]) != float(flat.centers[0, 0])
        assert torch.equal(world.sizes, flat.sizes)

    def test_no_samples_are_refused(self):
        with pytest.raises(InputError, match="at least 1"):
            list(sampled_worlds(room(), samples=0))


class TestClosedForms:
    @pytest.mark.parametrize("name", [*CLOSED_FORMS, "taller", "shorter"])
    def test_they_agree_with_samples(self, name):
        boxes = room()
        view = needs_of(name)["view"]
        arguments = () if view is None else (view,)

        drawn = torch.stack(
            [
                getattr(relations, name)(w, w, *arguments)
                for w in sampled_worlds(boxes, samples=DRAWN)
            ]
        )

        # Four standard deviations of a share of 3,000; sides that would be negative are rare here.
        off = (chance(name, boxes, boxes) - drawn.double().mean(dim=0)).abs()[apart(boxes)]
        assert float(off.max()) < 4 * math.sqrt(0.25 / DRAWN)

    @pytest.mark.parametrize("name", ["touches", "near", "within", "far"])
    def test_gaps_agree_with_samples_where_the_noise_is_small(self, name):
        boxes = room(4, 5, sigma=0.02)
        boxes = replace(boxes, centers=boxes.centers * 4)
        limit = {"limit": 2.5} if name == "within" else {}
        holds = (
            (lambda w: relations.within(w, w, 2.5)) if name == "within"
            else (lambda w: getattr(relations, name)(w, w))
        )  # fmt: skip

        drawn = torch.stack([holds(w) for w in sampled_worlds(boxes, samples=500)]).double()

        found = relation_probability(name, boxes, boxes, **limit)
        assert float((found - drawn.mean(dim=0)).abs()[apart(boxes)].max()) < 0.1

    def test_what_rests_on_another_may_be_apart(self):
        box = Boxes3D(
            centers=torch.zeros(1, 3), sizes=torch.ones(1, 3), axes=torch.eye(3)[None],
            covariance=0.05**2 * torch.eye(6)[None],
        )  # fmt: skip
        on_it = replace(box, centers=torch.tensor([[0.0, 0, 1.0]]))

        # 2 cm are allowed, and the gap is off by 8 cm.
        assert float(chance("touches", on_it, box)) == pytest.approx(0.6, abs=0.02)


class TestAll:
    @pytest.mark.parametrize("name", [*CLOSED_FORMS, *SHRUNK, *FIRST_ORDER, *SAMPLED])
    def test_exact_boxes_give_certainty(self, name):
        exact = replace(room(), covariance=None)
        extra = [value for value in needs_of(name).values() if value is not None]

        found = chance(name, exact, exact)

        assert torch.equal(found.bool(), getattr(relations, name)(exact, exact, *extra))
        assert bool(((found == 0) | (found == 1)).all())

    @pytest.mark.parametrize(
        ("name", "inverse"),
        [("left_of", "right_of"), ("behind", "in_front_of"), ("taller", "shorter"),
         ("on", "supports"), ("bigger", "smaller")],
    )  # fmt: skip
    def test_inverse_relations_hold_of_each_other(self, name, inverse):
        boxes = room()

        assert torch.allclose(chance(name, boxes, boxes), chance(inverse, boxes, boxes).T)

    @given(st.integers(0, 500))
    @settings(max_examples=15, deadline=None)
    def test_sides_that_exclude_each_other_share_no_chance(self, seed):
        boxes = room(4, seed)

        total = chance("left_of", boxes, boxes) + chance("right_of", boxes, boxes)
        size = chance("taller", boxes, boxes) + chance("shorter", boxes, boxes)

        assert bool((total <= 1 + 1e-9).all())
        assert torch.allclose(size[apart(boxes)], torch.ones(12, dtype=torch.float64))

    def test_within_grows_with_the_limit_and_far_is_its_complement(self):
        boxes = room()
        limits = [relation_probability("within", boxes, boxes, limit=x) for x in (0.0, 0.5, 3.6)]

        assert bool((limits[0] <= limits[1]).all() & (limits[1] <= limits[2]).all())
        assert torch.allclose(chance("far", boxes, boxes), 1 - limits[2])

    @pytest.mark.parametrize("name", ["left_of", "near", "on"])
    def test_no_boxes_give_an_empty_table(self, name):
        none = room()[torch.zeros(0, dtype=torch.long)]

        assert chance(name, none, room()).shape == (0, 5)
        assert chance(name, room(), none).shape == (5, 0)

    def test_thresholds_are_those_given(self):
        boxes = room()
        strict = replace(relations.THRESHOLDS, side_offset=10.0)

        assert float(chance("left_of", boxes, boxes, thresholds=strict).max()) < 1e-6


def test_every_relation_of_two_things_without_a_front_has_a_probability():
    wanted = {
        name for name, found in DEFINITIONS.items() if found.arity == 2 and found.frame != "object"
    }

    assert {*CLOSED_FORMS, *SHRUNK, *FIRST_ORDER, *SAMPLED} == wanted


def test_things_that_are_alike_are_told_apart_less_surely():
    many = room(12, 2)
    alike = replace(
        many, sizes=torch.ones_like(many.sizes), axes=torch.eye(3).expand(12, 3, 3).double()
    )
    noise = torch.Generator().manual_seed(0)
    alike = replace(
        alike,
        sizes=alike.sizes + 0.05 * torch.randn(12, 3, generator=noise, dtype=torch.float64),
        covariance=(0.05**2 * torch.eye(6, dtype=torch.float64)).expand(12, 6, 6).clone(),
    )

    together = relation_probability("taller", alike, alike)
    one = torch.tensor([0])
    alone = torch.stack(
        [relation_probability("taller", alike[one], alike[one + j])[0, 0] for j in range(1, 12)]
    )

    # All are equally tall in truth: what is observed is noise.
    off = (together[apart(alike)] - 0.5).abs()
    assert float(off.max()) < 0.35
    assert float((alone - 0.5).abs().max()) > float((together[0, 1:] - 0.5).abs().max())
    assert torch.allclose(together + together.T, torch.ones(12, 12, dtype=torch.float64))


class TestBadInput:
    def test_an_unknown_relation_is_refused_with_those_known(self):
        with pytest.raises(InputError, match=r"expected one of left_of.*got 'beside'"):
            relation_probability("beside", room(), room())

    def test_a_side_needs_a_viewer(self):
        with pytest.raises(InputError, match="'left_of' needs view"):
            relation_probability("left_of", room(), room())

    def test_a_relation_of_the_world_takes_no_viewer(self):
        with pytest.raises(InputError, match="takes no view"):
            relation_probability("on", room(), room(), view=AHEAD)

    def test_within_needs_a_limit(self):
        with pytest.raises(InputError, match="needs limit"):
            relation_probability("within", room(), room())

    def test_a_view_straight_down_has_no_sides(self):
        with pytest.raises(InputError, match="horizontal part"):
            relation_probability(
                "left_of", room(), room(), view=torch.tensor([0.0, 0, -1], dtype=torch.float64)
            )

    def test_a_table_that_does_not_fit_is_refused(self):
        many = room()[torch.zeros(5000, dtype=torch.long)]

        with pytest.raises(UnsupportedError, match="5,000 by 5,000"):
            relation_probability("near", many, many)
