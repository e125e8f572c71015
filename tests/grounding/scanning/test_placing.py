"""Numbers to pixels: against the frame's own arrays, and what is wrong with them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundplane.core.frames import Frame
from groundplane.core.image import FrameMap
from groundplane.core.locations import ProblemKind
from groundplane.grounding.dialects.grammar import Convention
from groundplane.grounding.scanning.placing import Placer

_SIZE = (640, 480)
_FRAMES = {
    "original": Frame.original(_SIZE),
    "resized": Frame.resized(_SIZE, (644, 476)),
    "padded": Frame.padded(_SIZE),
    "cropped": Frame.cropped(_SIZE, shortest=336, crop=336),
    "turned": Frame(
        image_size=_SIZE,
        canvas=(480, 640),
        to_canvas=FrameMap(matrix=np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])),
    ),
}
_SHARES = st.floats(0.01, 0.99, allow_subnormal=False)


@given(
    frame=st.sampled_from(sorted(_FRAMES)),
    divisor=st.sampled_from([None, 1.0, 100.0, 999.0, 1000.0]),
    order=st.sampled_from(["xyxy", "yxyx", "xywh", "cxcywh"]),
    shares=st.tuples(_SHARES, _SHARES, _SHARES, _SHARES),
)
@settings(max_examples=200, deadline=None)
def test_box_is_what_the_frame_makes_of_it(
    frame: str, divisor: float | None, order: str, shares: tuple[float, ...]
) -> None:
    made = _FRAMES[frame]
    x0, x1 = sorted(shares[:2])
    y0, y1 = sorted(shares[2:])
    if x1 - x0 < 0.01 or y1 - y0 < 0.01:
        return
    across, down = made.canvas if divisor is None else (divisor, divisor)
    corners = (x0 * across, y0 * down, x1 * across, y1 * down)
    a, b, c, d = corners
    said = {
        "xyxy": corners,
        "yxyx": (b, a, d, c),
        "xywh": (a, b, c - a, d - b),
        "cxcywh": ((a + c) / 2, (b + d) / 2, c - a, d - b),
    }[order]

    box, faults = Placer(Convention(order=order, divisor=divisor), made).box(said)  # type: ignore[arg-type]

    canvas = np.array([[x0, y0, x1, y1]]) * [*made.canvas, *made.canvas]
    expected = made.to_image(canvas)[0]
    if frame == "padded":
        expected = np.clip(expected, 0, [640, 480, 640, 480])
    if expected[1] >= expected[3]:
        assert box is None
        return
    assert not faults
    assert box is not None
    np.testing.assert_allclose(box, expected, atol=1e-6)


def test_middle_of_a_bin_is_cut_to_a_whole_pixel() -> None:
    convention = Convention(divisor=1000, bin_centre=True, truncate=True)

    box, _ = Placer(convention, Frame.original(_SIZE)).box((52, 332, 932, 774))

    assert box == tuple(
        math.trunc((value + 0.5) * side / 1000)
        for value, side in zip((52, 332, 932, 774), (640, 480, 640, 480), strict=True)
    )


@pytest.mark.parametrize(
    ("point", "kind"),
    [((-1, 5), ProblemKind.OUT_OF_IMAGE), ((5, 1001), ProblemKind.OUT_OF_IMAGE)],
)
def test_point_outside_is_dropped(point: tuple[float, float], kind: ProblemKind) -> None:
    placed, faults = Placer(Convention(divisor=1000), Frame.original(_SIZE)).point(point)

    assert placed is None
    assert kind in [fault for fault, _ in faults]


def test_point_of_a_dialect_with_y_first_is_turned() -> None:
    convention = Convention(divisor=1000, point_order="yx")

    assert Placer(convention, Frame.original(_SIZE)).point((500, 250))[0] == (160, 240)


def test_outline_beyond_the_range_is_kept_and_said() -> None:
    placer = Placer(Convention(divisor=1000), Frame.original(_SIZE))

    corners, faults = placer.polygon((0, 0, 2000, 0, 1000, 1000))

    assert corners == [(0, 0), (1280, 0), (640, 480)]
    assert [kind for kind, _ in faults] == [ProblemKind.OUT_OF_RANGE]


def test_box_cut_to_less_than_a_pixel_is_dropped() -> None:
    convention = Convention(divisor=1000, bin_centre=True, truncate=True)

    box, faults = Placer(convention, Frame.original((2, 2))).box((10, 10, 20, 20))

    assert box is None
    assert [kind for kind, _ in faults] == [ProblemKind.ZERO_AREA]
