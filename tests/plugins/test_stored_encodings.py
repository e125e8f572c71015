"""With a feature store, a second process encodes nothing anew and answers the same."""

import importlib

import numpy as np
import pytest
import torch

import groundplane
from groundplane.core.detection import DetectRequest
from groundplane.core.feature_cache import STORE, shared_cache
from groundplane.core.segmentation import SegmentRequest
from groundplane.testing.detectors import make_image

SMALL = {"shortest": 72, "longest": 120}
# Kind, name, where its tiny checkpoint is made, options beside the weights.
EXPERTS = [
    ("detectors", "owlv2", "checkpoints_owlv2.save_owlv2", {}),
    ("detectors", "florence2", "checkpoints_florence2.save_florence2", {}),
    ("detectors", "grounding-dino", "checkpoints.save_grounding_dino", SMALL),
    ("detectors", "sam3", "checkpoints_sam.save_sam3", {}),
    ("encoders", "clip", "checkpoints_towers.save_clip", {}),
    ("encoders", "dinov2", "checkpoints_towers.save_dinov2", {}),
    ("segmenters", "sam3", "checkpoints_sam.save_sam3", {}),
    ("segmenters", "sam2", "checkpoints_sam.save_sam2", {}),
]


@pytest.fixture
def new_process(tmp_path, monkeypatch):
    """Gives the cache that a new process would have; what the old one made is written."""

    def begin():
        if shared_cache.cache_info().currsize:
            store = shared_cache()._store
            if store is not None:
                store.flush()
        shared_cache.cache_clear()
        return shared_cache()

    monkeypatch.setenv(STORE, str(tmp_path / "store"))
    yield begin
    monkeypatch.undo()
    shared_cache.cache_clear()


def answer(kind, expert):
    """What an expert says of two pictures, as tensors."""
    rng = np.random.default_rng(0)
    images = [make_image(rng.integers(0, 256, (60, 90, 3), dtype=np.uint8)) for _ in range(2)]
    if kind == "encoders":
        seen = expert.encode(images)
        return [(seen.tokens, seen.summary)]
    if kind == "detectors":
        requests = [DetectRequest(image=image, phrases=("red cup", "dog")) for image in images]
        found = [result.regions for result in expert.detect(requests)]
        return [(regions.boxes, regions.scores) for regions in found]
    boxes = torch.tensor([[10.0, 10.0, 50.0, 40.0]])
    found = expert.segment([SegmentRequest(image=image, boxes=boxes) for image in images])
    return [(regions.boxes, regions.scores) for regions in found]


@pytest.mark.parametrize(("kind", "name", "saver", "options"), EXPERTS)
def test_nothing_is_encoded_twice(tmp_path, new_process, kind, name, saver, options):
    pytest.importorskip("transformers")
    module, function = saver.split(".")
    save = getattr(importlib.import_module(f"groundplane.testing.{module}"), function)
    weights = str(save(tmp_path / "weights"))

    def load():
        return groundplane.load(kind, name, device="cpu", weights=weights, **options)

    cache = new_process()
    first = answer(kind, load())
    assert cache.stats.misses > cache.stats.read == 0
    cache = new_process()
    again = answer(kind, load())
    assert cache.stats.read == cache.stats.misses > 0
    for mine, theirs in zip(first, again, strict=True):
        for computed, read in zip(mine, theirs, strict=True):
            # Products of the same numbers may round otherwise where they lie at other addresses.
            torch.testing.assert_close(read, computed, rtol=1e-5, atol=1e-4)


def test_other_weights_are_encoded_anew(tmp_path, new_process):
    pytest.importorskip("transformers")
    from groundplane.testing.checkpoints_sam import save_sam2

    for seed in range(2):
        weights = str(save_sam2(tmp_path / f"weights{seed}", seed=seed))
        cache = new_process()
        answer("segmenters", groundplane.load("segmenters", "sam2", device="cpu", weights=weights))
        assert cache.stats.misses > cache.stats.read == 0
