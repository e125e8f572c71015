"""A tiny GLM-4.1V with random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from groundplane.core.weights import need_library
from groundplane.testing.checkpoints import make_model, save_checkpoint
from groundplane.testing.language_checkpoints.tokenizers import WHO, byte_tokenizer, token_ids

__all__ = ["SAVERS", "save_glm4v"]

_PATCH = 14
_MARKS = (
    *("[gMASK]", "<sop>", "<|system|>", "<|user|>", "<|assistant|>", "<|observation|>"),
    *("<|begin_of_image|>", "<|end_of_image|>", "<|begin_of_video|>", "<|end_of_video|>"),
    *("<|image|>", "<|video|>", "<|begin_of_box|>", "<|end_of_box|>"),
)
# Turns as the published template writes them: a mark of the speaker, no mark of the end.
_TEMPLATE = (
    "[gMASK]<sop>{% for m in messages %}{{ '<|' + m['role'] + '|>\n' }}"
    "{% for part in m['content'] %}{% if part['type'] == 'image' %}"
    "<|begin_of_image|><|image|><|end_of_image|>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)


def save_glm4v(folder: str | Path, *, seed: int = 0) -> Path:
    """Save a tiny GLM-4.1V: patches of 14 by 14, a token for 4 of them, at most 8 a picture.

    Args:
        folder: It is made where it is not there.
        seed: Of the weights.

    Returns:
        The folder.
    """
    library = need_library("transformers", who=WHO, extra="models")
    tokenizer = byte_tokenizer(
        marks=_MARKS,
        template=_TEMPLATE,
        pad_token="<|endoftext|>",
        eos_token="<|endoftext|>",
        bos_token=None,
    )
    model = make_model(library.Glm4vForConditionalGeneration, _config(library, tokenizer), seed)
    area = 2 * (2 * _PATCH) ** 2  # of two frames, as pictures are counted
    shown = {"size": {"shortest_edge": area, "longest_edge": 8 * area}, "patch_size": _PATCH}
    processor = library.Glm4vProcessor(
        image_processor=library.Glm4vImageProcessor(**shown),
        tokenizer=tokenizer,
        video_processor=library.Glm4vVideoProcessor(**shown),
        chat_template=_TEMPLATE,
    )
    return save_checkpoint(folder, model, processor)


def _config(library: Any, tokenizer: Any) -> Any:
    vision = library.Glm4vVisionConfig(
        depth=1,
        hidden_size=16,
        num_heads=2,
        image_size=4 * _PATCH,
        patch_size=_PATCH,
        out_hidden_size=32,
        intermediate_size=48,
    )
    text = library.Glm4vTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=4096,
        rope_parameters={
            "rope_type": "default",
            "rope_theta": 10000.0,
            "partial_rotary_factor": 0.5,
            "mrope_section": [2, 1, 1],
        },
        **token_ids(tokenizer, pad_token_id="<|endoftext|>", eos_token_id="<|endoftext|>"),
    )
    return library.Glm4vConfig(
        vision_config=vision,
        text_config=text,
        **token_ids(
            tokenizer,
            image_token_id="<|image|>",
            video_token_id="<|video|>",
            image_start_token_id="<|begin_of_image|>",
            image_end_token_id="<|end_of_image|>",
            video_start_token_id="<|begin_of_video|>",
            video_end_token_id="<|end_of_video|>",
        ),
    )


SAVERS = {"glm4v": save_glm4v}
