"""Pictures as models take them."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PilImage

from groundplane.core.errors import InputError, ShapeError
from groundplane.core.pixels import PixelRule, prepare_pixels, resize_pixels

SIZES = [(64, 48), (48, 64), (97, 31), (1, 1), (1, 40), (300, 7), (33, 33)]


def noise(width, height, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def plainly(picture, rule):
    """The same by Pillow and numpy, one step after the other."""
    size = rule.content((picture.shape[1], picture.shape[0]))
    resample = getattr(PilImage.Resampling, rule.filter.upper())
    small = np.asarray(PilImage.fromarray(picture).resize(size, resample=resample), np.float64)
    return ((small / 255 - rule.mean) / rule.std).transpose(2, 0, 1)


@pytest.mark.parametrize("filter", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", SIZES)
def test_pixels_are_those_of_pillow_within_one_grey_level(size, filter):
    rule = PixelRule(size=24, longest=40, filter=filter)
    picture = noise(*size)
    values = prepare_pixels([picture], rule).values[0].double().numpy()
    level = 1 / (255 * np.array(rule.std))[:, None, None]
    assert (np.abs(values - plainly(picture, rule)) <= 1.0001 * level).all()


def test_a_batch_that_is_wrong_by_two_levels_would_be_noticed():
    rule = PixelRule(size=24)
    picture = noise(64, 48)
    other = np.where(picture < 250, picture + 4, picture).astype(np.uint8)
    values = prepare_pixels([other], rule).values[0].double().numpy()
    level = 1 / (255 * np.array(rule.std))[:, None, None]
    assert not (np.abs(values - plainly(picture, rule)) <= 1.0001 * level).all()


@given(
    width=st.integers(1, 3000),
    height=st.integers(1, 3000),
    shortest=st.integers(1, 900),
    longest=st.integers(1, 1400),
)
@settings(max_examples=300, deadline=None)
def test_sizes_are_those_of_transformers(width, height, shortest, longest):
    image_transforms = pytest.importorskip("transformers.image_transforms")
    theirs = image_transforms.get_size_with_aspect_ratio((height, width), shortest, longest)
    wanted = (max(1, theirs[1]), max(1, theirs[0]))
    got = PixelRule(size=shortest, longest=longest).content((width, height))
    if min(theirs) > 0:  # theirs may have a side of 0, which no picture has
        assert got == wanted
    assert min(got) >= 1


def test_boxes_come_back_to_the_picture():
    rule = PixelRule(fit="longest", size=100, square=True)
    batch = prepare_pixels([noise(50, 25)], rule)
    assert batch.values.shape == (1, 3, 100, 100)
    box = batch.frame_maps[0].boxes(np.array([[0.0, 0.0, 100.0, 50.0]]))
    assert box.tolist() == [[0.0, 0.0, 50.0, 25.0]]


def test_padding_is_zero_and_masked():
    batch = prepare_pixels([noise(20, 10), noise(10, 20)], PixelRule(size=10, longest=99))
    assert batch.values.shape == (2, 3, 20, 20)
    assert batch.mask[0].nonzero().amax(0).tolist() == [9, 19]
    assert batch.mask[1].nonzero().amax(0).tolist() == [19, 9]
    assert not batch.values.masked_select(~batch.mask[:, None]).any()


def test_a_batch_equals_its_pictures_alone():
    rule, pictures = PixelRule(size=32, multiple=16), [noise(64, 48, i) for i in range(3)]
    batch = prepare_pixels(pictures, rule)
    for i, picture in enumerate(pictures):
        assert torch.equal(batch.values[i], prepare_pixels([picture], rule).values[0])


def test_the_picture_is_not_changed_and_may_be_read_only():
    picture = noise(20, 10)
    picture.setflags(write=False)
    before = picture.copy()
    prepare_pixels([picture, picture[:, ::2]], PixelRule(size=10))
    assert np.array_equal(picture, before)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_rounded_once(dtype):
    rule, picture = PixelRule(size=16), noise(32, 24)
    half = prepare_pixels([picture], rule, dtype=dtype).values
    assert torch.equal(half, prepare_pixels([picture], rule).values.to(dtype))


def test_the_size_asked_for_is_the_picture_itself():
    picture = noise(20, 10)
    same = resize_pixels(picture, (20, 10))
    assert np.array_equal(same.permute(1, 2, 0).numpy(), picture)


def test_a_strip_that_would_grow_without_bound_is_refused():
    with pytest.raises(InputError, match="cut it into parts"):
        PixelRule(size=800).canvas((100_000, 1))
    assert PixelRule(size=800, longest=1333).canvas((100_000, 1)) == (1333, 1)


def test_no_picture_or_one_without_pixels_is_refused():
    with pytest.raises(ShapeError, match="at least one"):
        prepare_pixels([], PixelRule())
    with pytest.raises(ShapeError, match="each with pixels"):
        prepare_pixels([np.zeros((0, 5, 3), dtype=np.uint8)], PixelRule())


@pytest.mark.parametrize("wrong", [{"size": 0}, {"multiple": -1}, {"std": (1.0, 0.0, 1.0)}])
def test_a_rule_out_of_range_is_refused(wrong):
    with pytest.raises(InputError, match="pixel rule"):
        PixelRule(**wrong)


@pytest.mark.gpu
def test_a_card_gives_the_same_within_one_grey_level():
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    rule, picture = PixelRule(size=24), noise(64, 48)
    here = prepare_pixels([picture], rule).values
    there = prepare_pixels([picture], rule, device="cuda").values.cpu()
    assert (here - there).abs().max() <= 1.001 / (255 * min(rule.std))
