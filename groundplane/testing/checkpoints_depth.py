"""Tiny depth networks with random weights, of the true classes of transformers, for tests.

Each has about 1 MB and is loaded by the same code as a real one. What they tell of a picture
means nothing, but it differs from picture to picture and from place to place.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch

from groundplane.core.weights import need_library
from groundplane.testing.checkpoints import make_model, save_checkpoint

__all__ = ["save_depth_anything", "save_depth_pro", "save_zoedepth"]

_WHO = "groundplane.testing"
_BACKBONE = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
}


def save_depth_anything(
    folder: str | Path,
    *,
    seed: int = 0,
    kind: Literal["relative", "metric"] = "relative",
) -> Path:
    """Save a tiny Depth Anything: pictures of about 56 by 56 in patches of 14.

    Args:
        folder: It is made where it is not there.
        seed: Of the weights.
        kind: What its settings say of its depth.

    Returns:
        The folder.
    """
    library = need_library("transformers", who=_WHO, extra="depth-anything")
    backbone = library.Dinov2Config(
        **_BACKBONE,
        image_size=56,
        patch_size=14,
        out_indices=[1, 2, 3, 4],
        apply_layernorm=True,
        reshape_hidden_states=False,
    )
    config = library.DepthAnythingConfig(
        backbone_config=backbone,
        patch_size=14,
        reassemble_hidden_size=32,
        neck_hidden_sizes=[8, 8, 16, 16],
        fusion_hidden_size=16,
        head_hidden_size=8,
        depth_estimation_type=kind,
        max_depth=20 if kind == "metric" else 1,
    )
    model = make_model(library.DepthAnythingForDepthEstimation, config, seed)
    with torch.no_grad():
        # The last layer ends in a ReLU: a bias keeps most pixels above it.
        model.head.conv3.bias.fill_(0.0 if kind == "metric" else 3.0)
    pictures = _processor("dpt", "DPTImageProcessorPil")(
        size={"height": 56, "width": 56},
        keep_aspect_ratio=True,
        ensure_multiple_of=14,
        resample=3,
        image_mean=[0.485, 0.456, 0.406],
        image_std=[0.229, 0.224, 0.225],
    )
    return save_checkpoint(folder, model, pictures)


def save_depth_pro(folder: str | Path, *, seed: int = 0, tells_focal: bool = True) -> Path:
    """Save a tiny Depth Pro: pictures of 64 by 64, looked at in patches of 32 at two scales.

    Args:
        folder: It is made where it is not there.
        seed: Of the weights.
        tells_focal: Whether it has the part that estimates the field of view.

    Returns:
        The folder.
    """
    library = need_library("transformers", who=_WHO, extra="depth-pro")
    encoder = library.Dinov2Config(**_BACKBONE, image_size=32, patch_size=8)
    config = library.DepthProConfig(
        patch_size=32,
        fusion_hidden_size=16,
        intermediate_hook_ids=[2, 0],
        intermediate_feature_dims=[16, 16],
        scaled_images_ratios=[0.5, 1.0],
        scaled_images_overlap_ratios=[0.0, 0.5],
        scaled_images_feature_dims=[16, 16],
        num_fov_head_layers=1,
        use_fov_model=tells_focal,
        image_model_config=encoder.to_dict(),
        patch_model_config=encoder.to_dict(),
        fov_model_config=encoder.to_dict(),
    )
    model = make_model(library.DepthProForDepthEstimation, config, seed)
    with torch.no_grad():
        model.head.layers[4].bias.fill_(1.0)
        if tells_focal:
            # Degrees: some tens, as cameras have.
            model.fov_model.head.layers[-1].bias.fill_(55.0)
    pictures = need_library(
        "transformers.models.depth_pro.image_processing_depth_pro", who=_WHO
    ).DepthProImageProcessor(size={"height": 64, "width": 64})
    return save_checkpoint(folder, model, pictures)


def save_zoedepth(folder: str | Path, *, seed: int = 0, heads: int = 1) -> Path:
    """Save a tiny ZoeDepth: pictures of about 64 by 64 in patches of 16.

    Args:
        folder: It is made where it is not there.
        seed: Of the weights.
        heads: 1, or 2 of which the network chooses by what it sees, indoors or outdoors.

    Returns:
        The folder.
    """
    library = need_library("transformers", who=_WHO, extra="zoedepth")
    backbone = library.BeitConfig(
        **_BACKBONE,
        image_size=64,
        patch_size=16,
        use_relative_position_bias=True,
        reshape_hidden_states=False,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    bins = [
        {"name": name, "n_bins": 16, "min_depth": 0.001, "max_depth": far}
        for name, far in (("nyu", 10.0), ("kitti", 80.0))
    ]
    config = library.ZoeDepthConfig(
        backbone_config=backbone,
        neck_hidden_sizes=[8, 8, 16, 16],
        fusion_hidden_size=16,
        num_relative_features=8,
        bottleneck_features=16,
        num_attractors=[4, 2, 2, 1],
        bin_embedding_dim=16,
        bin_configurations=bins[:heads],
        num_patch_transformer_layers=4,  # transformers runs four layers of 128, whatever it says
        patch_transformer_hidden_size=128,
        patch_transformer_intermediate_size=16,
        patch_transformer_num_attention_heads=2,
    )
    model = make_model(library.ZoeDepthForDepthEstimation, config, seed)
    pictures = _processor("zoedepth", "ZoeDepthImageProcessorPil")(
        size={"height": 64, "width": 64}, keep_aspect_ratio=True, ensure_multiple_of=32
    )
    return save_checkpoint(folder, model, pictures)


def _processor(family: str, name: str) -> type:
    """A processor that stands on Pillow: the other kind needs torchvision to be there."""
    module = f"transformers.models.{family}.image_processing_pil_{family}"
    found: type = getattr(need_library(module, who=_WHO), name)
    return found
