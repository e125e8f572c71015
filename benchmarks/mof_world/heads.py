"""Language models that answer questions about pictures, with one or two frozen towers each.

All go the way of the product: `build_mof` puts a language model, encoders and a fusion together,
and `groundplane.training` trains it on conversations in LLaVA's form.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mof_world.pictures import ATTRIBUTES, Pictures, question
from numpy.typing import NDArray
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from groundplane.core.fusion.operator import FusionRule
from groundplane.core.host import load
from groundplane.core.image import FrameMap, Image, Source
from groundplane.core.views import view_pixels
from groundplane.mof.building import build_mof
from groundplane.training.configuration import StageRule
from groundplane.training.stage import Learner, read_stage_data, train_stage

__all__ = ["HEADS", "Head", "TrainedHead", "answers", "encode", "train_head", "write_conversations"]

_TURNS = 4  # questions a conversation
_BATCH, _RATE = 32, 5e-3
# Of weights as they begin. The usual 0.02 is for widths of a thousand: at this one signals die out.
_SPREAD = 0.1
_TEMPLATE = (
    "{% for m in messages %}{{ m['content'] }}"
    "{% if m['role'] == 'assistant' %} </s>{% endif %} {% endfor %}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What a language model sees with.

    Attributes:
        name: For tables.
        towers: Folders of towers, `clip`, `dinov2` or `untrained`, in the order of fusion.
        rule: How they are fused; of one tower it is one adapter.
    """

    name: str
    towers: tuple[str, ...]
    rule: FusionRule


def _head(name: str, *towers: str, fusion: str = "interleaved", **options: object) -> Head:
    return Head(name=name, towers=towers, rule=FusionRule(name=fusion, options=options))


_BOTH = ("clip", "dinov2")
HEADS: tuple[Head, ...] = (
    _head("contrastive", "clip"),
    _head("contrastive twice", "clip", "clip"),
    _head("contrastive + untrained", "clip", "untrained"),
    _head("self-distilled", "dinov2"),
    _head("additive 0.5", *_BOTH, fusion="additive", shares=(0.5, 0.5)),
    _head("additive 0.25", *_BOTH, fusion="additive", shares=(0.25, 0.75)),
    _head("interleaved", *_BOTH),
    _head("channel_concat", *_BOTH, fusion="channel_concat"),
    _head("saliency", *_BOTH, fusion="saliency"),
    _head("gated", *_BOTH, fusion="gated"),
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainedHead:
    """A trained model, with what `groundplane.training` reports of the stage."""

    model: Any
    processor: Any
    report: dict[str, Any]


def encode(pictures: Pictures, towers: Path, name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens and summaries of pictures, through the encoder plugin.

    Args:
        pictures: What is encoded.
        towers: Folder of the towers of one seed.
        name: Of the tower.

    Returns:
        `n cells width` and `n e`.
    """
    grid = _encoder(towers, name).encode(_images(pictures))
    if grid.summary is None:
        raise RuntimeError(f"tower {name} gives no summary")
    return grid.tokens, grid.summary


def write_conversations(pictures: Pictures, folder: Path, *, seed: int) -> Path:
    """Write pictures as PNG and conversations about them as LLaVA's JSON.

    Each conversation asks some of the questions, in any order, with the choices in any order.

    Args:
        pictures: Seen in training.
        folder: For all files.
        seed: Of questions and orders.

    Returns:
        The JSON file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    draws = np.random.default_rng(seed)
    table = []
    for index in range(len(pictures)):
        name = f"{index:05d}.png"
        cv2.imwrite(str(folder / name), pictures.pixels[index, :, :, ::-1])
        turns: list[dict[str, str]] = []
        for attribute in draws.permutation(list(ATTRIBUTES))[:_TURNS]:
            asked, answer = _asked(pictures, str(attribute), index, draws)
            turns.append({"from": "human", "value": ("" if turns else "<image>\n") + asked})
            turns.append({"from": "gpt", "value": answer})
        table.append({"id": str(index), "image": name, "conversations": turns})
    path = folder / "conversations.json"
    path.write_text(json.dumps(table))
    return path


def train_head(
    head: Head, towers: Path, data: Path, folder: Path, *, steps: int, seed: int
) -> TrainedHead:
    """Train adapters and a new language model on conversations; the towers stay as they are.

    Args:
        head: What it sees with.
        towers: Folder of the towers of one seed.
        data: What `write_conversations` wrote.
        folder: For what training writes; it must be the run's own.
        steps: Of the optimiser.
        seed: Of all weights that learn, and of the order of samples.
    """
    tokenizer = _tokenizer()
    torch.manual_seed(seed)
    text = LlamaForCausalLM(_llama_config(len(tokenizer)))
    encoders = [_encoder(towers, name) for name in head.towers]
    model, processor = build_mof(text, encoders, head.rule, tokenizer=tokenizer, seed=seed)
    rule = StageRule(
        data=data,
        train="language_model",
        lr=_RATE,
        batch=_BATCH,
        micro_batch=_BATCH,
        steps=steps,
        save_every=steps,
        log_every=max(1, steps // 20),
    )
    cache = data.parent / "features"
    learner = Learner(model=model, tokenizer=tokenizer, cache=cache, seed=seed)
    stage = read_stage_data(rule, seed=seed)
    report = train_stage(learner, head.name, rule, data=stage, folder=folder)
    return TrainedHead(model=model, processor=processor, report=report)


@torch.inference_mode()
def answers(trained: TrainedHead, pictures: Pictures, *, batch: int = 256) -> NDArray[np.bool_]:
    """Ask every question of every picture, with the two choices of it in a fixed order.

    A question is answered by that choice which the model holds for likelier.

    Args:
        trained: Who is asked.
        pictures: Not those of training.
        batch: Questions at a time.

    Returns:
        Whether the answer is right, one row a picture, one column an attribute.
    """
    canvases = view_pixels(_images(pictures), trained.processor.view)
    features = trained.model.encode(canvases)
    right = np.zeros((len(pictures), len(ATTRIBUTES)), bool)
    words = trained.processor.tokenizer.get_vocab()
    for column, attribute in enumerate(ATTRIBUTES):
        draws = np.random.default_rng(column)
        asked = [_asked(pictures, attribute, i, draws, fixed=True) for i in range(len(pictures))]
        for start in range(0, len(pictures), batch):
            part = asked[start : start + batch]
            scores = _scores(
                trained, [q for q, _ in part], [f[start : start + batch] for f in features]
            )
            pairs = torch.tensor([[words[w] for w in _choices(q)] for q, _ in part])
            best = scores.gather(1, pairs).argmax(1).tolist()
            for row, ((text, truth), choice) in enumerate(zip(part, best, strict=True)):
                right[start + row, column] = _choices(text)[choice] == truth
    return right


def _scores(
    trained: TrainedHead, texts: Sequence[str], features: list[torch.Tensor]
) -> torch.Tensor:
    """Scores of the next token."""
    place = trained.processor.image_token * trained.processor.tokens
    prompts = [f"{place}\n{text} " for text in texts]
    made = trained.processor.tokenizer(prompts, padding=True, return_tensors="pt")
    result = trained.model(
        input_ids=made["input_ids"],
        attention_mask=made["attention_mask"],
        tower_features=features,
        logits_to_keep=1,
    )
    scores: torch.Tensor = result.logits[:, -1]
    return scores


def _asked(
    pictures: Pictures,
    attribute: str,
    index: int,
    draws: np.random.Generator,
    *,
    fixed: bool = False,
) -> tuple[str, str]:
    """A question about a picture and its answer; the wrong choice is any other word."""
    truth = pictures.word(attribute, index)
    others = [word for word in ATTRIBUTES[attribute] if word != truth]
    choices = [truth, others[draws.integers(len(others))]]
    if fixed:
        choices.sort(key=ATTRIBUTES[attribute].index)
    elif draws.random() < 0.5:
        choices.reverse()
    return question(attribute, *choices), truth


def _choices(asked: str) -> tuple[str, str]:
    words = asked.split()
    place = words.index("or")
    return words[place - 1], words[place + 1]


def _images(pictures: Pictures) -> list[Image]:
    made = []
    for pixels in pictures.pixels:
        source = Source(name="rendered", content_hash=sha256(pixels.tobytes()).hexdigest())
        made.append(Image(pixels=pixels, source=source, frame_map=FrameMap.identity()))
    return made


def _encoder(towers: Path, name: str) -> Any:
    plugin = "dinov2" if name == "untrained" else name
    return load("encoders", plugin, device="cpu", weights=str(towers / name), batch=256)


def _tokenizer() -> PreTrainedTokenizerFast:
    """One token a word."""
    said = {word for words in ATTRIBUTES.values() for word in words}
    for attribute in ATTRIBUTES:
        said |= set(question(attribute, "or", "or").split())
    table = {word: i for i, word in enumerate(["<pad>", "</s>", "<unk>", *sorted(said)])}
    words = Tokenizer(WordLevel(table, unk_token="<unk>"))
    words.pre_tokenizer = WhitespaceSplit()
    made = PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        padding_side="left",
    )
    made.chat_template = _TEMPLATE
    return made


def _llama_config(words: int) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=words + 1,  # and the placeholder of pictures
        hidden_size=48,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=256,
        initializer_range=_SPREAD,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=1,
    )
