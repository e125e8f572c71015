"""Texts and pictures as a mixture-of-features model takes them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, BatchFeature

from groundplane.core.checkpoints import read_settings
from groundplane.core.errors import InputError, WeightsError, listing
from groundplane.core.features import View
from groundplane.core.image import Image
from groundplane.core.views import view_pixels
from groundplane.core.weights import load_processor
from groundplane.mof.configuration import view_from_json, view_to_json

__all__ = ["IMAGE_TOKEN", "MofProcessor"]

IMAGE_TOKEN = "<image>"
_FILE = "processor_config.json"
_WHO = "mof"
# What a file with another number would make of a text.
_MOST_TOKENS = 1_000_000


class MofProcessor:
    """Makes of texts and pictures what `MofForConditionalGeneration` reads.

    In a text each picture has one placeholder, `<image>`, which becomes as many as the picture
    has tokens; nothing is put before or after it, as in LLaVA.

    Args:
        tokenizer: A tokenizer of transformers that has the placeholder as a token of its own.
        view: What all towers see of a picture.
        tokens: Tokens of a picture, as the fusion reports.
        image_token: The placeholder.

    Raises:
        InputError: If the tokenizer has no such token, or there is not at least one token.
    """

    def __init__(
        self, tokenizer: Any, *, view: View, tokens: int, image_token: str = IMAGE_TOKEN
    ) -> None:
        known = tokenizer.get_vocab()
        if image_token not in known:
            raise InputError(
                f"{_WHO}: the tokenizer has no token {image_token!r}, which stands for a picture; "
                f"add it: tokenizer.add_tokens([{image_token!r}], special_tokens=True)"
            )
        if not 1 <= tokens <= _MOST_TOKENS:
            raise InputError(
                f"{_WHO}: tokens of a picture: expected 1 to {_MOST_TOKENS}, got {tokens}"
            )
        self.tokenizer = tokenizer
        self.view = view
        self.tokens = tokens
        self.image_token = image_token
        self.image_token_id = int(known[image_token])

    def __call__(
        self,
        text: str | Sequence[str],
        images: Sequence[Image] | Sequence[Sequence[Image]] | None = None,
        *,
        padding_side: str = "left",
        add_special_tokens: bool = True,
    ) -> BatchFeature:
        """Make a batch.

        Args:
            text: One text or several.
            images: The pictures of all texts in their order, or a list of them a text.
            padding_side: Where shorter texts are filled: `left` to generate, `right` to train.
            add_special_tokens: Whether the tokenizer puts its own beginning before a text.

        Returns:
            `input_ids` and `attention_mask`, and `pixel_values` where there are pictures, on the
            CPU; it has `.to(device)`.

        Raises:
            InputError: If texts and pictures do not fit.
        """
        texts = [text] if isinstance(text, str) else list(text)
        pictures = self._matched(texts, images)
        whole = [one.replace(self.image_token, self.image_token * self.tokens) for one in texts]
        rows = [
            self.tokenizer(one, add_special_tokens=add_special_tokens)["input_ids"] for one in whole
        ]
        batch: dict[str, Any] = self._padded(rows, padding_side)
        if pictures:
            batch["pixel_values"] = view_pixels(pictures, self.view)
        return BatchFeature(batch)

    def apply_chat_template(self, messages: Sequence[Mapping[str, Any]], **settings: Any) -> str:
        """Word a conversation as the tokenizer's template does, or plainly where it has none.

        Args:
            messages: `role` and `content`; the content is text, or a list of parts of the type
                `image` and `text`, as transformers has it.
            **settings: For the template; `add_generation_prompt` unless stated.

        Returns:
            The text, with one placeholder a picture.

        Raises:
            InputError: If a message or a part of it is of no known form.
        """
        contents = [self._flat(message) for message in messages]
        said = [{**m, "content": words} for m, words in zip(messages, contents, strict=True)]
        settings = {"add_generation_prompt": True, "tokenize": False, **settings}
        if getattr(self.tokenizer, "chat_template", None):
            return str(self.tokenizer.apply_chat_template(said, **settings))
        # The roles of LLaVA-1.5's conversations (Liu et al., 2023).
        names = {"user": "USER", "assistant": "ASSISTANT"}
        turns = [f"{names.get(m['role'], m['role'].upper())}: {m['content']}" for m in said]
        return " ".join([*turns, "ASSISTANT:"] if settings["add_generation_prompt"] else turns)

    def batch_decode(self, ids: Any, *, skip_special_tokens: bool = True) -> list[str]:
        """Texts of tokens, without placeholders and other special ones unless asked for."""
        return list(self.tokenizer.batch_decode(ids, skip_special_tokens=skip_special_tokens))

    def decode(self, ids: Any, *, skip_special_tokens: bool = True) -> str:
        """The text of tokens."""
        return str(self.tokenizer.decode(ids, skip_special_tokens=skip_special_tokens))

    def save_pretrained(self, folder: str | Path) -> None:
        """Save it beside the model, as JSON."""
        place = Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        self.tokenizer.save_pretrained(str(place))
        told = {
            "processor_class": "MofProcessor",
            "view": view_to_json(self.view),
            "tokens": self.tokens,
            "image_token": self.image_token,
        }
        (place / _FILE).write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> MofProcessor:
        """Load what `save_pretrained` saved.

        Raises:
            WeightsError: If a file is missing, malformed or refused.
        """
        place = Path(folder)
        path = place / _FILE
        if not path.is_file():
            raise WeightsError(f"{_WHO}: {place} has no {_FILE}; save the processor there too")
        told = read_settings(path, who=_WHO)
        tokens, image_token = told.get("tokens"), told.get("image_token", IMAGE_TOKEN)
        if (
            not isinstance(tokens, int)
            or isinstance(tokens, bool)
            or not isinstance(image_token, str)
        ):
            raise WeightsError(
                f"{_WHO}: {path}: expected tokens to be a whole number and image_token a text, "
                f"got {tokens!r} and {image_token!r}"
            )
        view = view_from_json(told.get("view", {}))
        tokenizer = load_processor(AutoTokenizer, place, who=_WHO)
        return cls(tokenizer, view=view, tokens=tokens, image_token=image_token)

    def _matched(
        self,
        texts: Sequence[str],
        images: Any,
    ) -> list[Image]:
        """The pictures in order, if there is one placeholder for each."""
        places = [text.count(self.image_token) for text in texts]
        given = _pictures(images)
        if all(isinstance(one, Image) for one in given):
            if sum(places) != len(given):
                raise InputError(
                    f"{_WHO}: expected {len(given)} placeholders {self.image_token}, one a "
                    f"picture, got {sum(places)} in {len(texts)} texts"
                )
            return given
        groups = [list(group) for group in given]
        if len(groups) != len(texts):
            raise InputError(
                f"{_WHO}: expected a list of pictures for each of {len(texts)} texts, got "
                f"{len(groups)}"
            )
        for index, (count, group) in enumerate(zip(places, groups, strict=True)):
            if count != len(group):
                raise InputError(
                    f"{_WHO}: text {index}: expected {len(group)} placeholders "
                    f"{self.image_token}, one a picture, got {count}"
                )
        return [image for group in groups for image in group]

    def _padded(self, rows: Sequence[Sequence[int]], side: str) -> dict[str, torch.Tensor]:
        if side not in ("left", "right"):
            raise InputError(f"{_WHO}: padding_side: expected left or right, got {side!r}")
        filler = self.tokenizer.pad_token_id
        filler = self.tokenizer.eos_token_id if filler is None else filler
        longest = max(map(len, rows), default=0)
        ids = torch.full((len(rows), longest), filler or 0, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for index, row in enumerate(rows):
            start = longest - len(row) if side == "left" else 0
            ids[index, start : start + len(row)] = torch.tensor(row, dtype=torch.long)
            mask[index, start : start + len(row)] = 1
        return {"input_ids": ids, "attention_mask": mask}

    def _flat(self, message: Any) -> str:
        told = message if isinstance(message, Mapping) else {}
        content = told.get("content")
        if isinstance(content, str) and isinstance(told.get("role"), str):
            return content
        parts = content if isinstance(content, Sequence) else [None]
        said: list[str] = []
        for part in parts:
            kind = part.get("type") if isinstance(part, Mapping) else None
            words = part.get("text") if isinstance(part, Mapping) else None
            if kind == "image":
                said.append(self.image_token + "\n")
            elif kind == "text" and isinstance(words, str):
                said.append(words)
            else:
                raise InputError(
                    f"{_WHO}: a message: expected a role and a content of text or of parts of the "
                    f"type {listing(['image', 'text'])}, got {part if part else message!r}"
                )
        return "".join(said)


def _pictures(images: Any) -> list[Any]:
    """Pictures, or lists of them; those of other libraries are refused by name."""
    given = list(images) if isinstance(images, list | tuple) else [images]
    given = [] if images is None else given
    listed = isinstance(images, list | tuple) or images is None
    flat = [p for one in given for p in (one if isinstance(one, list | tuple) else [one])]
    wrong = sorted({type(p).__name__ for p in flat if not isinstance(p, Image)})
    if wrong or not listed:
        got = listing(wrong) if wrong else "one without a list"
        raise InputError(
            f"{_WHO}: images: expected a list of pictures as read_image of groundplane.core.media "
            f"gives them, got {got}"
        )
    return given
