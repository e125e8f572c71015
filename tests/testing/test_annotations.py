"""Made-up records: the same for the same seed, and hostile in every way they promise."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from groundplane.core.errors import MediaError
from groundplane.core.exporting import Feature
from groundplane.testing.annotations import HOSTILE_NAMES, random_records, records_of_names
from groundplane.testing.exporters import expected_losses, record_differences


@pytest.mark.parametrize("seed", range(12))
def test_the_same_seed_gives_the_same_records(seed):
    first, second = random_records(seed), random_records(seed)
    assert first.classes == second.classes
    assert [record_differences(a, b) for a, b in zip(first, second, strict=True)] == [[]] * 6


def test_every_feature_occurs():
    records = [record for seed in range(2, 12) for record in random_records(seed, num=12)]
    lost = expected_losses(records, frozenset())
    whole = expected_losses(records, frozenset({Feature.MASKS}))
    assert set(lost) | set(whole) == {feature.value for feature in Feature}


def test_paths_are_in_order_and_each_once():
    for seed in range(5):
        paths = [record.path for record in random_records(seed, num=30)]
        assert paths == sorted(set(paths))
        assert len(paths) == 30


def test_names_are_plain_if_asked():
    records = random_records(5, num=40, hostile=False)
    assert not {record.path for record in records} & set(HOSTILE_NAMES)


def test_boxes_lie_in_the_picture_and_masks_have_its_size():
    for record in random_records(7, num=200):
        if record.size is not None and len(record.regions):
            boxes, limit = record.regions.boxes, np.array(record.size * 2)
            assert (boxes >= 0).all()
            assert (boxes <= limit).all()
            assert (boxes[:, :2] <= boxes[:, 2:]).all()
            sizes = {mask.size for mask in record.regions.masks or () if mask is not None}
            assert sizes <= {record.size[::-1]}


def test_arrays_cannot_be_written_to():
    record = next(record for record in random_records(2, num=20) if len(record.regions))
    with pytest.raises(ValueError, match="read-only"):
        record.regions.boxes[:] = 0


def test_pictures_have_the_size_of_their_records():
    for record in records_of_names(("a.jpg", "b.jpg")):
        picture = Image.open(io.BytesIO(records_of_names(()).read(record)))
        assert picture.size == record.size


def test_a_failed_picture_cannot_be_read():
    records = random_records(1, num=60)
    failed = next(record for record in records if record.size is None)
    with pytest.raises(MediaError):
        records.read(failed)
