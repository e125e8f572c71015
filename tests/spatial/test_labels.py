"""Labels of a plan: in the middle where there is room, else beside the object, off the others."""

from __future__ import annotations

import numpy as np

from groundplane.spatial.labels import overlap, place_label


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
