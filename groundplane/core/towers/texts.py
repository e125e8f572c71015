"""The text side of contrastive checkpoints: texts in the space of the pictures' summaries."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from groundplane.core.checkpoints import read_settings
from groundplane.core.errors import EncoderError, InputError
from groundplane.core.weights import load_model, load_processor, need_library

__all__ = ["TextTower"]

# Texts that are read at a time.
_STEP = 64


class _Kind(NamedTuple):
    """A whole model; SigLIP reads its texts at full length, without a mask, as in training."""

    model: str
    masked: bool


_KINDS = {"clip": _Kind("CLIPModel", True), "siglip": _Kind("SiglipModel", False)}


class TextTower:
    """Embeds texts; read from disk when it is first asked.

    Args:
        folder: A whole checkpoint of transformers, with its tokenizer.
        kind: Its `model_type`.
        who: Whose weights they are, for messages.
        device: Where it runs.
        dtype: Its number type.
    """

    def __init__(
        self, folder: Path, kind: str, *, who: str, device: str | torch.device, dtype: torch.dtype
    ) -> None:
        self._folder = folder
        self._kind = _KINDS[kind]
        self._who = who
        self._device = torch.device(device)
        self._dtype = dtype
        self._lock = threading.Lock()
        self._model: Any = None
        self._tokenizer: Any = None

    @classmethod
    def of(
        cls, folder: Path, *, who: str, device: str | torch.device, dtype: torch.dtype
    ) -> TextTower | None:
        """The text tower of a checkpoint, or None if it has none."""
        kind = read_settings(folder / "config.json", who=who).get("model_type")
        if kind not in _KINDS:
            return None
        return cls(folder, str(kind), who=who, device=device, dtype=dtype)

    @torch.inference_mode()
    def embed(self, texts: Sequence[str]) -> Float[Tensor, "n e"]:
        """Texts as vectors of length 1, float32.

        Raises:
            WeightsError: If the tokenizer is missing.
            InputError: If a text is empty, or has more tokens than the network reads.
            EncoderError: If an embedding is not finite.
        """
        self._load()
        rows = [self._read(texts[i : i + _STEP]) for i in range(0, len(texts), _STEP)]
        if not rows:
            return torch.zeros(0, self._width(), device=self._device)
        made = torch.cat(rows).float()
        unit: Tensor = made / made.norm(dim=1, keepdim=True)
        if not bool(unit.isfinite().all()):
            raise EncoderError(
                f"{self._who}: expected finite embeddings of texts, got NaN or infinity; its "
                "weights may be damaged"
            )
        return unit

    def _load(self) -> None:
        with self._lock:
            if self._model is not None:
                return
            library = need_library("transformers", who=self._who, extra="features")
            self._tokenizer = load_processor(library.AutoTokenizer, self._folder, who=self._who)
            model = load_model(
                getattr(library, self._kind.model), self._folder, who=self._who, dtype=self._dtype
            )
            del model.vision_model  # the encoder has its own
            self._model = model.to(self._device)

    def _width(self) -> int:
        text = self._model.config.text_config
        width = getattr(text, "projection_size", None) or text.hidden_size
        return int(self._model.projection_dim if self._kind.masked else width)

    def _read(self, texts: Sequence[str]) -> Float[Tensor, "n e"]:
        limit = int(self._model.config.text_config.max_position_embeddings)
        ids: list[list[int]] = self._tokenizer(list(texts))["input_ids"]
        for text, row in zip(texts, ids, strict=True):
            if not text.strip():
                raise InputError(f"{self._who}: an empty text says nothing to embed")
            if len(row) > limit:
                raise InputError(
                    f"{self._who}: the text {text[:80]!r} has {len(row)} tokens; it reads at most "
                    f"{limit}; shorten it"
                )
        filler = self._tokenizer.pad_token_id or 0
        rows = [[*row, *[filler] * (limit - len(row))] for row in ids]
        given = {"input_ids": torch.tensor(rows, device=self._device)}
        if self._kind.masked:
            mask = [[1] * len(row) + [0] * (limit - len(row)) for row in ids]
            given["attention_mask"] = torch.tensor(mask, device=self._device)
        features: Tensor = self._model.get_text_features(**given).pooler_output
        return features
