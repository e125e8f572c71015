"""Disagreement on one grid, in the pictures' own pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from plain_encoders import ColourEncoder, EdgeEncoder, PlainOptions, stripes
from torch import Tensor

from groundplane.core.disagreement import disagreement
from groundplane.core.disagreement_maps import disagreement_map
from groundplane.core.errors import InputError, ShapeError
from groundplane.core.features import FeatureGrid
from groundplane.core.frames import Frame
from groundplane.core.fusion.resampling import resample
from groundplane.testing.detectors import make_image


def _grid(
    grid: tuple[int, int],
    *frames: Frame,
    width: int = 5,
    seed: int = 0,
    tokens: Tensor | None = None,
) -> FeatureGrid:
    if tokens is None:
        shape = (len(frames), grid[0] * grid[1], width)
        tokens = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return FeatureGrid(tokens=tokens, grid=grid, patch=8.0, frames=frames, encoder=f"e{seed}")


_WHOLE = Frame.resized((40, 30), (32, 32))


def test_one_grid_is_compared_as_it_is() -> None:
    first, second = _grid((4, 4), _WHOLE, _WHOLE), _grid((4, 4), _WHOLE, _WHOLE, width=7, seed=1)
    found = disagreement_map(first, second)
    assert torch.equal(found.values, disagreement(first.tokens, second.tokens))
    assert (found.grid, found.encoders) == ((4, 4), ("e0", "e1"))


def test_another_grid_is_resampled_to_the_first() -> None:
    first, second = _grid((4, 4), _WHOLE), _grid((6, 6), _WHOLE, seed=1)
    found = disagreement_map(first, second)
    same = resample(second.tokens, (6, 6), (4, 4))
    assert torch.equal(found.values, disagreement(first.tokens, same))


def test_padding_takes_no_part() -> None:
    # 40 by 20 in a square of 40: the upper and the lower quarter are padding.
    frame = Frame.padded((40, 20)).then(Frame.resized((40, 40), (32, 32)))
    first, second = _grid((4, 4), frame, _WHOLE), _grid((4, 4), frame, _WHOLE, seed=1)
    found = disagreement_map(first, second)
    inner = slice(4, 12)
    assert bool(found.values[0, :4].isnan().all())
    assert bool(found.values[0, 12:].isnan().all())
    alone = disagreement(first.tokens[:1, inner], second.tokens[:1, inner])
    torch.testing.assert_close(found.values[:1, inner], alone)
    torch.testing.assert_close(found.values[1:], disagreement(first.tokens[1:], second.tokens[1:]))


def test_cells_lie_in_the_picture() -> None:
    frame = Frame.padded((40, 20)).then(Frame.resized((40, 40), (32, 32)))
    found = disagreement_map(_grid((4, 4), frame), _grid((4, 4), frame, seed=1))
    boxes = found.cell_boxes(0)
    assert boxes[5].tolist() == [10.0, 0.0, 20.0, 10.0]
    assert boxes.min() >= 0
    assert (boxes[:, 2:] <= (40, 20)).all()


def test_where_only_edges_differ_colours_and_edges_disagree() -> None:
    # The right half has the colours of the left one, but standing stripes. To colours all cells
    # with a stripe of each are alike; to edges there are two halves.
    halves = np.concatenate(
        [
            stripes(across=True, colours=((200, 30, 30), (250, 250, 250))),
            stripes(across=False, colours=((200, 30, 30), (250, 250, 250))),
        ],
        axis=1,
    )
    image = make_image(np.concatenate([halves, np.full_like(halves, 90)]))
    options = PlainOptions(cells=8)
    colours, edges = (kind(options).encode([image]) for kind in (ColourEncoder, EdgeEncoder))
    apart = disagreement_map(colours, edges).values[0].view(8, 8)
    # Not the row of cells that has the edge between stripes and grey.
    assert apart[:4].min() > 2 * apart[5:].max()
    assert float(disagreement_map(edges, edges).values.max()) < 1e-3


def test_no_pictures_give_no_rows() -> None:
    assert disagreement_map(_grid((4, 4)), _grid((6, 6), seed=1)).values.shape == (0, 16)


def test_unlike_parts_of_a_picture_are_refused_with_both() -> None:
    crop = Frame.cropped((40, 30), shortest=32, crop=32)
    with pytest.raises(InputError, match=r"unlike parts of picture 1.*5\.0, 0\.0, 35\.0, 30\.0"):
        disagreement_map(_grid((4, 4), _WHOLE, _WHOLE), _grid((4, 4), _WHOLE, crop, seed=1))


def test_views_of_unlike_size_that_show_the_same_are_taken() -> None:
    large = Frame.resized((40, 30), (518, 518))
    assert disagreement_map(_grid((4, 4), _WHOLE), _grid((4, 4), large)).values.shape == (1, 16)


def test_another_picture_is_refused() -> None:
    other = Frame.resized((41, 30), (32, 32))
    with pytest.raises(InputError, match=r"\(40, 30\) pixels to the first"):
        disagreement_map(_grid((4, 4), _WHOLE), _grid((4, 4), other))
    with pytest.raises(ShapeError, match="got 1 of the first encoder and 2"):
        disagreement_map(_grid((4, 4), _WHOLE), _grid((4, 4), _WHOLE, _WHOLE))
