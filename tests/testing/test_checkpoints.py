"""Tiny checkpoints are small, the same for a seed, and see what is in front of them."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import groundplane
from groundplane.core.detection import DetectRequest
from groundplane.testing.checkpoints import save_grounding_dino
from groundplane.testing.checkpoints_florence2 import save_florence2
from groundplane.testing.checkpoints_owlv2 import save_owlv2
from groundplane.testing.detectors import make_image

SAVES = {
    "grounding-dino": save_grounding_dino,
    "mm-grounding-dino": lambda folder, seed=0: save_grounding_dino(
        folder, seed=seed, variant="mm-grounding-dino"
    ),
    "owlv2": save_owlv2,
    "florence2": save_florence2,
}


@pytest.mark.parametrize("name", sorted(SAVES))
class TestCheckpoint:
    def test_it_is_small(self, name, tmp_path):
        folder = SAVES[name](tmp_path)
        assert sum(path.stat().st_size for path in folder.iterdir()) < 2**20

    def test_a_seed_gives_the_same_weights_and_another_gives_others(self, name, tmp_path):
        states = [
            load_file(SAVES[name](tmp_path / str(i), seed=seed) / "model.safetensors")
            for i, seed in enumerate((1, 1, 2))
        ]
        same, other = ([torch.equal(states[0][k], s[k]) for k in states[0]] for s in states[1:])
        assert all(same)
        assert not all(other)

    def test_pictures_and_words_give_other_scores(self, name, tmp_path):
        options = {"tokens": "20"} if name == "florence2" else {}
        weights = str(SAVES[name](tmp_path))
        detector = groundplane.load("detectors", name, device="cpu", weights=weights, **options)
        rng = np.random.default_rng(0)
        pictures = [make_image(rng.integers(0, 256, (60, 90, 3), dtype=np.uint8)) for _ in range(2)]
        requests = [
            DetectRequest(image=pictures[i], phrases=(phrase,), thresholds=(0.0,))
            for i, phrase in ((0, "cup"), (1, "cup"), (0, "dog"))
        ]
        scores = [result.candidates.scores.tolist() for result in detector.detect(requests)]
        assert all(scores)
        assert scores[0] != scores[1]
        assert scores[0] != scores[2]
