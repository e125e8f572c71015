import numpy as np
import pytest
import torch

from groundplane.core.errors import InputError
from groundplane.core.feature_store import FeatureStore
from groundplane.core.features import Encoder, FeatureGrid, View
from groundplane.core.frames import Frame
from groundplane.core.stored_encoder import StoredEncoder
from groundplane.testing.detectors import make_image


class Fake:
    """Mean colours of cells; counts what it is asked to encode."""

    def __init__(self, key=("fake",), *, summary=True):
        self.key, self.summary, self.asked = key, summary, []

    def encode(self, images):
        self.asked.append(len(images))
        rows = [torch.from_numpy(image.pixels.mean((0, 1))).float() for image in images]
        means = torch.stack(rows) if rows else torch.zeros(0, 3)
        return FeatureGrid(
            tokens=means[:, None].repeat(1, 6, 1),
            grid=(2, 3),
            patch=14.5,
            frames=tuple(Frame.cropped(i.size, shortest=42, crop=42) for i in images),
            summary=means if self.summary else None,
            encoder="fake 猫",
        )


@pytest.fixture
def images():
    rng = np.random.default_rng(0)
    return [make_image(rng.integers(0, 256, size, np.uint8)) for size in [(9, 7, 3), (4, 30, 3)]]


@pytest.fixture
def store(tmp_path):
    return FeatureStore(tmp_path)


def assert_same(a, b):
    assert torch.equal(a.tokens, b.tokens)
    assert a.tokens.dtype == b.tokens.dtype
    assert (a.grid, a.patch, a.encoder) == (b.grid, b.patch, b.encoder)
    assert (a.summary is None) == (b.summary is None)
    if a.summary is not None:
        assert torch.equal(a.summary, b.summary)
    for mine, theirs in zip(a.frames, b.frames, strict=True):
        assert (mine.image_size, mine.canvas) == (theirs.image_size, theirs.canvas)
        assert np.array_equal(mine.to_canvas.matrix, theirs.to_canvas.matrix)


@pytest.mark.parametrize("summary", [True, False])
def test_what_is_read_is_what_was_encoded(store, images, summary):
    direct = Fake(summary=summary).encode(images)
    fake = Fake(summary=summary)
    encoder = StoredEncoder(fake, store)
    assert isinstance(encoder, Encoder)
    assert_same(encoder.encode(images), direct)
    store.flush()
    again = StoredEncoder(Fake(summary=summary), FeatureStore(store.folder))
    assert_same(again.encode(images), direct)
    assert again.encoder.asked == []
    assert np.array_equal(again.encode(images).cell_boxes(1), direct.cell_boxes(1))


def test_only_the_pictures_that_are_missing_are_encoded(store, images):
    fake = Fake()
    encoder = StoredEncoder(fake, store)
    encoder.encode(images[:1])
    assert_same(encoder.encode([*images, images[0]]), Fake().encode([*images, images[0]]))
    assert fake.asked == [1, 1]


def test_no_pictures_give_a_grid_without_rows(store):
    assert StoredEncoder(Fake(), store).encode([]).tokens.shape == (0, 6, 3)


def test_two_encoders_share_nothing(store, images):
    StoredEncoder(Fake(), store).encode(images)
    other = Fake(key=("other", View()))
    StoredEncoder(other, store).encode(images)
    assert other.asked == [2]


def test_a_key_may_be_given_and_must_be_there(store):
    class Bare:
        def encode(self, images):
            return Fake().encode(images)

    with pytest.raises(InputError, match="Bare has no key"):
        StoredEncoder(Bare(), store)
    assert StoredEncoder(Bare(), store, key=("bare", 1)).key == ("bare", 1)


def test_the_device_is_that_of_all_that_is_given(store, images):
    encoder = StoredEncoder(Fake(), store, device="meta")
    for _ in range(2):
        given = encoder.encode(images)
        assert (given.tokens.device.type, given.summary.device.type) == ("meta", "meta")


def test_one_picture_is_read_without_a_copy(store, images):
    encoder = StoredEncoder(Fake(), store)
    encoder.encode(images)
    store.flush()
    first, again = (encoder.encode(images[:1]).tokens for _ in range(2))
    assert first.data_ptr() == again.data_ptr()
