"""Error bars in scene files."""

import json

import pytest
import torch

from groundplane.core.errors import InputError, SceneError
from groundplane.spatial.boxes import Boxes3D
from groundplane.spatial.map import CognitiveMap
from groundplane.spatial.scenes.noise import isotropic
from groundplane.testing.scenes import SceneBuilder

FULL = [[0.04 if i == j else 0.001 for j in range(6)] for i in range(6)]


def one(**details):
    return SceneBuilder().add("cup", at=(0, 0, 0), **details).build()


def reread(scene):
    return CognitiveMap.from_record(json.loads(scene.to_json()), source="again")


class TestReading:
    def test_one_number_is_for_centre_and_sides_alike(self):
        assert torch.equal(one(sigma=0.5).objects.covariance, isotropic(0.5, 1))

    def test_six_numbers_are_for_each(self):
        found = one(sigma=[0.1, 0.2, 0.3, 0.4, 0.5, 0.6]).objects.covariance

        assert found[0].diagonal().sqrt().tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])

    def test_a_covariance_is_taken_as_it_stands(self):
        assert one(covariance=FULL).objects.covariance[0].tolist() == FULL

    def test_what_states_none_is_exact_beside_what_does(self):
        two = SceneBuilder().add("cup", at=(0, 0, 0), sigma=0.1).add("bed", at=(2, 0, 0)).build()

        assert bool((two.objects.covariance[1] == 0).all())

    def test_a_file_without_any_has_no_covariance(self):
        assert one().objects.covariance is None

    @pytest.mark.parametrize(
        ("details", "message"),
        [
            ({"sigma": -0.1}, "at least 0"),
            ({"sigma": "much"}, "a number"),
            ({"sigma": [0.1, 0.2]}, "list of 6"),
            ({"sigma": [0.1, 0.1, 0.1, 0.1, 0.1, -0.1]}, "at least 0"),
            ({"sigma": float("nan")}, "finite"),
            ({"sigma": 0.1, "covariance": FULL}, "either 'sigma' or 'covariance'"),
            ({"covariance": [[1.0]]}, "list of 6"),
            ({"covariance": [[1.0] * 6, *FULL[1:]]}, "symmetric"),
            ({"covariance": [[-x for x in row] for row in FULL]}, "no negative variance"),
        ],
    )
    def test_what_is_no_error_bar_is_refused_with_its_place(self, details, message):
        with pytest.raises(SceneError, match=r"objects\[0\].*" + message):
            one(**details)


class TestWriting:
    @pytest.mark.parametrize(
        "details",
        [{"sigma": 0.5}, {"sigma": 0.1}, {"sigma": [0.1, 0, 0, 0.2, 0, 0]}, {"covariance": FULL}],
    )
    def test_a_round_trip_keeps_every_digit(self, details):
        scene = one(**details)

        assert torch.equal(reread(scene).objects.covariance, scene.objects.covariance)

    def test_noise_of_a_map_is_written(self):
        scene = one().with_noise(0.05).with_noise(0.02)

        assert torch.equal(reread(scene).objects.covariance, scene.objects.covariance)

    def test_the_short_form_is_used_where_it_says_all(self):
        assert json.loads(one(sigma=0.5).to_json())["objects"][0]["sigma"] == 0.5
        assert "covariance" in json.loads(one(covariance=FULL).to_json())["objects"][0]


class TestMaps:
    @staticmethod
    def with_covariance(covariance):
        scene = one()
        boxes = scene.objects
        return CognitiveMap(
            ids=scene.ids, labels=scene.labels, scores=scene.scores, attributes=scene.attributes,
            fronts=scene.fronts, first_seen=scene.first_seen,
            objects=Boxes3D(centers=boxes.centers, sizes=boxes.sizes, axes=boxes.axes,
                            covariance=covariance),
        )  # fmt: skip

    def test_a_covariance_must_be_finite(self):
        with pytest.raises(InputError, match="covariance must be finite"):
            self.with_covariance(torch.full((1, 6, 6), torch.nan, dtype=torch.float64))

    @pytest.mark.parametrize("entry", [(0, 1), (0, 0)])
    def test_a_covariance_must_be_one(self, entry):
        wrong = isotropic(0.1, 1)
        wrong[0][entry] = -1.0

        with pytest.raises(InputError, match="symmetric, without negative variances"):
            self.with_covariance(wrong)
