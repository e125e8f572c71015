"""Tiny checkpoints of the SAM family with random weights, for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from groundplane.core.weights import need_library
from groundplane.testing.checkpoints import byte_pairs, make_model, save_checkpoint

__all__ = ["save_sam", "save_sam2", "save_sam3"]

_WHO = "groundplane.testing"
_WIDTH = 32
# Of the prompt encoder and mask decoder, in all three.
_DECODER = {"hidden_size": _WIDTH, "mlp_dim": 64, "iou_head_hidden_dim": _WIDTH}


def save_sam(folder: str | Path, *, seed: int = 0) -> Path:
    """Save a tiny SAM as transformers names its weights: pictures of 64 by 64 in patches of 8.

    Args:
        folder: It is made where it is not there.
        seed: Of the weights.

    Returns:
        The folder.
    """
    library = need_library("transformers", who=_WHO, extra="sam2")
    vision = library.SamVisionConfig(
        hidden_size=_WIDTH,
        output_channels=_WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        image_size=64,
        patch_size=8,
        window_size=3,
        global_attn_indexes=[1],
        num_pos_feats=_WIDTH // 2,
        mlp_dim=64,
    )
    prompts = library.SamPromptEncoderConfig(
        hidden_size=_WIDTH, image_size=64, patch_size=8, mask_input_channels=8
    )
    config = library.SamConfig(
        vision_config=vision,
        prompt_encoder_config=prompts,
        mask_decoder_config=library.SamMaskDecoderConfig(**_DECODER),
    )
    model = make_model(library.SamModel, config, seed)
    _spread(model)
    pictures = need_library("transformers.models.sam.image_processing_pil_sam", who=_WHO)
    processor = library.SamProcessor(
        pictures.SamImageProcessorPil(
            size={"longest_edge": 64},
            pad_size={"height": 64, "width": 64},
            mask_size={"longest_edge": 32},
            mask_pad_size={"height": 32, "width": 32},
        )
    )
    return save_checkpoint(folder, model, processor)


def save_sam2(folder: str | Path, *, seed: int = 0) -> Path:
    """Save a tiny SAM 2 with the Hiera backbone of the published ones: pictures of 64 by 64.

    Args:
        folder: It is made where it is not there.
        seed: Of the weights.

    Returns:
        The folder.
    """
    library = need_library("transformers", who=_WHO, extra="sam2")
    backbone = library.Sam2HieraDetConfig(
        hidden_size=8,
        num_attention_heads=1,
        image_size=[64, 64],
        window_positional_embedding_background_size=[2, 2],
        blocks_per_stage=[1, 1, 2, 1],
        embed_dim_per_stage=[8, 16, 32, 64],
        num_attention_heads_per_stage=[1, 2, 4, 8],
        window_size_per_stage=[4, 2, 2, 2],
        global_attention_blocks=[3],  # not the first of a stage, which changes the resolution
    )
    vision = library.Sam2VisionConfig(
        backbone_config=backbone,
        backbone_channel_list=[64, 32, 16, 8],
        backbone_feature_sizes=[[16, 16], [8, 8], [4, 4]],
        fpn_hidden_size=_WIDTH,
    )
    prompts = library.Sam2PromptEncoderConfig(
        hidden_size=_WIDTH, image_size=64, patch_size=16, mask_input_channels=8
    )
    config = library.Sam2Config(
        vision_config=vision,
        prompt_encoder_config=prompts,
        mask_decoder_config=library.Sam2MaskDecoderConfig(**_DECODER),
    )
    model = make_model(library.Sam2Model, config, seed)
    _spread(model)
    square = {"height": 64, "width": 64}
    processor = library.Sam2Processor(library.Sam2ImageProcessor(size=square), target_size=64)
    return save_checkpoint(folder, model, processor)


def save_sam3(
    folder: str | Path,
    *,
    seed: int = 0,
    part: Literal["all", "detector", "segmenter"] = "all",
) -> Path:
    """Save a tiny SAM 3: pictures of 56 by 56 in patches of 14, texts of 32 tokens.

    Args:
        folder: It is made where it is not there.
        seed: Of the weights.
        part: `all`: one file for detector and tracker, in the layout that is published; else one
            of the two by itself.

    Returns:
        The folder.
    """
    library = need_library("transformers", who=_WHO, extra="sam3")
    tokens, merges = byte_pairs(end="</w>")
    vocabulary = {t: i for i, t in enumerate([*tokens, "<|startoftext|>", "<|endoftext|>"])}
    tokenizer = library.CLIPTokenizer(
        vocab=vocabulary, merges=merges, pad_token="!", model_max_length=32
    )
    pictures = library.Sam3ImageProcessor(size={"height": 56, "width": 56})
    processor = library.Sam3Processor(image_processor=pictures, tokenizer=tokenizer)
    if part == "segmenter":
        model = make_model(library.Sam3TrackerModel, _tracker_config(library), seed)
        _spread(model)
        processor = library.Sam3TrackerProcessor(pictures, target_size=56)
        return save_checkpoint(folder, model, processor)
    config = _detector_config(library, vocabulary)
    if part == "detector":
        model = make_model(library.Sam3Model, config, seed)
        _spread(model)
        return save_checkpoint(folder, model, processor)
    return _save_published(folder, library, config, processor, seed=seed)


def _save_published(
    folder: str | Path, library: Any, config: Any, processor: Any, *, seed: int
) -> Path:
    """One file with the detector, the tracker, and the tracker's own neck."""
    module = need_library(
        "transformers.models.sam3_tracker_video.configuration_sam3_tracker_video", who=_WHO
    )
    tracker = module.Sam3TrackerVideoConfig(
        vision_config=_vision_config(library),
        prompt_encoder_config=module.Sam3TrackerVideoPromptEncoderConfig(
            hidden_size=_WIDTH, image_size=56, patch_size=14, mask_input_channels=8
        ),
        mask_decoder_config=module.Sam3TrackerVideoMaskDecoderConfig(**_DECODER),
        memory_attention_hidden_size=_WIDTH,
        memory_attention_num_layers=1,
        memory_attention_feed_forward_hidden_size=_WIDTH,
        memory_encoder_hidden_size=_WIDTH,
        memory_encoder_output_channels=16,
        mask_downsampler_embed_dim=_WIDTH,
        mask_downsampler_total_stride=4,
        memory_fuser_embed_dim=_WIDTH,
        memory_fuser_intermediate_dim=_WIDTH,
        image_size=56,
        memory_attention_rope_feat_sizes=[4, 4],
    )
    whole = library.Sam3VideoConfig(detector_config=config, tracker_config=tracker)
    whole.architectures = ["Sam3VideoModel"]
    model = make_model(library.Sam3VideoModel, whole, seed)
    _spread(model)
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    # Not save_pretrained, which would write the tracker's prefix twice.
    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    need_library("safetensors.torch", who=_WHO).save_file(state, str(place / "model.safetensors"))
    whole.save_pretrained(str(place))
    processor.save_pretrained(str(place))
    return place


def _vision_config(library: Any) -> Any:
    backbone = library.Sam3ViTConfig(
        hidden_size=_WIDTH,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        image_size=56,
        patch_size=14,
        window_size=2,
        global_attn_indexes=[1],
        pretrain_image_size=28,
    )
    return library.Sam3VisionConfig(
        backbone_config=backbone,
        fpn_hidden_size=_WIDTH,
        backbone_feature_sizes=[[16, 16], [8, 8], [4, 4]],
    )


def _tracker_config(library: Any) -> Any:
    prompts = library.Sam3TrackerPromptEncoderConfig(
        hidden_size=_WIDTH, image_size=56, patch_size=14, mask_input_channels=8
    )
    return library.Sam3TrackerConfig(
        vision_config=_vision_config(library),
        prompt_encoder_config=prompts,
        mask_decoder_config=library.Sam3TrackerMaskDecoderConfig(**_DECODER),
    )


def _detector_config(library: Any, vocabulary: dict[str, int]) -> Any:
    module = need_library("transformers.models.sam3.configuration_sam3", who=_WHO)
    text = library.CLIPTextConfig(
        vocab_size=len(vocabulary),
        hidden_size=_WIDTH,
        intermediate_size=64,
        projection_dim=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=32,
        hidden_act="gelu",
        pad_token_id=vocabulary["!"],
        bos_token_id=vocabulary["<|startoftext|>"],
        eos_token_id=vocabulary["<|endoftext|>"],
    )
    layers = {"hidden_size": _WIDTH, "num_layers": 1, "num_attention_heads": 2}
    layers |= {"intermediate_size": 64}
    return library.Sam3Config(
        vision_config=_vision_config(library),
        text_config=text,
        geometry_encoder_config=module.Sam3GeometryEncoderConfig(**layers, roi_size=3),
        detr_encoder_config=module.Sam3DETREncoderConfig(**layers),
        detr_decoder_config=module.Sam3DETRDecoderConfig(**layers, num_queries=8),
        mask_decoder_config=module.Sam3MaskDecoderConfig(hidden_size=_WIDTH, num_attention_heads=2),
    )


def _spread(model: nn.Module) -> None:
    """Keep scores where they differ, and masks neither empty nor full."""
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith(("iou_prediction_head.proj_out.bias", "presence_head.layer3.bias")):
                weight.fill_(0.5)
