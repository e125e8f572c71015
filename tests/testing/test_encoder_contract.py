"""The contract of encoders sees what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from groundplane.core.features import FeatureGrid, View
from groundplane.core.frames import Frame
from groundplane.core.image import Image
from groundplane.core.towers.encoding import TowerEncoder
from groundplane.testing.detectors import make_image
from groundplane.testing.encoders import EncoderContract, make_tower


class TestTowers(EncoderContract):
    @pytest.fixture
    def encoder(self) -> Any:
        return TowerEncoder(make_tower(), View(size=32), key=("tiny",), batch=2)


class TestTowersOfAnotherSize(EncoderContract):
    @pytest.fixture
    def encoder(self) -> Any:
        return TowerEncoder(make_tower(seed=1), View(size=32, fit="pad"), key=("other",))


class Wrong:
    """An encoder whose answer is changed."""

    def __init__(self, change: Callable[[FeatureGrid, Sequence[Image]], FeatureGrid]) -> None:
        self.inner = TowerEncoder(make_tower(), View(size=32), key=("tiny",))
        self.change = change

    def encode(self, images: Sequence[Image]) -> FeatureGrid:
        return self.change(self.inner.encode(images), images)


def images() -> list[Image]:
    rng = np.random.default_rng(0)
    sizes = ((48, 80), (120, 90), (33, 200))
    return [make_image(rng.integers(0, 256, (*s, 3), dtype=np.uint8)) for s in sizes]


def fails(name: str, change: Callable[[FeatureGrid, Sequence[Image]], FeatureGrid]) -> bool:
    test = getattr(EncoderContract(), name)
    test(TowerEncoder(make_tower(), View(size=32), key=("tiny",)), images())  # it can pass
    try:
        test(Wrong(change), images())
    except AssertionError:
        return True
    return False


def with_tokens(grid: FeatureGrid, tokens: torch.Tensor) -> FeatureGrid:
    return replace(grid, tokens=tokens)


def by_batch(grid: FeatureGrid, _: Sequence[Image]) -> FeatureGrid:
    return with_tokens(grid, grid.tokens - grid.tokens.mean(0, keepdim=True))


def sorted_by_mean(grid: FeatureGrid, _: Sequence[Image]) -> FeatureGrid:
    return with_tokens(grid, grid.tokens[grid.tokens.mean((1, 2)).argsort()])


def constant(grid: FeatureGrid, _: Sequence[Image]) -> FeatureGrid:
    return with_tokens(grid, torch.ones_like(grid.tokens))


def with_nan(grid: FeatureGrid, _: Sequence[Image]) -> FeatureGrid:
    return with_tokens(grid, torch.where(grid.tokens > 0, torch.nan, grid.tokens))


def random(grid: FeatureGrid, _: Sequence[Image]) -> FeatureGrid:
    return with_tokens(grid, torch.randn_like(grid.tokens))


def of_inference_mode(grid: FeatureGrid, _: Sequence[Image]) -> FeatureGrid:
    with torch.inference_mode():
        return with_tokens(grid, grid.tokens.clone())


def wrong_patch(grid: FeatureGrid, _: Sequence[Image]) -> FeatureGrid:
    return replace(grid, patch=grid.patch * 2)


def frames_of_the_first(grid: FeatureGrid, _: Sequence[Image]) -> FeatureGrid:
    return replace(grid, frames=grid.frames[:1] * len(grid.frames))


def canvas_of_another_size(grid: FeatureGrid, _: Sequence[Image]) -> FeatureGrid:
    frames = tuple(
        Frame(image_size=f.image_size, canvas=(64, 32), to_canvas=f.to_canvas) for f in grid.frames
    )
    return replace(grid, frames=frames)


def written(grid: FeatureGrid, seen: Sequence[Image]) -> FeatureGrid:
    for image in seen:
        image.pixels[:] = 255 - image.pixels
    return grid


def named_by_picture(grid: FeatureGrid, seen: Sequence[Image]) -> FeatureGrid:
    return replace(grid, encoder=seen[0].source.content_hash if seen else "")


def one_too_few(grid: FeatureGrid, _: Sequence[Image]) -> FeatureGrid:
    return replace(grid, tokens=grid.tokens[1:], frames=grid.frames[1:], summary=None)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("test_a_batch_gives_what_each_picture_gives", by_batch),
        ("test_one_grid_a_picture_in_order", sorted_by_mean),
        ("test_one_grid_a_picture_in_order", frames_of_the_first),
        ("test_one_grid_a_picture_in_order", one_too_few),
        ("test_unlike_pictures_give_unlike_features", constant),
        ("test_features_are_finite", with_nan),
        ("test_the_same_picture_gives_the_same", random),
        ("test_cells_tile_the_canvas", wrong_patch),
        ("test_cells_tile_the_canvas", canvas_of_another_size),
        ("test_images_are_left_unchanged", written),
        ("test_what_is_seen_once_is_not_seen_by_another_name", named_by_picture),
    ],
)
def test_a_wrong_encoder_is_seen(
    name: str, change: Callable[[FeatureGrid, Sequence[Image]], FeatureGrid]
) -> None:
    assert fails(name, change)


def test_features_of_the_inference_mode_are_seen() -> None:
    contract = EncoderContract()
    with pytest.raises((RuntimeError, AssertionError)):
        contract.test_gradients_may_flow_through_what_is_done_with_features(
            Wrong(of_inference_mode), images()
        )
