"""Features of boxes against torchvision's own operator."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.ops import roi_align as referee

from groundplane.core.errors import InputError
from groundplane.core.features import FeatureGrid
from groundplane.core.frames import Frame
from groundplane.grounding.roi_align import roi_align


def made(rows=4, columns=6, size=(120, 80)):
    tokens = torch.randn(1, rows * columns, 5, generator=torch.Generator().manual_seed(0))
    frame = Frame.resized(size, (columns * 10, rows * 10))
    return FeatureGrid(tokens=tokens, grid=(rows, columns), patch=10.0, frames=(frame,))


@settings(max_examples=60, deadline=None)
@given(
    box=st.tuples(*[st.floats(-30, 150, width=32)] * 2, *[st.floats(0.5, 90, width=32)] * 2),
    bins=st.integers(1, 7),
    samples=st.integers(1, 3),
)
def test_it_equals_torchvision(box, bins, samples):
    x, y, width, height = box
    boxes = torch.tensor([[x, y, x + width, y + height]])
    grid = made()
    plane = grid.tokens[0].view(4, 6, 5).permute(2, 0, 1)[None]
    expected = referee(
        plane, [boxes / 2], bins, spatial_scale=0.1, sampling_ratio=samples, aligned=True
    ).mean((2, 3))
    got = roi_align(grid, boxes, bins=bins, samples=samples)
    torch.testing.assert_close(got, expected, rtol=1e-3, atol=2e-3)


@pytest.mark.parametrize(
    ("boxes", "rest"),
    [
        (torch.full((1, 4), torch.nan), {}),
        (torch.ones(1, 4), {"picture": 1}),
        (torch.ones(1, 4), {"bins": 0}),
    ],
)
def test_bad_input_is_refused(boxes, rest):
    with pytest.raises(InputError):
        roi_align(made(), boxes, **rest)
