"""What the parts of a network are called in timm and in transformers."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["GATED", "TABLES", "Names"]


class Names(NamedTuple):
    """The same numbers under both libraries' names; `#` stands for the number of a block.

    Attributes:
        timm: Tensors of timm, to be laid one below the other. An empty name stands for zeros,
            which are left out.
        theirs: The same of transformers.
        drop: How many leading axes of length 1 are timm's alone.
        shares: How much of the rows each tensor of timm has; equal if empty.
    """

    timm: tuple[str, ...]
    theirs: tuple[str, ...]
    drop: int = 0
    shares: tuple[int, ...] = ()


def _one(timm: str, theirs: str, *, drop: int = 0) -> Names:
    return Names((timm,), (theirs,), drop)


def _both(timm: str, *theirs: str) -> list[Names]:
    """Weight and bias."""
    return [
        Names((f"{timm}.{kind}",), tuple(f"{name}.{kind}" for name in theirs))
        for kind in ("weight", "bias")
    ]


def _clip_block(*qkv: str, out: str) -> list[Names]:
    """A block as CLIP, SigLIP and BLIP-2 name its parts."""
    timm, theirs = "blocks.#", "encoder.layers.#"
    return [
        *_both(f"{timm}.norm1", f"{theirs}.layer_norm1"),
        *_both(f"{timm}.norm2", f"{theirs}.layer_norm2"),
        Names((f"{timm}.attn.qkv.weight",), tuple(f"{theirs}.{p}.weight" for p in qkv)),
        *_both(f"{timm}.attn.proj", f"{theirs}.{out}"),
        *_both(f"{timm}.mlp.fc1", f"{theirs}.mlp.fc1"),
        *_both(f"{timm}.mlp.fc2", f"{theirs}.mlp.fc2"),
    ]


def _dino_block(layers: str, scales: tuple[str, str]) -> list[Names]:
    """A block as DINOv2, DINOv3 and RADIO name its parts, without what follows the second norm."""
    timm, theirs = "blocks.#", f"{layers}.#"
    qkv = tuple(f"{theirs}.attention.{part}_proj.weight" for part in "qkv")
    return [
        *_both(f"{timm}.norm1", f"{theirs}.norm1"),
        *_both(f"{timm}.norm2", f"{theirs}.norm2"),
        Names((f"{timm}.attn.qkv.weight",), qkv),
        *_both(f"{timm}.attn.proj", f"{theirs}.attention.o_proj"),
        _one(f"{timm}.{scales[0]}", f"{theirs}.layer_scale1.lambda1"),
        _one(f"{timm}.{scales[1]}", f"{theirs}.layer_scale2.lambda1"),
    ]


def _bias(layers: str, attention: str) -> Names:
    """Biases of queries, keys and values, where timm has them as one."""
    theirs = tuple(f"{layers}.#.{attention}.{part}_proj.bias" for part in "qkv")
    return Names(("blocks.#.attn.qkv.bias",), theirs)


def _mlp(layers: str, *theirs: str) -> list[Names]:
    """What follows the second norm: the first map may be several of transformers."""
    *first, last = (f"{layers}.#.mlp.{name}" for name in theirs)
    return [*_both("blocks.#.mlp.fc1", *first), *_both("blocks.#.mlp.fc2", last)]


_DINOV3_GATED = [
    *_both("blocks.#.mlp.fc1_g", "model.layer.#.mlp.gate_proj"),
    *_both("blocks.#.mlp.fc1_x", "model.layer.#.mlp.up_proj"),
    *_both("blocks.#.mlp.fc2", "model.layer.#.mlp.down_proj"),
]
# By family and whether its blocks have a gate (SwiGLU); the tables below have the rest.
GATED: dict[tuple[str, bool], list[Names]] = {
    ("dinov2", False): _mlp("encoder.layer", "fc1", "fc2"),
    ("dinov2", True): _mlp("encoder.layer", "gate_proj", "up_proj", "down_proj"),
    ("dinov3", False): _mlp("model.layer", "up_proj", "down_proj"),
    ("dinov3", True): _DINOV3_GATED,
    ("radio", False): _mlp("encoder.layer", "fc1", "fc2"),
}

_POOL_MLP = [
    *_both("attn_pool.mlp.fc1", "head.mlp.fc1"),
    *_both("attn_pool.mlp.fc2", "head.mlp.fc2"),
]
_SELF = tuple(f"self_attn.{part}_proj" for part in "qkv")

TABLES: dict[str, list[Names]] = {
    "clip": [
        _one("cls_token", "embeddings.class_embedding", drop=2),
        _one("pos_embed", "embeddings.position_embedding.weight", drop=1),
        _one("patch_embed.proj.weight", "embeddings.patch_embedding.weight"),
        *_both("norm_pre", "pre_layrnorm"),
        *_both("norm", "post_layernorm"),
        _one("head.weight", "visual_projection.weight"),
        *_clip_block(*_SELF, out="self_attn.out_proj"),
        _bias("encoder.layers", "self_attn"),
    ],
    "siglip": [
        _one("pos_embed", "embeddings.position_embedding.weight", drop=1),
        *_both("patch_embed.proj", "embeddings.patch_embedding"),
        *_both("norm", "post_layernorm"),
        *_clip_block(*_SELF, out="self_attn.out_proj"),
        _bias("encoder.layers", "self_attn"),
        _one("attn_pool.latent", "head.probe"),
        *(
            Names(
                (f"attn_pool.q.{kind}", f"attn_pool.kv.{kind}"),
                (f"head.attention.in_proj_{kind}",),
                shares=(1, 2),
            )
            for kind in ("weight", "bias")
        ),
        *_both("attn_pool.proj", "head.attention.out_proj"),
        *_both("attn_pool.norm", "head.layernorm"),
        *_POOL_MLP,
    ],
    "eva-clip": [
        _one("cls_token", "embeddings.class_embedding"),
        _one("pos_embed", "embeddings.position_embedding"),
        *_both("patch_embed.proj", "embeddings.patch_embedding"),
        *_both("norm", "post_layernorm"),
        *_clip_block("self_attn.qkv", out="self_attn.projection"),
        # A bias of the keys adds the same to all scores of a query: the softmax is blind to it.
        Names(
            ("blocks.#.attn.q_bias", "", "blocks.#.attn.v_bias"),
            ("encoder.layers.#.self_attn.qkv.bias",),
        ),
    ],
    "dinov2": [
        _one("cls_token", "embeddings.cls_token"),
        _one("reg_token", "embeddings.register_tokens"),
        _one("pos_embed", "embeddings.position_embeddings"),
        *_both("patch_embed.proj", "embeddings.patch_embeddings.projection"),
        *_both("norm", "layernorm"),
        *_dino_block("encoder.layer", ("ls1.gamma", "ls2.gamma")),
        _bias("encoder.layer", "attention"),
    ],
    "dinov3": [
        _one("cls_token", "embeddings.cls_token"),
        _one("reg_token", "embeddings.register_tokens"),
        *_both("patch_embed.proj", "embeddings.patch_embeddings"),
        *_both("norm", "norm"),
        *_dino_block("model.layer", ("gamma_1", "gamma_2")),
        _one("blocks.#.attn.q_bias", "model.layer.#.attention.q_proj.bias"),
        _one("blocks.#.attn.v_bias", "model.layer.#.attention.v_proj.bias"),
    ],
    "radio": [
        _one("cls_token", "cls_token"),
        _one("reg_token", "reg_token"),
        _one("pos_embed", "embeddings.position_embedding"),
        *_both("patch_embed.proj", "patch_projection"),
        *_dino_block("encoder.layer", ("ls1.gamma", "ls2.gamma")),
        _bias("encoder.layer", "attention"),
    ],
}
