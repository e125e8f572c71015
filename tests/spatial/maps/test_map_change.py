"""A map with some of its objects, or moved as a whole."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from groundplane.core.errors import InputError
from groundplane.spatial.maps.map_change import take, transform
from groundplane.testing.scenes import SceneBuilder


def turn(degrees, shift=(0.0, 0.0, 0.0), *, scale=1.0, mirrored=False):
    angle = math.radians(degrees)
    cosine, sine, flip = math.cos(angle), math.sin(angle), -1.0 if mirrored else 1.0
    rows = [[cosine * flip, -sine, 0], [sine * flip, cosine, 0], [0, 0, 1]]
    matrix = torch.eye(4, dtype=torch.float64)
    matrix[:3, :3] = scale * torch.tensor(rows, dtype=torch.float64)
    matrix[:3, 3] = torch.tensor(shift, dtype=torch.float64)
    return matrix


def den():
    scene = SceneBuilder("den", floor=0.1, counts={"cup": 7})
    scene.add("tv", at=(1, 2, 3), size=(1, 0.2, 0.6), yaw=30, front=[1, 0, 0], regions=["r1"])
    scene.add("cup", at=(3, 1, 1), attributes={"colour": "red"}, first_seen=2.0, score=0.5)
    scene.add("cup", at=(2, 1, 1), score=0.25)
    return scene.room([(0, 0), (4, 0), (4, 3), (0, 3)], area=11).build()


class TestTake:
    def test_columns_follow_the_rows(self):
        made = take(den(), [2, 0])

        assert (made.ids, made.labels) == (("cup-2", "tv"), ("cup", "tv"))
        assert made.scores.tolist() == [0.25, 1.0]
        assert made.objects.centers[:, 0].tolist() == [2.0, 1.0]
        assert (made.provenance, made.counts) == ({"tv": ("r1",)}, {"cup": 1, "tv": 1})
        assert (made.floor, made.room_area, made.name) == (0.1, 11, "den")

    def test_noise_follows_too(self):
        assert take(den().with_noise(0.1), [1]).objects.covariance.shape == (1, 6, 6)

    def test_no_rows_give_an_empty_map(self):
        assert len(take(den(), [])) == 0


class TestTransform:
    @pytest.mark.parametrize(
        "wrong",
        [
            torch.zeros(4, 4),
            torch.diag(torch.tensor([2.0, 1, 1, 1])),
            torch.eye(4)[[2, 0, 1, 3]],
            torch.full((4, 4), math.nan),
            torch.diag(torch.tensor([1.0, 1, -1, 1])),
            torch.diag(torch.tensor([1.0, 1, 1, 2])),
        ],
    )
    def test_a_matrix_that_bends_or_tips_is_refused(self, wrong):
        with pytest.raises(InputError, match="turns about z"):
            transform(den(), wrong.double())

    def test_everything_moves_together_and_back(self):
        scene = den()
        matrix = turn(40, (1, 2, 3), scale=2.0)
        there = transform(scene, matrix)
        back = transform(there, torch.linalg.inv(matrix))

        assert there.room_area == pytest.approx(44)
        assert there.room.area == pytest.approx(48)
        assert there.floor == pytest.approx(3.2)
        assert torch.allclose(back.objects.corners(), scene.objects.corners())
        assert torch.allclose(back.fronts[0], scene.fronts[0])
        assert back.room.equals_exact(scene.room, 1e-9)

    def test_corners_go_where_points_go(self):
        scene = den()
        for matrix in (turn(70, (1, 0, 2), scale=0.5), turn(-20, (3, 1, 0), mirrored=True)):
            corners = scene.objects.corners().flatten(0, 1)
            moved = corners @ matrix[:3, :3].T + matrix[:3, 3]
            made = transform(scene, matrix).objects.corners().flatten(0, 1)
            # A mirrored box names its corners in another order.
            assert torch.allclose(
                torch.cdist(moved, made).min(dim=1).values, torch.tensor(0.0).double()
            )

    def test_a_mirrored_box_stays_right_handed(self):
        axes = transform(den(), turn(10, mirrored=True)).objects.axes

        assert torch.allclose(torch.linalg.det(axes), torch.ones(3, dtype=torch.float64))

    def test_the_camera_turns_along(self):
        scene = replace(den(), view=torch.tensor([0.0, 1, 0], dtype=torch.float64))

        assert transform(scene, turn(90)).view.tolist() == pytest.approx([-1, 0, 0])

    def test_noise_turns_with_the_box(self):
        scene = den().with_noise(0.1)
        noise = scene.objects.covariance.clone()
        noise[0, 0, 0] = 0.09
        scene = replace(scene, objects=replace(scene.objects, covariance=noise))
        turned = transform(scene, turn(90, scale=2.0)).objects.covariance[0]

        assert turned.diagonal().tolist() == pytest.approx([0.04, 0.36, 0.04, 0.04, 0.04, 0.04])

    def test_an_empty_map_moves(self):
        assert len(transform(SceneBuilder().build(), turn(30))) == 0
