"""Weights of Grounding DINO in the names of its two makers, and a checkpoint of each for tests.

The package of the authors (groundingdino-py) and transformers name the same weights differently,
and the package keeps the three projections of an attention in one table. What one side does not
keep is made: indices and zeros of a layer whose output nobody reads.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from groundplane.core.weights import need_library, read_state
from groundplane.testing.checkpoints import make_model, save_checkpoint, word_pieces

__all__ = ["save_grounding_dino_pair", "to_groundingdino", "to_transformers"]

_WHO = "groundplane.testing"
_SWIN = "model.backbone.conv_encoder.model"
_BLOCK, _THEIR_BLOCK = "backbone.0.layers.#.blocks.#", f"{_SWIN}.encoder.layers.#.blocks.#"
_ENCODER, _THEIR_ENCODER = "transformer.encoder", "model.encoder.layers.#"
_DECODER, _THEIR_DECODER = "transformer.decoder.layers.#", "model.decoder.layers.#"

# Modules: the package's name, then that of transformers in published files. A # is a number.
_MODULES = (
    ("backbone.0.patch_embed.proj", f"{_SWIN}.embeddings.patch_embeddings.projection"),
    ("backbone.0.patch_embed.norm", f"{_SWIN}.embeddings.norm"),
    (f"{_BLOCK}.norm1", f"{_THEIR_BLOCK}.layernorm_before"),
    (f"{_BLOCK}.norm2", f"{_THEIR_BLOCK}.layernorm_after"),
    (
        f"{_BLOCK}.attn.relative_position_bias_table",
        f"{_THEIR_BLOCK}.attention.self.relative_position_bias_table",
    ),
    (f"{_BLOCK}.attn.proj", f"{_THEIR_BLOCK}.attention.output.dense"),
    (f"{_BLOCK}.mlp.fc1", f"{_THEIR_BLOCK}.intermediate.dense"),
    (f"{_BLOCK}.mlp.fc2", f"{_THEIR_BLOCK}.output.dense"),
    ("backbone.0.layers.#.downsample", f"{_SWIN}.encoder.layers.#.downsample"),
    *((f"backbone.0.norm{i}", f"{_SWIN}.hidden_states_norms.stage{i + 1}") for i in range(1, 4)),
    ("bert.embeddings", "model.text_backbone.embeddings"),
    ("bert.encoder", "model.text_backbone.encoder"),
    ("feat_map", "model.text_projection"),
    ("input_proj", "model.input_proj_vision"),
    ("transformer.level_embed", "model.level_embed"),
    ("transformer.tgt_embed", "model.query_position_embeddings"),
    ("transformer.enc_output", "model.enc_output"),
    ("transformer.enc_output_norm", "model.enc_output_norm"),
    ("transformer.enc_out_bbox_embed", "model.encoder_output_bbox_embed"),
    ("transformer.decoder.norm", "model.decoder.layer_norm"),
    ("transformer.decoder.ref_point_head", "model.decoder.reference_points_head"),
    ("transformer.decoder.bbox_embed", "model.decoder.bbox_embed"),
    ("bbox_embed", "bbox_embed"),
    *(
        (f"{_ENCODER}.layers.#.{ours}", f"{_THEIR_ENCODER}.deformable_layer.{theirs}")
        for ours, theirs in (
            ("self_attn", "self_attn"),
            ("norm1", "self_attn_layer_norm"),
            ("linear1", "fc1"),
            ("linear2", "fc2"),
            ("norm2", "final_layer_norm"),
        )
    ),
    *(
        (f"{_ENCODER}.text_layers.#.{ours}", f"{_THEIR_ENCODER}.text_enhancer_layer.{theirs}")
        for ours, theirs in (
            ("self_attn.out_proj", "self_attn.out_proj"),
            ("norm1", "layer_norm_before"),
            ("linear1", "fc1"),
            ("linear2", "fc2"),
            ("norm2", "layer_norm_after"),
        )
    ),
    *(
        (f"{_ENCODER}.fusion_layers.#.{ours}", f"{_THEIR_ENCODER}.fusion_layer.{theirs}")
        for ours, theirs in (
            ("gamma_v", "vision_param"),
            ("gamma_l", "text_param"),
            ("layer_norm_v", "layer_norm_vision"),
            ("layer_norm_l", "layer_norm_text"),
            ("attn.v_proj", "attn.vision_proj"),
            ("attn.l_proj", "attn.text_proj"),
            ("attn.values_v_proj", "attn.values_vision_proj"),
            ("attn.values_l_proj", "attn.values_text_proj"),
            ("attn.out_v_proj", "attn.out_vision_proj"),
            ("attn.out_l_proj", "attn.out_text_proj"),
        )
    ),
    *(
        (f"{_DECODER}.{ours}", f"{_THEIR_DECODER}.{theirs}")
        for ours, theirs in (
            ("self_attn.out_proj", "self_attn.out_proj"),
            ("norm2", "self_attn_layer_norm"),
            ("ca_text.out_proj", "encoder_attn_text.out_proj"),
            ("catext_norm", "encoder_attn_text_layer_norm"),
            ("cross_attn", "encoder_attn"),
            ("norm1", "encoder_attn_layer_norm"),
            ("linear1", "fc1"),
            ("linear2", "fc2"),
            ("norm3", "final_layer_norm"),
        )
    ),
)
# Attentions whose three projections the package keeps in one table: how the names begin.
_FUSED = (
    (f"{_BLOCK}.attn.qkv.", f"{_THEIR_BLOCK}.attention.self."),
    (
        f"{_ENCODER}.text_layers.#.self_attn.in_proj_",
        f"{_THEIR_ENCODER}.text_enhancer_layer.self_attn.",
    ),
    (f"{_DECODER}.self_attn.in_proj_", f"{_THEIR_DECODER}.self_attn."),
    (f"{_DECODER}.ca_text.in_proj_", f"{_THEIR_DECODER}.encoder_attn_text."),
)
_PROJECTIONS = ("query", "key", "value")
# Of the package, and made there or read by nobody.
_MADE = re.compile(
    r".*\.relative_position_index|bert\.pooler\.dense\.(weight|bias)|"
    r"bert\.embeddings\.position_ids|label_enc\.weight"
)
# Of transformers, and read by nobody.
_UNREAD = re.compile(rf"{re.escape(_SWIN)}\.(swin\.)?layernorm\.(weight|bias)")


def to_transformers(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of groundingdino-py under the names of transformers.

    Args:
        state: All weights, as the package names them.

    Raises:
        KeyError: If a name is not known.

    Examples:
        >>> list(to_transformers({"feat_map.bias": torch.zeros(2)}))
        ['model.text_projection.bias']
        >>> sorted(to_transformers({"transformer.decoder.layers.0.ca_text.in_proj_bias":
        ...     torch.zeros(6)}))[0]
        'model.decoder.layers.0.encoder_attn_text.key.bias'
        >>> to_transformers({})
        {}
    """
    made: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if _MADE.fullmatch(name):
            continue
        fused = _renamed(name, _FUSED, ends=r"(weight|bias)")
        if fused is None:
            made[_known(name, _MODULES)] = tensor
            continue
        begin, kind = fused
        for projection, part in zip(_PROJECTIONS, tensor.chunk(3), strict=True):
            made[f"{begin}{projection}.{kind}"] = part
    return made


def to_groundingdino(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of transformers' Grounding DINO under the names of groundingdino-py.

    Args:
        state: All weights, as a published checkpoint names them.

    Raises:
        KeyError: If a name is not known, or a projection is missing.

    Examples:
        >>> list(to_groundingdino({"model.text_projection.bias": torch.zeros(2)}))
        ['feat_map.bias']
        >>> to_groundingdino({})
        {}
    """
    modules, fused = [[(b, a) for a, b in pairs] for pairs in (_MODULES, _FUSED)]
    made: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if _UNREAD.fullmatch(name):
            continue
        part = _renamed(name, fused, ends=r"(?:query|key|value)\.(weight|bias)")
        if part is None:
            made[_known(name, modules)] = tensor
        elif "".join(part) not in made:
            begin, kind = name.rsplit(".", 2)[0], part[1]
            parts = [state[f"{begin}.{projection}.{kind}"] for projection in _PROJECTIONS]
            made["".join(part)] = torch.cat(parts)
    return made | _of_package(made)


def _of_package(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What the package keeps and transformers does not."""
    made: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if name.endswith("relative_position_bias_table"):
            window = (round(len(tensor) ** 0.5) + 1) // 2
            made[name.replace("bias_table", "index")] = _offsets(window)
        elif name == "bert.embeddings.LayerNorm.bias":
            made["bert.pooler.dense.weight"] = tensor.new_zeros(len(tensor), len(tensor))
            made["bert.pooler.dense.bias"] = torch.zeros_like(tensor)
        elif name.startswith("bbox_embed.0."):
            # All layers of the decoder share one, which the package lists for each, twice.
            layers = [k for k in state if re.fullmatch(r"transformer\.decoder.*norm3\.bias", k)]
            for layer in range(len(layers)):
                copied = name.replace(".0.", f".{layer}.", 1)
                made |= {copied: tensor, f"transformer.decoder.{copied}": tensor}
    return made


def _offsets(window: int) -> Int[Tensor, "n n"]:
    """Rows of the table of position biases for each two cells of a window (Liu et al., Swin)."""
    cells = torch.cartesian_prod(torch.arange(window), torch.arange(window))
    apart = cells[:, None] - cells[None] + window - 1
    return apart[..., 0] * (2 * window - 1) + apart[..., 1]


def _known(name: str, pairs: Sequence[tuple[str, str]]) -> str:
    found = _renamed(name, pairs, ends=r"((?:\..+)?)")
    if found is None:
        raise KeyError(f"no weight of Grounding DINO is known as {name!r}")
    return "".join(found)


def _renamed(name: str, pairs: Sequence[tuple[str, str]], *, ends: str) -> tuple[str, str] | None:
    """The other name of what a name begins with, and how it ends; None if no pair fits."""
    for ours, theirs in pairs:
        found = re.fullmatch(re.escape(ours).replace(r"\#", r"(\d+)") + ends, name)
        if found:
            *numbers, end = found.groups()
            for number in numbers:
                theirs = theirs.replace("#", number, 1)  # noqa: PLW2901 - it is filled in
            return theirs, end
    return None


def save_grounding_dino_pair(folder: str | Path, *, seed: int = 0) -> tuple[Path, Path]:
    """Save one network twice: for transformers, and for groundingdino-py.

    The package fixes the width and the image encoder, Swin-T; all else is tiny. Each has 120 MB.

    Args:
        folder: It is made where it is not there.
        seed: Of the weights.

    Returns:
        The folder for the expert `grounding-dino`, and that for `grounding-dino-py`.
    """
    library = need_library("transformers", who=_WHO, extra="grounding-dino")
    vocabulary = word_pieces()
    text = library.BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=256,
    )
    model = _model(library, text, seed)
    tokenizer = library.BertTokenizer(vocab=vocabulary)
    pictures = library.GroundingDinoImageProcessor(
        size={"shortest_edge": 72, "longest_edge": 120}, pad_size=None
    )
    processor = library.GroundingDinoProcessor(image_processor=pictures, tokenizer=tokenizer)
    first = save_checkpoint(Path(folder) / "transformers", model, processor)
    second = Path(folder) / "groundingdino"
    second.mkdir(parents=True, exist_ok=True)
    text.save_pretrained(str(second))
    tokenizer.save_pretrained(str(second))
    (second / "groundingdino.json").write_text(json.dumps(_SHAPE), encoding="utf-8")
    state = to_groundingdino(read_state(first, who=_WHO))
    apart = {name: tensor.clone().contiguous() for name, tensor in state.items()}
    writer = need_library("safetensors.torch", who=_WHO)
    writer.save_file(apart, str(second / "model.safetensors"), metadata={"format": "pt"})
    return first, second


_SHAPE = {"enc_layers": 1, "dec_layers": 2, "dim_feedforward": 32, "nheads": 4}
_SHAPE |= {"num_queries": 30, "enc_n_points": 2, "dec_n_points": 2}


def _model(library: Any, text: Any, seed: int) -> Any:
    """The network as transformers has it, with random weights whose output is spread."""
    backbone = library.SwinConfig(
        embed_dim=96,
        depths=[2, 2, 6, 2],
        num_heads=[3, 6, 12, 24],
        window_size=7,
        out_indices=[2, 3, 4],
    )
    config = library.GroundingDinoConfig(
        backbone_config=backbone,
        text_config=text,
        d_model=256,
        num_queries=_SHAPE["num_queries"],
        encoder_layers=_SHAPE["enc_layers"],
        decoder_layers=_SHAPE["dec_layers"],
        encoder_ffn_dim=_SHAPE["dim_feedforward"],
        decoder_ffn_dim=_SHAPE["dim_feedforward"],
        encoder_attention_heads=_SHAPE["nheads"],
        decoder_attention_heads=_SHAPE["nheads"],
        encoder_n_points=_SHAPE["enc_n_points"],
        decoder_n_points=_SHAPE["dec_n_points"],
    )
    model = make_model(library.GroundingDinoForObjectDetection, config, seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            # Boxes and scores stay where the sigmoid is steep. Where it is flat the two makers
            # differ: the package takes no share of a side below 1/1000, transformers 1/100000.
            if "bbox_embed" in name and weight.dim() == 2:
                weight.mul_(0.1)
            # 256 products make a logit.
            if name.endswith("decoder.layer_norm.weight"):
                weight.mul_(0.04)
    return model
