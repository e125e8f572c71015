"""Feature grids of several encoders fused: crops compared, tokens brought back to the picture."""

import numpy as np
import pytest
import torch
from fusing import QFORMER, features, operator, pair, tower

from groundplane.core.errors import InputError, ShapeError
from groundplane.core.features import FeatureGrid, View
from groundplane.core.frames import Frame
from groundplane.core.fusion.grids import fuse_grids
from groundplane.core.views import view_frame

SIZES = [(640, 480), (480, 640), (100, 100)]


def grids(frames=None, others=None, *, towers=None):
    """What two encoders gave of three pictures."""
    towers = towers or pair()
    first = frames or [Frame.cropped(size, shortest=56, crop=56) for size in SIZES]
    return [
        FeatureGrid(
            tokens=tokens,
            grid=shape.grid,
            patch=frames_[0].canvas[0] / shape.grid[1],
            frames=tuple(frames_),
        )
        for shape, tokens, frames_ in zip(
            towers, features(towers), [first, others or first], strict=True
        )
    ]


def test_it_is_the_operator_on_the_tokens():
    made, given = operator("interleaved"), grids()
    fused = fuse_grids(made, given)
    assert torch.equal(fused.fused.tokens, made([grid.tokens for grid in given]).tokens)
    assert fused.grid == (4, 4)
    assert fused.frames == given[0].frames


def test_tokens_lie_where_the_cells_of_the_first_encoder_do():
    given = grids()
    fused = fuse_grids(operator("interleaved"), given)
    for picture in range(3):
        expected = np.repeat(given[0].cell_boxes(picture), 2, axis=0)
        np.testing.assert_allclose(fused.cell_boxes(picture), expected, atol=1e-9)


def test_tokens_of_a_finer_tower_lie_on_the_first_grid():
    towers = [tower("clip"), tower("dinov3", side=7)]
    given = grids(towers=towers)
    fused = fuse_grids(operator("additive", towers), given)
    np.testing.assert_allclose(fused.cell_boxes(0), given[0].cell_boxes(0), atol=1e-9)


def test_queries_have_a_grid_of_their_own():
    fused = fuse_grids(operator("sva", grid=(2, 2)), grids())
    # 640 by 480: the middle square is cut out.
    expected = [[80, 0, 320, 240], [320, 0, 560, 240], [80, 240, 320, 480], [320, 240, 560, 480]]
    np.testing.assert_allclose(fused.cell_boxes(0), expected, atol=1e-9)


def test_tokens_of_a_qformer_lie_on_all_that_was_seen():
    fused = fuse_grids(operator("additive", projector=QFORMER), grids())
    np.testing.assert_allclose(fused.cell_boxes(1), [[0, 80, 480, 560]] * 6, atol=1e-9)


def test_one_crop_at_two_sizes_is_one_crop():
    others = [Frame.cropped(size, shortest=64, crop=64) for size in SIZES]
    fuse_grids(operator("interleaved"), grids(others=others))


@pytest.mark.parametrize(
    "other",
    [
        Frame.padded((640, 480)),
        Frame.resized((640, 480), (56, 56)),
        Frame.cropped((640, 480), shortest=64, crop=56),
    ],
)
def test_unequal_crops_are_refused_by_name_and_picture(other):
    first = Frame.cropped((640, 480), shortest=56, crop=56)
    given = grids([first] * 3, [first, other, first])
    with pytest.raises(
        InputError, match=r"'clip' and 'dinov2', picture 1: unequal crops: .* cells apart"
    ):
        fuse_grids(operator("interleaved"), given)


def test_another_picture_is_refused():
    others = [Frame.cropped(size, shortest=56, crop=56) for size in reversed(SIZES)]
    with pytest.raises(InputError, match="picture 0: expected the same picture"):
        fuse_grids(operator("interleaved"), grids(others=others))


def test_what_the_operator_was_not_made_for_is_refused():
    given = grids()
    with pytest.raises(ShapeError, match=r"2 towers \(clip, dinov2\), got 1"):
        fuse_grids(operator("interleaved"), given[:1])
    with pytest.raises(ShapeError, match="'clip': expected a grid of 5 by 5"):
        fuse_grids(operator("interleaved", pair(side=5)), given)
    with pytest.raises(ShapeError, match="'clip': expected features of shape"):
        fuse_grids(operator("interleaved", pair(width=8)), given)
    fewer = FeatureGrid(
        tokens=given[1].tokens[:2], grid=(4, 4), patch=14.0, frames=given[1].frames[:2]
    )
    with pytest.raises(ShapeError, match="as many pictures of 'dinov2' as of 'clip', 3, got 2"):
        fuse_grids(operator("interleaved"), [given[0], fewer])


def test_no_pictures_give_no_tokens():
    given = [
        FeatureGrid(tokens=grid.tokens[:0], grid=grid.grid, patch=14.0, frames=())
        for grid in grids()
    ]
    assert fuse_grids(operator("interleaved"), given).fused.tokens.shape == (0, 32, 24)


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("size", [(641, 480), (333, 1000), (17, 5), (4000, 3001)])
def test_one_view_at_two_sizes_of_input_is_one_crop(fit, size):
    clip, dino = (view_frame(View(fit=fit, size=side), size) for side in (336, 518))
    towers = [tower("clip", side=24, width=4), tower("dinov2", side=37, width=4)]
    made = operator("interleaved", towers)
    fused = fuse_grids(made, grids([clip] * 3, [dino] * 3, towers=towers))
    assert fused.fused.tokens.shape == (3, 1152, 24)
