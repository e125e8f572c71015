"""The contract that every encoder passes, as a pytest class to subclass.

    class TestMine(EncoderContract):
        @pytest.fixture
        def encoder(self):
            return groundplane.load("encoders", "mine")

`make_tower` gives a tower that needs no library, for tests of what uses towers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from jaxtyping import Float
from torch import Tensor, nn

from groundplane.core.feature_cache import shared_cache
from groundplane.core.features import Encoder, FeatureGrid
from groundplane.core.image import Image
from groundplane.core.towers.tower import Tower, TowerConfig, TowerOutput, TowerShape
from groundplane.testing.detectors import make_image, unlike_images

__all__ = ["EncoderContract", "make_tower"]

# Batches of other sizes may sum in another order: a share of the largest number.
_TOLERANCE = 1e-3
# Corners of cells, pixels of the picture: rounding of float64.
_PIXELS = 1e-6


class EncoderContract:
    """What an encoder must do; subclass it and override `encoder`."""

    @pytest.fixture
    def encoder(self) -> Encoder:
        """The encoder under test."""
        return pytest.fail("override the fixture 'encoder' and give your encoder there")

    @pytest.fixture
    def images(self) -> list[Image]:
        """At least three images of unlike size and content."""
        return unlike_images()

    def test_it_satisfies_the_protocol(self, encoder: Encoder) -> None:
        assert isinstance(encoder, Encoder), f"{encoder!r} has no encode"

    def test_no_images_give_an_empty_batch(self, encoder: Encoder, images: list[Image]) -> None:
        empty, whole = encoder.encode([]), _encode(encoder, images)
        expected = (0, *whole.tokens.shape[1:])
        got = tuple(empty.tokens.shape)
        assert got == expected, f"no images: expected tokens of shape {expected}, got {got}"
        assert empty.grid == whole.grid, f"no images: a grid of {empty.grid}, not {whole.grid}"

    def test_one_grid_a_picture_in_order(self, encoder: Encoder, images: list[Image]) -> None:
        there, back = _encode(encoder, images), _encode(encoder, images[::-1])
        _check_alike(there.tokens, back.tokens.flip(0), what="the other way round")
        sizes = [frame.image_size for frame in there.frames]
        expected = [image.size for image in images]
        assert sizes == expected, f"frames: expected pictures of {expected}, got {sizes}"

    def test_a_batch_gives_what_each_picture_gives(
        self, encoder: Encoder, images: list[Image]
    ) -> None:
        whole = _encode(encoder, images)
        for place, image in enumerate(images):
            alone = _encode(encoder, [image])
            _check_alike(whole.tokens[place], alone.tokens[0], what=f"image {place} alone")
            if whole.summary is not None and alone.summary is not None:
                _check_alike(whole.summary[place], alone.summary[0], what=f"image {place} alone")

    def test_the_same_picture_gives_the_same(self, encoder: Encoder, images: list[Image]) -> None:
        first, second = _encode(encoder, images), _encode(encoder, images)
        assert torch.equal(first.tokens, second.tokens), "the same pictures, but other features"

    def test_unlike_pictures_give_unlike_features(
        self, encoder: Encoder, images: list[Image]
    ) -> None:
        tokens = _encode(encoder, images).tokens
        assert not torch.equal(tokens[0], tokens[1]), "two pictures, but the same features"

    def test_features_are_finite(self, encoder: Encoder, images: list[Image]) -> None:
        _check_finite(_encode(encoder, images))

    def test_what_is_seen_once_is_not_seen_by_another_name(
        self, encoder: Encoder, images: list[Image]
    ) -> None:
        names = {_encode(encoder, [image]).encoder for image in images}
        assert len(names) == 1, f"encoder: expected one name for all pictures, got {names}"

    def test_images_are_left_unchanged(self, encoder: Encoder, images: list[Image]) -> None:
        before = [image.pixels.copy() for image in images]
        _encode(encoder, images)
        for image, pixels in zip(images, before, strict=True):
            assert np.array_equal(image.pixels, pixels), f"{image.source.name} was written to"

    def test_features_stay_on_one_device(self, encoder: Encoder, images: list[Image]) -> None:
        whole = _encode(encoder, images)
        devices = {whole.tokens.device, encoder.encode([]).tokens.device}
        if whole.summary is not None:
            devices.add(whole.summary.device)
        assert len(devices) == 1, f"features are spread over {devices}"

    def test_cells_tile_the_canvas(self, encoder: Encoder, images: list[Image]) -> None:
        _check_cells(_encode(encoder, images))

    @pytest.mark.parametrize("shape", [(1, 1), (2, 90), (90, 2), (3, 5)])
    def test_tiny_and_narrow_pictures_are_encoded(
        self, encoder: Encoder, shape: tuple[int, int]
    ) -> None:
        pixels = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
        found = _encode(encoder, [make_image(pixels)])
        _check_finite(found)
        _check_cells(found)

    @pytest.mark.parametrize("level", [0, 255])
    def test_a_picture_of_one_grey_is_encoded(self, encoder: Encoder, level: int) -> None:
        _check_finite(_encode(encoder, [make_image(np.full((40, 60, 3), level, dtype=np.uint8))]))

    def test_gradients_may_flow_through_what_is_done_with_features(
        self, encoder: Encoder, images: list[Image]
    ) -> None:
        tokens = _encode(encoder, images).tokens
        scale = torch.ones((), device=tokens.device, requires_grad=True)
        (slope,) = torch.autograd.grad((tokens.float() * scale).sum(), scale)
        assert bool(slope.isfinite()), f"expected a gradient, got {slope}"


def _encode(encoder: Encoder, images: Sequence[Image]) -> FeatureGrid:
    """Anew: what the shared cache holds would be compared with itself."""
    shared_cache().clear()
    grid = encoder.encode(images)
    assert isinstance(grid, FeatureGrid), f"expected a FeatureGrid, got {type(grid).__name__}"
    got = grid.tokens.shape[0]
    assert got == len(images), f"expected features of {len(images)} pictures, got {got}"
    return grid


def _check_alike(a: Tensor, b: Tensor, *, what: str) -> None:
    assert a.shape == b.shape, f"{what}: features of shape {tuple(b.shape)}, not {tuple(a.shape)}"
    most = float(a.float().abs().max())
    off = float((a.float() - b.float()).abs().max())
    assert off <= _TOLERANCE * max(most, 1e-6), f"{what}: features differ by {off} of {most}"


def _check_finite(grid: FeatureGrid) -> None:
    assert bool(grid.tokens.isfinite().all()), "tokens: NaN or infinity"
    assert grid.summary is None or bool(grid.summary.isfinite().all()), "summary: NaN or infinity"


def _check_cells(grid: FeatureGrid) -> None:
    """Neighbours share an edge, and the whole is what the frame shows, padding included."""
    rows, columns = grid.grid
    for place, frame in enumerate(grid.frames):
        boxes = grid.cell_boxes(place).reshape(rows, columns, 4)
        canvas = np.array([[0.0, 0.0, *map(float, frame.canvas)]])
        whole = frame.to_image(canvas)[0]
        scale = max(1.0, float(np.abs(whole).max()))
        seams = [boxes[:, 1:, 0] - boxes[:, :-1, 2], boxes[1:, :, 1] - boxes[:-1, :, 3]]
        gap = max((float(np.abs(seam).max()) for seam in seams if seam.size), default=0.0)
        assert gap <= _PIXELS * scale, f"image {place}: a gap of {gap} pixels between cells"
        hull = np.concatenate(
            [boxes.reshape(-1, 4)[:, :2].min(0), boxes.reshape(-1, 4)[:, 2:].max(0)]
        )
        off = float(np.abs(hull - whole).max())
        assert off <= _PIXELS * scale, f"image {place}: cells cover {hull}, the frame is {whole}"
        patch = (frame.canvas[0] / columns, frame.canvas[1] / rows)
        assert abs(patch[0] - grid.patch) <= 1e-6 * patch[0], (
            f"patch: cells are {patch[0]} by {patch[1]} pixels of the canvas, but {grid.patch} is "
            "stated"
        )
        x0, y0, x1, y1 = frame.visible
        assert x1 > x0, f"image {place}: nothing of it is seen"
        assert y1 > y0, f"image {place}: nothing of it is seen"


class _Patches(nn.Module):
    """A random projection of patches; the summary is the mean of the cells."""

    def __init__(self, project: nn.Conv2d, *, summary: bool = True) -> None:
        super().__init__()
        self.project = project
        self.summary = summary

    def lean(self) -> _Patches:
        return _Patches(self.project, summary=False)

    def forward(self, pixels: Float[Tensor, "b 3 s s"]) -> TowerOutput:
        tokens = self.project(pixels).flatten(2).transpose(1, 2)
        return TowerOutput(tokens, tokens.mean(dim=1) if self.summary else None)


def make_tower(
    name: str = "tiny",
    *,
    grid: tuple[int, int] = (4, 4),
    width: int = 16,
    size: int = 32,
    seed: int = 0,
) -> Tower:
    """A tower of random numbers for each patch, which needs no library.

    Args:
        name: For messages and reports.
        grid: Rows and columns of cells.
        width: Numbers a cell.
        size: Side of the input, pixels; a multiple of the rows and of the columns.
        seed: Of the weights.

    Examples:
        >>> tower = make_tower(grid=(2, 2), width=3)
        >>> tower(torch.zeros(5, 3, 32, 32)).tokens.shape
        torch.Size([5, 4, 3])
        >>> tower(torch.zeros(0, 3, 32, 32)).tokens.shape
        torch.Size([0, 4, 3])
    """
    rows, columns = grid
    patch = (size // rows, size // columns)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _Patches(nn.Conv2d(3, width, patch, stride=patch))
    config = TowerConfig(
        family=name,
        library="timm",
        architecture="none",
        size=size,
        mean=(0.5, 0.5, 0.5),
        std=(0.25, 0.25, 0.25),
    )
    shape = TowerShape(name=name, grid=grid, width=width)
    return Tower(network, config, shape=shape, patch=size // rows)
