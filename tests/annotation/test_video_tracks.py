"""Videos from the file to the tracks in an export, ended in the middle or not."""

import cv2
import numpy as np
import pytest
import torch
from clips import write_clip
from exported import exported

from groundplane.annotating import annotate
from groundplane.core.detection import DetectResult, Outcome
from groundplane.core.regions import Regions


class BlueThings:
    """Finds what is blue; the larger it is the surer."""

    vocabulary = None

    def detect(self, requests):
        """Answer each request, in order."""
        return [self.answer(request) for request in requests]

    def answer(self, request):
        """The connected areas of a strong blue."""
        red, _, blue = np.moveaxis(request.image.pixels.astype(int), 2, 0)
        strong = ((blue > 120) & (blue > red + 80)).astype(np.uint8)
        _, _, stats, _ = cv2.connectedComponentsWithStats(strong)
        large = [row for row in stats[1:].tolist() if row[4] >= 100]
        boxes = [(x, y, x + wide, y + high) for x, y, wide, high, _ in large]
        return DetectResult(
            regions=Regions(
                ids=tuple(f"r{i}" for i in range(len(boxes))),
                boxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
                scores=torch.tensor([min(row[4] / 1000, 1.0) for row in large]),
                phrases=request.phrases,
                phrase_ids=torch.zeros(len(boxes), dtype=torch.int64),
                image_size=request.image.size,
            ),
            outcomes=(Outcome.FOUND if boxes else Outcome.NONE,) * len(request.phrases),
        )


def job(video, out, **details):
    details = {"frame_step": 1, "batch": 4} | details
    return annotate(
        video, "blue cup", detector=BlueThings(), out=out, tracks=True, device="cpu", workers=1,
        **details,
    )  # fmt: skip


def finished(video, out, **details):
    with job(video, out, **details) as begun:
        begun.finish()
    return begun.run


@pytest.fixture
def squares(tmp_path):
    """A video of two blue squares that pass each other, one above the other."""
    pictures = []
    for index in range(24):
        pixels = np.full((96, 160, 3), 200, np.uint8)
        for top, left in ((10, 4 + 5 * index), (50, 124 - 5 * index)):
            pixels[top : top + 30, left : left + 30] = (10, 10, 220)
        pictures.append(pixels)
    return write_clip(tmp_path / "squares.mkv", pictures)


def test_things_that_pass_each_other_keep_their_tracks(squares, tmp_path):
    run = finished(squares, tmp_path / "run")
    records = list(run.records())

    assert [record.frame.index for record in records] == list(range(24))
    for record in records:
        tops = [box[1] < 40 for box in record.regions.boxes.tolist()]
        tracks = record.regions.track_ids.tolist()
        assert sorted(zip(tops, tracks, strict=True)) == [(False, 1), (True, 0)]


@pytest.mark.parametrize("taken", [1, 13])
def test_job_that_ends_at_any_frame_and_goes_on_gives_the_same_export(squares, tmp_path, taken):
    whole = exported(finished(squares, tmp_path / "whole"))
    with job(squares, tmp_path / "run") as begun:
        for _, _ in zip(range(taken), begun, strict=False):
            pass
    assert exported(finished(squares, tmp_path / "run", batch=7)) == whole


def test_cup_of_a_real_video_is_one_thing(data_dir, tmp_path):
    run = finished(data_dir / "video" / "04_coffee.mp4", tmp_path / "run", frame_step=12)
    records = list(run.records())

    assert len(records) == 24
    assert [record.frame.index for record in records] == list(range(0, 287, 12))
    cups = []
    for record in records:
        # The cup is the blue thing of a cup's size; reflections of it are small.
        boxes = record.regions.boxes
        sizes = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
        cups.append(int(record.regions.track_ids[sizes.argmax()]) if len(sizes) else None)
    assert len(set(cups)) == 1
    assert cups[0] >= 0
