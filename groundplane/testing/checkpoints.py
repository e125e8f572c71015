"""Tiny checkpoints with random weights, of the true classes of transformers, for tests.

Each has less than 1 MB, runs in a fraction of a second and is loaded by the same code as a real
one. What it finds means nothing: its scores are spread, and depend on the picture and the words.

    folder = save_grounding_dino(tmp_path / "weights")
    detector = groundplane.load("detectors", "grounding-dino", weights=str(folder))
"""

from __future__ import annotations

import contextlib
import io
import string
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from groundplane.core.weights import need_library

__all__ = [
    "WORDS",
    "byte_pairs",
    "make_model",
    "randomise",
    "save_checkpoint",
    "save_grounding_dino",
    "word_pieces",
]

# Words that every made-up vocabulary has whole; others are spelt in letters.
WORDS = (
    *("a", "an", "the", "of", "on", "in", "and", "with", "left", "right", "photo"),
    *("red", "green", "blue", "black", "white", "small", "large", "wooden"),
    *("person", "man", "woman", "dog", "cat", "car", "bus", "chair", "table", "cup", "thing"),
    *("bottle", "book", "tree", "sofa", "lamp", "face", "umbrella", "kite", "frisbee"),
)
_WHO = "groundplane.testing"


def save_grounding_dino(
    folder: str | Path,
    *,
    seed: int = 0,
    variant: Literal["grounding-dino", "mm-grounding-dino"] = "grounding-dino",
) -> Path:
    """Save a tiny Grounding DINO, with the Swin backbone and BERT of the published ones.

    Args:
        folder: It is made where it is not there.
        seed: Of the weights.
        variant: `mm-grounding-dino` for the class of the MMDetection checkpoints.

    Returns:
        The folder.
    """
    library = need_library("transformers", who=_WHO, extra=variant)
    vocabulary = word_pieces()
    backbone = library.SwinConfig(
        image_size=64,
        embed_dim=8,
        depths=[1, 1, 1, 1],
        num_heads=[1, 1, 2, 2],
        window_size=4,
        out_indices=[2, 3, 4],
    )
    text = library.BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=256,
    )
    shape = {"d_model": 32, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "num_queries": 30}
    shape |= {"encoder_layers": 1, "decoder_layers": 2}
    shape |= {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
    shape |= {"encoder_n_points": 2, "decoder_n_points": 2}
    family = "MMGroundingDino" if variant == "mm-grounding-dino" else "GroundingDino"
    config = getattr(library, f"{family}Config")(
        backbone_config=backbone, text_config=text, init_std=0.5, **shape
    )
    model = make_model(getattr(library, f"{family}ForObjectDetection"), config, seed)
    _spread(model)
    tokenizer = library.BertTokenizer(vocab=vocabulary)
    pictures = library.GroundingDinoImageProcessor(
        size={"shortest_edge": 72, "longest_edge": 120}, pad_size=None
    )
    processor = library.GroundingDinoProcessor(image_processor=pictures, tokenizer=tokenizer)
    return save_checkpoint(folder, model, processor)


def _spread(model: nn.Module) -> None:
    """Keep boxes and scores where the sigmoid is steep, so that they differ."""
    for name, weight in model.named_parameters():
        with torch.no_grad():
            if "bbox_embed" in name and "layers.2" in name:
                weight.mul_(0.05)
            if name.endswith("decoder.layer_norm.weight"):
                # Logits are dot products with the states of the words, in the one variant
                # divided by the root of the width and with a bias.
                weight.mul_(3.0 if "MM" in type(model).__name__ else 0.6)
            if "class_embed" in name and name.endswith("bias"):
                weight.fill_(-1.5)


def word_pieces() -> dict[str, int]:
    """A BERT vocabulary: words, letters and pieces, with the ids that Grounding DINO relies on.

    Source: transformers and IDEA-Research/GroundingDINO name the ids 101, 102, 1012 and 1029 of
    bert-base-uncased for the marks that part phrases.

    Examples:
        >>> [word_pieces()[word] for word in ("[CLS]", "[SEP]", ".", "?")]
        [101, 102, 1012, 1029]
    """
    fixed = {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]"}
    fixed |= {1012: ".", 1029: "?"}
    signs = [*string.ascii_lowercase, *string.digits, *"!#$%&'()*+,-/:;<=>@[]^_`{|}~"]
    pieces = [f"##{sign}" for sign in string.ascii_lowercase + string.digits]
    words = iter(dict.fromkeys([*WORDS, *signs, *pieces]))
    entries = [fixed.get(i) or next(words, f"[unused{i}]") for i in range(1030)]
    return {word: i for i, word in enumerate(entries)}


def byte_pairs(*, end: str = "", start: str = "") -> tuple[list[str], list[tuple[str, str]]]:
    """The tokens and merges of a byte-level BPE that has `WORDS` whole.

    Args:
        end: What marks the last letters of a word, such as CLIP's `</w>`.
        start: What marks the first letters of a word, such as GPT-2's `Ġ`.

    Returns:
        The tokens, each byte first, and the merges in their order.

    Examples:
        >>> tokens, merges = byte_pairs(end="</w>")
        >>> "dog</w>" in tokens, ("do", "g</w>") in merges
        (True, True)
    """
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    # The bytes that cannot be shown are written as the letters from 256 on (Radford et al., 2019).
    alphabet = [chr(b) for b in printable] + [chr(256 + i) for i in range(256 - len(printable))]
    tokens = dict.fromkeys(alphabet + [sign + end for sign in alphabet if end])
    merges: dict[tuple[str, str], None] = {}
    for word in WORDS:
        signs = [start, *word] if start else list(word)
        signs[-1] += end
        whole = signs[0]
        for sign in signs[1:]:
            merges[whole, sign] = None
            whole += sign
            tokens[whole] = None
    return list(tokens), list(merges)


def randomise(model: nn.Module, *, seed: int, gain: float = 1.0) -> None:
    """Fill a model with random weights that keep the size of what passes through.

    Initial weights of large models are too small for a tiny one: its output would be the same
    for every picture.

    Args:
        model: Its weights are changed.
        seed: The same seed gives the same weights.
        gain: Factor on the matrices.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            noise = torch.randn(weight.shape, generator=generator, dtype=weight.dtype)
            if weight.dim() > 1:
                fan_in = weight[0].numel()
                is_table = "embed" in name and "proj" not in name and weight.dim() == 2
                weight.copy_(noise * (0.5 if is_table else gain * fan_in**-0.5))
            elif name.endswith("bias"):
                weight.copy_(0.1 * noise)
            elif weight.dim() == 1:
                weight.copy_(1 + 0.1 * noise)


def make_model(model_class: Any, config: Any, seed: int) -> Any:
    """A model of a class of transformers with random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = model_class(config)
    randomise(model, seed=seed)
    return model.eval()


def save_checkpoint(folder: str | Path, model: Any, processor: Any) -> Path:
    """Save a model and its processor, as a hub publishes them; gives the folder."""
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    with contextlib.redirect_stderr(io.StringIO()):  # the progress bar of one small file
        model.save_pretrained(str(place))
    processor.save_pretrained(str(place))
    return place
