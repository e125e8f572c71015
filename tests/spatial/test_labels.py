"""Labels of a plan: in the middle where there is room, else beside the object, off the others."""

from __future__ import annotations

import itertools
import logging

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from groundplane.spatial.labels import (
    drawable,
    overlap,
    place_label,
    place_tag,
    quiet_fonts,
    wrap_lines,
)


class TestLabels:
    size = np.array([40.0, 10.0])
    extent = np.array([400.0, 400.0])

    def place(self, frames, taken=()):
        return place_label(
            0, np.array(frames, dtype=float), self.size, taken=list(taken), extent=self.extent
        )

    def test_a_large_object_has_its_label_in_the_middle(self):
        assert self.place([[100, 100, 200, 200]]).tolist() == [150, 150]

    def test_a_small_object_is_not_hidden_by_its_label(self):
        frame = np.array([[200.0, 200.0, 206.0, 206.0]])
        middle = self.place(frame)
        label = np.array([[*(middle - self.size / 2), *(middle + self.size / 2)]])

        assert overlap(label, frame).sum() == 0

    def test_a_label_keeps_off_the_others_and_on_the_sheet(self):
        frames = [[0, 0, 60, 20]]
        taken = [(0.0, 0.0, 60.0, 20.0)]
        middle = self.place(frames, taken)
        label = np.array([[*(middle - self.size / 2), *(middle + self.size / 2)]])

        assert overlap(label, np.array(taken)).sum() == 0
        assert (label >= 0).all()

    def test_overlap_is_the_shared_area(self):
        boxes = np.array([[0.0, 0.0, 2.0, 2.0]])
        others = np.array([[1.0, 1.0, 5.0, 5.0], [2.0, 0.0, 3.0, 3.0]])

        assert overlap(boxes, others).tolist() == [[1.0, 0.0]]


class TestTags:
    size = np.array([40.0, 10.0])
    extent = np.array([400.0, 400.0])
    frame = np.array([100.0, 100.0, 200.0, 200.0])

    def place(self, frame, taken=()):
        return place_tag(frame, self.size, taken=list(taken), extent=self.extent).tolist()

    def test_a_tag_stands_above_the_upper_left_corner(self):
        assert self.place(self.frame) == [120, 205]

    def test_a_tag_gives_way_to_another(self):
        assert self.place(self.frame, [(100.0, 200.0, 140.0, 210.0)]) == [180, 205]

    def test_a_tag_stays_in_the_picture(self):
        assert self.place(np.array([-50.0, 300.0, 450.0, 500.0])) == [20, 395]


class TestLines:
    @given(st.text("ab c", max_size=80), st.integers(1, 12), st.integers(1, 4))
    def test_lines_fit_and_keep_the_text_in_order(self, text, room, most):
        lines = wrap_lines(text, room, measure=len, most=most)

        whole = "".join(text.split())
        kept = "".join(lines).replace(" ", "")
        assert len(lines) <= most
        # The dots of a room that has none for them stand over by themselves.
        assert all(len(line) <= max(room, len("a...")) for line in lines)
        assert kept == whole or (kept.endswith("...") and whole.startswith(kept[:-3]))

    @given(st.text("ab c", max_size=80), st.integers(4, 12))
    def test_a_text_with_enough_lines_is_not_cut_and_lines_are_full(self, text, room):
        lines = wrap_lines(text, room, measure=len, most=100)

        assert "".join(lines).replace(" ", "") == "".join(text.split())
        for line, after in itertools.pairwise(lines):
            assert len(f"{line} {after.split()[0]}") > room or len(line) == room


def test_characters_that_no_font_has_become_boxes_and_others_stay():
    assert drawable("sofa 2.60 m²") == "sofa 2.60 m²"
    assert drawable("a\U0010ffffb") == "a□b"


def test_drawing_leaves_the_log_of_fonts_as_it_was():
    log = logging.getLogger("matplotlib.font_manager")
    before = log.level

    with quiet_fonts():
        assert not log.isEnabledFor(logging.WARNING)

    assert log.level == before
