"""SAM: masks of things that boxes, points or embeddings point out.

Runs on the package `segment_anything`. The shape of the network is read from the weights, so that
one plugin serves ViT-B, ViT-L, ViT-H and those trained in their image; weights in the naming of
transformers are read as well, for only those are published as safetensors.

Source: Kirillov et al., Segment Anything, 2023. Embedding prompts: Lai et al., LISA: Reasoning
Segmentation via Large Language Model, 2023 (they stand among the sparse prompts, and one mask is
asked for).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from groundplane.core.capabilities import Capabilities
from groundplane.core.errors import InputError, WeightsError, listing
from groundplane.core.image import Image
from groundplane.core.pixels import PixelRule, prepare_pixels
from groundplane.core.regions import Regions
from groundplane.core.segmentation import SegmentRequest
from groundplane.core.weights import (
    default_dtype,
    find_weights,
    load_strict,
    need_library,
    read_state,
    weights_key,
)
from groundplane.grounding.prompting import Prompting, Prompts

__all__ = ["SamOptions", "SamSegmenter"]

_NAME = "sam"
_WHO = "segmenter 'sam'"
# Heads of the mask decoder, in every published model; the weights do not show it.
_DECODER_HEADS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class SamOptions:
    """Options of `SamSegmenter`.

    Attributes:
        weights: A folder or `.safetensors` file, or a hub id; names as `segment_anything` or as
            transformers has them.
        revision: The commit of a hub id, 40 hexadecimal digits.
        offline: Fetch nothing.
        multimask: Let the network guess three masks a thing and take what it thinks best; else
            one. A box or several points are rarely ambiguous, a single point is.
        prompts_a_pass: Most prompts that the network is given at once.

    Raises:
        InputError: If `prompts_a_pass` is out of range.
    """

    weights: str
    revision: str = ""
    offline: bool = False
    multimask: bool = True
    prompts_a_pass: int = 64

    def __post_init__(self) -> None:
        if not 1 <= self.prompts_a_pass <= 4096:
            raise InputError(
                f"{_WHO}: option prompts_a_pass: expected 1 to 4096, got {self.prompts_a_pass}"
            )


class SamSegmenter:
    """Gives the mask of each thing that a box, points or embeddings point out.

    Each image is encoded once; encodings are kept in the cache of the process. The score is the
    network's own estimate of the overlap of its mask with the true one. On CUDA the image
    encoder runs in `dtype`, the small rest always in float32. What points at nothing in the
    image has an empty mask. Safe to use from several threads.

    Args:
        options: See `SamOptions`.
        device: Where it runs.
        dtype: Of the image encoder; see `core.weights.default_dtype`.

    Raises:
        PluginBrokenError: If `segment_anything` or torchvision is not installed.
        WeightsError: If the weights are not there, or not those of a SAM.
    """

    Options = SamOptions
    # ViT-B at 1024 pixels, counted.
    capabilities = Capabilities(
        prompts=frozenset({"box", "point", "embedding"}),
        masks=True,
        cost=972.0,
        licence="Apache-2.0",
    )

    def __init__(
        self, options: SamOptions, *, device: str = "cpu", dtype: torch.dtype | None = None
    ) -> None:
        need_library("torchvision", who=_WHO, extra="sam")
        library = need_library("segment_anything.modeling", who=_WHO, extra="sam")
        path = find_weights(
            options.weights, who=_WHO, revision=options.revision, offline=options.offline
        )
        state = _in_own_names(read_state(path, who=_WHO))
        network: Any = load_strict(
            _made(library, _shape(state)), state, who=_WHO, device=device, dtype=torch.float32
        )
        number = default_dtype(device, dtype)
        network.image_encoder.to(number)
        self._prompting = Prompting(
            _Network(network, multimask=options.multimask),
            who=_NAME,
            identity=(weights_key(path), device, number),
            prompts_a_pass=options.prompts_a_pass,
        )

    def segment(self, requests: Sequence[SegmentRequest]) -> list[Regions]:
        """Answer each request, in order; see `Segmenter.segment`.

        Raises:
            InputError: If embeddings have another width than the network's prompts.
        """
        return self._prompting.segment(requests)


class _Network:
    """The network as `Prompting` wants it."""

    def __init__(self, network: Any, *, multimask: bool) -> None:
        self._network = network
        self._multimask = multimask
        self.device: torch.device = network.pixel_mean.device
        self.embedding_width: int | None = network.prompt_encoder.embed_dim
        mean, std = (
            tuple((getattr(network, name).flatten() / 255).tolist())
            for name in ("pixel_mean", "pixel_std")
        )
        self.rule = PixelRule(
            fit="longest", size=network.image_encoder.img_size, square=True, mean=mean, std=std
        )

    def encode(self, image: Image) -> Float[Tensor, "1 d rows columns"]:
        encoder = self._network.image_encoder
        dtype = encoder.patch_embed.proj.weight.dtype
        batch = prepare_pixels([image.pixels], self.rule, device=self.device, dtype=dtype)
        features: Tensor = encoder(batch.values).float()
        return features

    def decode(
        self, features: Float[Tensor, "1 d rows columns"], prompts: Prompts
    ) -> tuple[Float[Tensor, "k c h w"], Float[Tensor, "k c"]]:
        encoder = self._network.prompt_encoder
        points = None if prompts.points is None else (prompts.points, prompts.labels)
        sparse, dense = encoder(points=points, boxes=prompts.boxes, masks=None)
        multimask = self._multimask
        if prompts.embeddings is not None:
            given = prompts.embeddings.to(sparse.dtype)
            # Without a box or point the encoder knows of one prompt only.
            sparse = torch.cat([sparse.expand(len(given), -1, -1), given], dim=1)
            dense = dense.expand(len(given), -1, -1, -1)
            multimask = False
        logits, quality = self._network.mask_decoder(
            image_embeddings=features,
            image_pe=encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=multimask,
        )
        return logits, quality


# The shape of the network ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shape:
    """What the weights say of the network's shape; sides in patches."""

    width: int
    depth: int
    heads: int
    mlp: int
    patch: int
    grid: int
    window: int
    whole_blocks: tuple[int, ...]
    prompt_width: int
    mask_width: int
    decoder_depth: int
    decoder_mlp: int
    decoder_shrink: int
    guesses: int
    quality_depth: int
    quality_width: int


def _shape(state: Mapping[str, Tensor]) -> _Shape:
    encoder, decoder = "image_encoder", "mask_decoder"
    try:
        _, grid, _, width = state[f"{encoder}.pos_embed"].shape
        depth = _count(state, rf"{encoder}\.blocks\.(\d+)\.")
        spans = [
            (state[f"{encoder}.blocks.{i}.attn.rel_pos_h"].shape[0] + 1) // 2 for i in range(depth)
        ]
        prompt_width = state["prompt_encoder.no_mask_embed.weight"].shape[1]
        layer = f"{decoder}.transformer.layers.0"
        quality = f"{decoder}.iou_prediction_head.layers"
        return _Shape(
            width=width,
            depth=depth,
            heads=width // state[f"{encoder}.blocks.0.attn.rel_pos_h"].shape[1],
            mlp=state[f"{encoder}.blocks.0.mlp.lin1.weight"].shape[0],
            patch=state[f"{encoder}.patch_embed.proj.weight"].shape[-1],
            grid=grid,
            window=min(spans),
            # A block that sees the whole canvas knows as many distances as it has patches.
            whole_blocks=tuple(i for i, span in enumerate(spans) if span == grid),
            prompt_width=prompt_width,
            mask_width=state["prompt_encoder.mask_downscaling.3.weight"].shape[0],
            decoder_depth=_count(state, rf"{decoder}\.transformer\.layers\.(\d+)\."),
            decoder_mlp=state[f"{layer}.mlp.lin1.weight"].shape[0],
            decoder_shrink=prompt_width
            // state[f"{layer}.cross_attn_token_to_image.q_proj.weight"].shape[0],
            guesses=state[f"{decoder}.mask_tokens.weight"].shape[0] - 1,
            quality_depth=_count(state, re.escape(quality) + r"\.(\d+)\.weight"),
            quality_width=state[f"{quality}.0.weight"].shape[0],
        )
    except (KeyError, ValueError, IndexError, ZeroDivisionError) as error:
        raise WeightsError(
            f"{_WHO}: these are not the weights of a SAM: {error} is missing or of a strange "
            f"shape; they begin with {listing(sorted(state), limit=3)}"
        ) from error


def _count(state: Mapping[str, Tensor], pattern: str) -> int:
    """How many layers of a kind there are."""
    return len({found[1] for name in state if (found := re.match(pattern, name))})


def _made(library: Any, shape: _Shape) -> nn.Module:
    """The network, with weights still to be put in."""
    side = shape.grid * shape.patch
    encoder = library.ImageEncoderViT(
        depth=shape.depth,
        embed_dim=shape.width,
        img_size=side,
        mlp_ratio=shape.mlp / shape.width,
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
        num_heads=shape.heads,
        patch_size=shape.patch,
        qkv_bias=True,
        use_rel_pos=True,
        global_attn_indexes=shape.whole_blocks,
        window_size=shape.window,
        out_chans=shape.prompt_width,
    )
    prompts = library.PromptEncoder(
        embed_dim=shape.prompt_width,
        image_embedding_size=(shape.grid, shape.grid),
        input_image_size=(side, side),
        mask_in_chans=shape.mask_width,
    )
    decoder = library.MaskDecoder(
        num_multimask_outputs=shape.guesses,
        transformer=library.TwoWayTransformer(
            depth=shape.decoder_depth,
            embedding_dim=shape.prompt_width,
            mlp_dim=shape.decoder_mlp,
            num_heads=_DECODER_HEADS,
            attention_downsample_rate=shape.decoder_shrink,
        ),
        transformer_dim=shape.prompt_width,
        iou_head_depth=shape.quality_depth,
        iou_head_hidden_dim=shape.quality_width,
    )
    network: nn.Module = library.Sam(encoder, prompts, decoder)
    return network


# Names of transformers -------------------------------------------------------------------------

_PLACES = "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"
_OWN_NAMES = (
    (r"^shared_image_embedding\.positional_embedding$", _PLACES),
    (r"^vision_encoder\.", "image_encoder."),
    (r"^image_encoder\.patch_embed\.projection\.", "image_encoder.patch_embed.proj."),
    (r"^image_encoder\.layers\.", "image_encoder.blocks."),
    (r"^image_encoder\.neck\.conv1\.", "image_encoder.neck.0."),
    (r"^image_encoder\.neck\.layer_norm1\.", "image_encoder.neck.1."),
    (r"^image_encoder\.neck\.conv2\.", "image_encoder.neck.2."),
    (r"^image_encoder\.neck\.layer_norm2\.", "image_encoder.neck.3."),
    (r"\.mask_embed\.conv1\.", ".mask_downscaling.0."),
    (r"\.mask_embed\.layer_norm1\.", ".mask_downscaling.1."),
    (r"\.mask_embed\.conv2\.", ".mask_downscaling.3."),
    (r"\.mask_embed\.layer_norm2\.", ".mask_downscaling.4."),
    (r"\.mask_embed\.conv3\.", ".mask_downscaling.6."),
    (r"\.point_embed\.", ".point_embeddings."),
    (r"\.upscale_conv1\.", ".output_upscaling.0."),
    (r"\.upscale_layer_norm\.", ".output_upscaling.1."),
    (r"\.upscale_conv2\.", ".output_upscaling.3."),
    (r"\.layer_norm_final_attn\.", ".norm_final_attn."),
    (r"\.layer_norm([1-4])\.", r".norm\1."),
)
# Heads of several layers, whose first and last have names of their own there.
_HEAD = re.compile(r"^(.*(?:hypernetworks_mlps\.\d+|iou_prediction_head))\.(.*)\.(weight|bias)$")


def _in_own_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights in the names of `segment_anything`, whichever of the two they came in."""
    if not any(name.startswith("vision_encoder.") for name in state):
        return dict(state)
    # The same table again, where a checkpoint holds it twice.
    twin = "prompt_encoder.shared_embedding.positional_embedding"
    first = state.get("shared_image_embedding.positional_embedding")
    if twin in state and (first is None or not torch.equal(first, state[twin])):
        raise WeightsError(f"{_WHO}: {twin} differs from shared_image_embedding")
    return {_own_name(name, state): tensor for name, tensor in state.items() if name != twin}


def _own_name(name: str, state: Mapping[str, Tensor]) -> str:
    head = _HEAD.match(name)
    if head is not None:
        base, layer, kind = head.groups()
        between = _count(state, re.escape(base) + r"\.layers\.(\d+)\.weight")
        places = {"proj_in": 0, "proj_out": between + 1}
        places |= {f"layers.{i}": i + 1 for i in range(between)}
        return f"{base}.layers.{places.get(layer, layer)}.{kind}"
    for pattern, own in _OWN_NAMES:
        name = re.sub(pattern, own, name)
    return name
