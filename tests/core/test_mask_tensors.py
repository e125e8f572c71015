"""Masks as tensors; the referee is the encoder for arrays, which pycocotools referees in turn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as referee
from torch.nn.functional import interpolate
from torch.utils._python_dispatch import TorchDispatchMode

from groundplane.core import mask_tensors
from groundplane.core.errors import InputError, ShapeError
from groundplane.core.mask_tensors import EncodedMasks, encode_batch, encode_logits
from groundplane.core.masks import RleMask, area, bounding_box, decode, encode

_stacks = st.tuples(st.integers(0, 4), st.integers(1, 24), st.integers(1, 24)).flatmap(
    lambda shape: hnp.arrays(bool, shape)
)


def check(found, masks):
    """Compare with one mask at a time; AssertionError where a byte or a number differs."""
    plain = [encode(mask) for mask in masks.numpy()]
    assert list(found.masks) == plain
    assert found.boxes.tolist() == [list(map(float, bounding_box(rle))) for rle in plain]
    assert found.areas.tolist() == [float(area(rle)) for rle in plain]


def blobs(num, size, *, seed=0):
    """Ellipses, as things are: a few long runs."""
    width, height = size
    draw = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    centers = draw.uniform(0, 1, (num, 2)) * (width, height)
    radii = draw.uniform(0.05, 0.4, (num, 2)) * (width, height)
    rows = [
        ((x - c[0]) / r[0]) ** 2 + ((y - c[1]) / r[1]) ** 2
        for c, r in zip(centers, radii, strict=True)
    ]
    return torch.from_numpy(np.stack(rows) < 1)


@given(_stacks)
def test_every_mask_has_the_bytes_of_the_plain_encoder(stack):
    masks = torch.from_numpy(stack)
    check(encode_batch(masks), masks)


@pytest.mark.parametrize("size", [(640, 480), (641, 479), (1, 5000), (5000, 1), (333, 1)])
def test_masks_of_things_at_the_size_of_photos(size):
    masks = blobs(5, size)
    found = encode_batch(masks)
    check(found, masks)
    plain = referee.encode(np.asfortranarray(masks.permute(1, 2, 0).numpy().astype(np.uint8)))
    assert [rle.counts for rle in found.masks] == [rle["counts"] for rle in plain]


def test_full_empty_and_striped_masks():
    masks = torch.zeros(4, 40, 60, dtype=torch.bool)
    masks[1] = True
    masks[2, ::2] = True
    masks[3, :, ::2] = True
    check(encode_batch(masks), masks)


def test_views_and_transposed_masks_are_read_as_they_look():
    masks = blobs(6, (50, 30)).transpose(1, 2)[::2]
    check(encode_batch(masks), masks.contiguous())


def test_masks_without_a_pixel():
    assert (
        encode_batch(torch.zeros(2, 0, 4, dtype=torch.bool)).masks
        == (RleMask(size=(0, 4), counts=b"0"),) * 2
    )


def test_the_check_itself_sees_a_wrong_mask():
    masks = blobs(2, (20, 20))
    with pytest.raises(AssertionError):
        check(encode_batch(masks.flip(0)), masks)


class Transfers(TorchDispatchMode):
    """Counts what makes a device wait for the host."""

    seen = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.seen += func.__name__.startswith(("nonzero", "_local_scalar_dense", "item"))
        return func(*args, **(kwargs or {}))


def test_the_number_of_waits_does_not_grow_with_the_masks():
    waits = []
    for num in (1, 12):
        with Transfers() as mode:
            encode_batch(blobs(num, (64, 64)))
        waits.append(mode.seen)
    assert waits[0] == waits[1] <= 3


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    "masks", [torch.zeros(2, 2, dtype=torch.bool), torch.zeros(1, 2, 2), torch.zeros(2)]
)
def test_what_is_no_stack_of_masks_is_refused(masks):
    with pytest.raises(ShapeError, match="boolean tensor"):
        encode_batch(masks)


def test_a_mask_that_is_too_large_is_refused_before_it_is_read():
    huge = torch.zeros(1, 1, 1, dtype=torch.bool).expand(1, 2**15, 2**14)
    with pytest.raises(ShapeError, match="at most"):
        encode_batch(huge)


# Logits --------------------------------------------------------------------------------------


def plainly(logits, size, threshold):
    width, height = size
    return interpolate(logits[None], (height, width), mode="bilinear")[0] > threshold


@settings(max_examples=30)
@given(
    hnp.arrays(np.float32, (3, 7, 9), elements=st.floats(-8, 8, width=32)),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.floats(-2, 2, width=32),
)
def test_enlarged_logits_give_the_masks_of_one_whole_enlargement(logits, size, threshold):
    low = torch.from_numpy(logits)
    found = encode_logits(low, size, threshold=threshold, chunk_bytes=1)
    check(found, plainly(low, size, threshold))


def test_chunks_change_nothing_and_bound_what_is_enlarged_at_once():
    low = torch.randn(7, 16, 16, generator=torch.Generator().manual_seed(0))
    at_once = []

    def enlarge(part, size):
        at_once.append(len(part))
        return interpolate(part[None], size[::-1], mode="bilinear")[0]

    whole = encode_logits(low, (30, 20))
    parts = encode_logits(low, (30, 20), enlarge=enlarge, chunk_bytes=3 * 4 * 30 * 20)
    assert at_once == [3, 3, 1]
    assert parts.masks == whole.masks
    assert torch.equal(parts.boxes, whole.boxes)


def test_logits_of_the_images_own_size_are_only_compared():
    low = torch.tensor([[[1.0, -1.0], [0.0, 2.0]]])
    mask = decode(encode_logits(low, (2, 2)).masks[0])
    assert mask.tolist() == [[True, False], [False, True]]


def test_no_logits_give_no_masks():
    found = encode_logits(torch.zeros(0, 4, 4), (640, 480))
    assert found.masks == ()
    assert found.boxes.shape == (0, 4)


def test_logits_that_are_no_number_are_outside_of_the_mask():
    low = torch.full((1, 4, 4), float("nan"))
    assert encode_logits(low, (8, 8)).areas.tolist() == [0.0]


def test_half_precision_is_widened():
    low = torch.randn(2, 8, 8, generator=torch.Generator().manual_seed(1)).bfloat16()
    assert encode_logits(low, (20, 20)).masks == encode_logits(low.float(), (20, 20)).masks


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (-1, 5)])
def test_an_image_without_a_pixel_is_refused(size):
    with pytest.raises(InputError, match="pixels to fill"):
        encode_logits(torch.zeros(1, 2, 2), size)


@pytest.mark.parametrize("room", [0, -5])
def test_no_memory_at_all_is_refused(room):
    with pytest.raises(InputError, match="chunk_bytes"):
        encode_logits(torch.zeros(1, 2, 2), (4, 4), chunk_bytes=room)


def test_an_image_that_is_too_large_is_refused_before_it_is_filled():
    with pytest.raises(ShapeError, match="at most"):
        encode_logits(torch.zeros(1, 2, 2), (2**15, 2**14))


@pytest.mark.usefixtures("unchecked")
def test_columns_of_another_length_are_refused():
    with pytest.raises(ShapeError, match="1 masks but boxes"):
        EncodedMasks(
            masks=(RleMask(size=(1, 1), counts=b"1"),),
            boxes=torch.zeros(2, 4),
            areas=torch.zeros(1),
        )


def test_flags_are_found_eight_at_a_time_as_one_at_a_time():
    flags = torch.rand(5003, generator=torch.Generator().manual_seed(0)) < 0.01
    assert torch.equal(mask_tensors._nonzero(flags), torch.nonzero(flags).flatten())
