"""A tiny model and tiny data to train on, in a second."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image
from tiny_language import make_llama, make_tokenizer

from groundplane.core.features import View
from groundplane.core.fusion.operator import FusionRule
from groundplane.mof.building import build_mof
from groundplane.testing.encoders import make_tower
from groundplane.training.stage import Learner

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (40, 60, 220), "white": (240,) * 3}


def make_learner(
    *, chat: bool = False, name: str = "interleaved", cache: Path | None = None
) -> Any:
    """Two towers of random patches, a Llama of two layers."""
    tokenizer = make_tokenizer(chat)
    towers = [make_tower("one", grid=(2, 2)), make_tower("two", grid=(2, 2), seed=1)]
    model, processor = build_mof(
        make_llama(vocabulary=len(tokenizer)),
        towers,
        FusionRule(),
        tokenizer=tokenizer,
        view=View(size=32),
    )
    return Learner(model=model, tokenizer=processor.tokenizer, cache=cache)


@contextmanager
def small_heap() -> Iterator[None]:
    """Let garbage be looked for among new objects only: accelerate does it after every training,
    and among the objects of a whole test session it takes longer than a tiny training."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def save_data(folder: Path, *, count: int = 8, text: int = 0, name: str = "data.json") -> Path:
    """Pictures of one colour and a question about it; then samples of text alone."""
    folder.mkdir(exist_ok=True)
    items: list[dict[str, Any]] = []
    for place in range(count):
        colour = list(COLOURS)[place % len(COLOURS)]
        picture = f"{colour}{place}.png"
        Image.new("RGB", (40 + place, 32), COLOURS[colour]).save(folder / picture)
        items.append({"id": place, "image": picture, "conversations": _talk(place, colour)})
    for place in range(text):
        items.append({"id": f"text {place}", "conversations": _talk(place, "a book", bare=True)})
    (folder / name).write_text(json.dumps(items))
    return folder / name


def _talk(place: int, answer: str, *, bare: bool = False) -> list[dict[str, str]]:
    question = "the thing " * (place % 3) + "of the photo"
    shown = "" if bare else "<image>\n"
    return [{"from": "human", "value": shown + question}, {"from": "gpt", "value": answer}]
