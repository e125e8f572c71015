"""Every expert on a CUDA device: the same results as on the CPU, and tensors that stay there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from groundplane.core.detection import DetectRequest
from groundplane.core.feature_cache import shared_cache
from groundplane.core.mask_tensors import encode_batch
from groundplane.core.masks import encode
from groundplane.core.segmentation import SegmentRequest
from groundplane.grounding.deformable import deformable_attention
from groundplane.grounding.merging import suppress
from groundplane.plugins.grounding_dino import (
    GroundingDinoDetector,
    GroundingDinoOptions,
    MMGroundingDinoDetector,
)
from groundplane.plugins.owlv2 import Owlv2Detector, Owlv2Options
from groundplane.plugins.sam import SamOptions, SamSegmenter
from groundplane.plugins.sam2 import Sam2Options, Sam2Segmenter
from groundplane.plugins.sam3 import Sam3Detector, Sam3DetectorOptions
from groundplane.testing.checkpoints import save_grounding_dino
from groundplane.testing.checkpoints_owlv2 import save_owlv2
from groundplane.testing.checkpoints_sam import save_sam, save_sam2, save_sam3
from groundplane.testing.detectors import make_image

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

_PHRASES = ("red dog", "cup", "small wooden table")
# float32 on both sides; what is left is the order of sums.
_CLOSE = 1e-3
_Made = tuple[Callable[..., Any], Callable[[Path], Any]]


def _mm(folder: Path) -> Path:
    return save_grounding_dino(folder, variant="mm-grounding-dino")


_DETECTORS: dict[str, _Made] = {
    "grounding-dino": (
        lambda folder, **on: GroundingDinoDetector(
            GroundingDinoOptions(weights=str(folder), floor=0.0, threshold=0.0), **on
        ),
        save_grounding_dino,
    ),
    "mm-grounding-dino": (
        lambda folder, **on: MMGroundingDinoDetector(
            GroundingDinoOptions(weights=str(folder), floor=0.0, threshold=0.0), **on
        ),
        _mm,
    ),
    "owlv2": (
        lambda folder, **on: Owlv2Detector(
            Owlv2Options(weights=str(folder), floor=0.0, threshold=0.0), **on
        ),
        save_owlv2,
    ),
    "sam3": (
        lambda folder, **on: Sam3Detector(
            Sam3DetectorOptions(weights=str(folder), floor=0.0, threshold=0.0), **on
        ),
        save_sam3,
    ),
}
_SEGMENTERS: dict[str, _Made] = {
    "sam": (lambda folder, **on: SamSegmenter(SamOptions(weights=str(folder)), **on), save_sam),
    "sam2": (lambda folder, **on: Sam2Segmenter(Sam2Options(weights=str(folder)), **on), save_sam2),
}


@pytest.fixture(autouse=True)
def exact():
    """Products in full float32, and nothing of one device handed to the other."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    shared_cache().clear()
    yield
    torch.set_float32_matmul_precision(before[0])
    torch.backends.cudnn.allow_tf32 = before[1]


# Height and width that the tiny networks see: a card resizes pictures within a grey level of the
# host, and random weights make much of that.
_OWN_SIZE = {
    "grounding-dino": (72, 96),
    "mm-grounding-dino": (72, 96),
    "owlv2": (64, 64),
    "sam3": (56, 56),
    "sam": (64, 64),
    "sam2": (64, 64),
}


def _pictures(*sizes: tuple[int, int]):
    random = np.random.default_rng(0)
    sizes = sizes or ((48, 64), (80, 48), (64, 64))
    return [make_image(random.integers(0, 256, (*size, 3), dtype=np.uint8)) for size in sizes]


@pytest.mark.parametrize("name", sorted(_DETECTORS))
def test_a_detector_gives_the_same_on_a_card(name, tmp_path):
    make, save = _DETECTORS[name]
    folder = save(tmp_path / name)
    images = _pictures(_OWN_SIZE[name], _OWN_SIZE[name])
    requests = [DetectRequest(image=image, phrases=_PHRASES) for image in images]
    here = make(folder, device="cpu").detect(requests)
    there = make(folder, device="cuda", dtype=torch.float32).detect(requests)
    for request, a, b in zip(requests, here, there, strict=True):
        assert b.regions.boxes.is_cuda
        assert a.outcomes == b.outcomes
        scores = (a.regions.scores, b.regions.scores.cpu())
        assert len(scores[0]) == len(scores[1]) > 0
        order = [torch.argsort(s, descending=True, stable=True) for s in scores]
        assert torch.allclose(scores[0][order[0]], scores[1][order[1]], atol=_CLOSE)
        first = a.regions.boxes[order[0][:5]]
        near = torch.cdist(first, b.regions.boxes.cpu().float()).min(dim=1).values
        assert float(near.max()) < 1e-2 * max(request.image.size)


@pytest.mark.parametrize("name", sorted(_DETECTORS))
def test_a_detector_runs_in_its_own_number_type_on_a_card(name, tmp_path):
    make, save = _DETECTORS[name]
    detector = make(save(tmp_path / name), device="cuda")
    requests = [DetectRequest(image=image, phrases=_PHRASES) for image in _pictures()]
    for result in detector.detect(requests):
        assert bool(result.regions.scores.isfinite().all())
        assert bool(result.regions.boxes.isfinite().all())


@pytest.mark.parametrize("name", sorted(_SEGMENTERS))
def test_a_segmenter_gives_the_same_on_a_card(name, tmp_path):
    make, save = _SEGMENTERS[name]
    folder = save(tmp_path / name)
    boxes = torch.tensor([[5.0, 5.0, 40.0, 40.0], [10.0, 2.0, 30.0, 44.0]])
    images = _pictures(_OWN_SIZE[name], _OWN_SIZE[name])
    requests = [SegmentRequest(image=image, boxes=boxes) for image in images]
    here = make(folder, device="cpu").segment(requests)
    there = make(folder, device="cuda", dtype=torch.float32).segment(requests)
    for a, b in zip(here, there, strict=True):
        assert torch.allclose(a.scores, b.scores.cpu().float(), atol=_CLOSE)
        assert a.masks is not None
        assert b.masks is not None
        assert [mask.size for mask in a.masks] == [mask.size for mask in b.masks]


def test_masks_are_encoded_on_the_card():
    masks = torch.rand(5, 70, 90, generator=torch.Generator().manual_seed(0)) > 0.5
    found = encode_batch(masks.cuda())
    assert tuple(found.masks) == tuple(encode(mask.numpy()) for mask in masks)


def test_boxes_are_suppressed_alike_on_the_card():
    generator = torch.Generator().manual_seed(0)
    corner = torch.rand(500, 2, generator=generator) * 300
    boxes = torch.cat([corner, corner + 5 + 60 * torch.rand(500, 2, generator=generator)], dim=1)
    scores = torch.rand(500, generator=generator)
    groups = torch.randint(0, 3, (500,), generator=generator)
    here = suppress(boxes, scores, groups=groups, iou=0.5)
    there = suppress(boxes.cuda(), scores.cuda(), groups=groups.cuda(), iou=0.5)
    assert there.is_cuda
    assert there.cpu().tolist() == here.tolist()


@pytest.mark.parametrize("number", [torch.float32, torch.bfloat16])
def test_deformable_attention_gives_the_same_on_a_card(number):
    torch.manual_seed(0)
    shapes = [(20, 30), (10, 15), (5, 8)]
    value = torch.randn(2, sum(y * x for y, x in shapes), 8, 32)
    places = torch.rand(2, 333, 8, 3, 4, 2) * 1.6 - 0.3
    weights = torch.rand(2, 333, 8, 3, 4).softmax(-1)
    here = deformable_attention(value, shapes, places, weights)
    there = deformable_attention(
        value.cuda().to(number), shapes, places.cuda(), weights.cuda().to(number)
    )
    far = (here - there.cpu().float()).abs().max()
    assert float(far) < (1e-4 if number is torch.float32 else 5e-2)
