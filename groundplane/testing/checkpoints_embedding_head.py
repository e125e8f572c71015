"""A tiny grounding head of random weights that is asked with hidden states, for tests."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import torch

from groundplane.core.weights import need_library
from groundplane.grounding.embedding_network import EmbeddingNetwork, HeadShape

__all__ = ["save_embedding_head"]


def save_embedding_head(folder: str | Path, *, embedding_width: int = 16, seed: int = 0) -> Path:
    """Save a tiny head: a canvas of 64 by 64 pixels, 12 queries.

    Args:
        folder: It is made where it is not there.
        embedding_width: Numbers of a state of the language model that asks.
        seed: Of the weights.

    Returns:
        The folder.
    """
    shape = HeadShape(
        embedding_width=embedding_width,
        width=16,
        space=8,
        queries=12,
        layers=2,
        heads=2,
        feedforward=32,
        canvas=64,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = EmbeddingNetwork(shape)
        with torch.no_grad():
            network.queries.normal_()
            network.anchors.normal_()
            # Cosines of random rows are some tenths: so large a scale spreads their shares.
            network.scale.fill_(2.0)
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    settings = {"model_type": "embedding-head", **asdict(shape)}
    (place / "config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    library = need_library("safetensors.torch", who="groundplane.testing", extra="features")
    tensors = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    library.save_file(tensors, str(place / "model.safetensors"), metadata={"format": "pt"})
    return place
