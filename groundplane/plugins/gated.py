"""A detector behind a gate: SigLIP judges whether a thing is in the picture at all.

Source: Zhai et al., Sigmoid Loss for Language Image Pre-Training, 2023: the probability of a pair
of picture and text is the sigmoid of their scaled and shifted cosine, each pair by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from groundplane.core.capabilities import Capabilities
from groundplane.core.checkpoints import read_settings
from groundplane.core.detection import DetectRequest, DetectResult
from groundplane.core.errors import InputError
from groundplane.core.feature_cache import image_key, shared_cache
from groundplane.core.feature_packing import pack_tensor
from groundplane.core.host import prepare
from groundplane.core.image import Image
from groundplane.core.options import read_options
from groundplane.core.pixels import PixelRule, prepare_pixels
from groundplane.core.weights import (
    default_dtype,
    find_weights,
    load_model,
    load_processor,
    need_library,
    weights_key,
)
from groundplane.grounding.presence import GuardedDetector

__all__ = ["GatedDetector", "GatedOptions", "SiglipGate"]

_WHO = "detector 'gated'"
# Resampling filters as Pillow numbers them, which preprocessor_config.json states.
_FILTERS: dict[object, Literal["bilinear", "bicubic"]] = {2: "bilinear", 3: "bicubic"}


@dataclass(frozen=True, slots=True, kw_only=True)
class GatedOptions:
    """Options of `GatedDetector`.

    Attributes:
        detector: Name of the detector behind the gate.
        options: A JSON file of that detector's own options: `{"option": value}`.
        weights: SigLIP's folder with `config.json` and `model.safetensors`, or a hub id; empty
            for no gate, negatives only.
        revision: Commit of the hub id, 40 hexadecimal digits.
        offline: Whether to take fetched weights only.
        min_presence: The least probability of what is kept.
        template: The sentence that a phrase is put in, at `{}`.
        negatives: Likenesses that are asked for along with the phrases; what answers one of
            them better is dropped.
        iou: How much a likeness must overlap what it takes away.

    Raises:
        InputError: If a value is out of range, or there is neither a gate nor a negative.
    """

    detector: str
    options: Path | None = None
    weights: str = ""
    revision: str = ""
    offline: bool = False
    min_presence: float = 0.01
    template: str = "This is a photo of {}."
    negatives: tuple[str, ...] = ()
    iou: float = 0.5

    def __post_init__(self) -> None:
        if not self.detector or self.detector == "gated":
            raise InputError(
                f"{_WHO}: option detector: expected the name of another detector, got "
                f"{self.detector!r}"
            )
        if not self.weights and not self.negatives:
            raise InputError(
                f"{_WHO}: expected option weights, a SigLIP checkpoint, or option negatives. "
                "Try: --option weights=FOLDER"
            )
        for name in ("min_presence", "iou"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise InputError(f"{_WHO}: option {name}: expected 0 to 1, got {value}")
        if self.template.count("{}") != 1:
            raise InputError(
                f"{_WHO}: option template: expected a text with one '{{}}' for the phrase, got "
                f"{self.template!r}"
            )


class GatedDetector:
    """Asks another detector, and takes away what is probably not in the picture at all.

    Args:
        options: See `GatedOptions`.
        device: Where the detector and the gate run.
        dtype: The number type of both; None leaves it to them.

    Raises:
        PluginNotFoundError, PluginBrokenError: If the detector cannot be had.
        WeightsError: If the gate's weights are not there, or are refused.
    """

    Options = GatedOptions
    # What the detector behind it takes is known once it is made.
    capabilities = Capabilities(prompts=frozenset({"text", "vocabulary"}), cost=float("inf"))

    def __init__(
        self, options: GatedOptions, *, device: str = "cpu", dtype: torch.dtype | None = None
    ) -> None:
        given = read_options(options.options, plugin=_WHO) if options.options else {}
        inner = prepare("detectors", options.detector, given).make(device=device, dtype=dtype)
        self._guarded = GuardedDetector(
            inner,
            gate=SiglipGate(options, device=device, dtype=dtype) if options.weights else None,
            min_presence=options.min_presence,
            negatives=options.negatives,
            iou=options.iou,
        )
        if self._guarded.capabilities is not None:
            self.capabilities = self._guarded.capabilities

    @property
    def vocabulary(self) -> tuple[str, ...] | None:
        """The detector's own."""
        return self._guarded.vocabulary

    def detect(self, requests: Sequence[DetectRequest]) -> list[DetectResult]:
        """Answer each request, in order."""
        return self._guarded.detect(requests)


class SiglipGate:
    """How probable SigLIP thinks it that a caption belongs to a picture.

    A phrase of more tokens than SigLIP reads is cut, as it was in training. Pictures and texts
    are encoded once while the shared cache holds them.

    Args:
        options: Its weights and template.
        device: Where it runs.
        dtype: Its number type; None: float32 on a CPU, bfloat16 on CUDA.

    Raises:
        PluginBrokenError: If transformers is not installed.
        WeightsError: If the weights are not there, or are refused.
    """

    def __init__(
        self, options: GatedOptions, *, device: str = "cpu", dtype: torch.dtype | None = None
    ) -> None:
        library = need_library("transformers", who=_WHO, extra="gated")
        folder = find_weights(
            options.weights, revision=options.revision, offline=options.offline, who=_WHO
        )
        self._template = options.template
        self._device = torch.device(device)
        self._dtype = default_dtype(device, dtype)
        self._model: Any = load_model(
            library.SiglipModel, folder, who=_WHO, device=device, dtype=self._dtype
        )
        self._tokenizer = load_processor(library.AutoTokenizer, folder, who=_WHO)
        self._rule = _rule(folder, self._model.config.vision_config.image_size)
        self._key = ("siglip", weights_key(folder), str(self._device), str(self._dtype))

    @torch.inference_mode()
    def presence(self, requests: Sequence[DetectRequest]) -> list[tuple[float, ...]]:
        """For each request the probability of each of its phrases, in [0, 1]."""
        scale, bias = self._model.logit_scale.float().exp(), self._model.logit_bias.float()
        pairs = []
        for request in requests:
            texts = [self._text(phrase) for phrase in request.phrases]
            if texts:
                logits = torch.stack(texts) @ self._image(request.image) * scale + bias
                pairs.append(logits.sigmoid())
        # One transfer for all.
        flat = torch.cat(pairs).cpu().tolist() if pairs else []
        ends = iter(flat)
        return [tuple(next(ends) for _ in request.phrases) for request in requests]

    def _image(self, image: Image) -> Float[Tensor, " d"]:
        def make() -> Tensor:
            batch = prepare_pixels(
                [image.pixels], self._rule, device=self._device, dtype=self._dtype
            )
            return _unit(self._model.get_image_features(pixel_values=batch.values).pooler_output[0])

        key = (*self._key, "image", image_key(image))
        return shared_cache().get_or_make(key, make, packing=pack_tensor(self._device))

    def _text(self, phrase: str) -> Float[Tensor, " d"]:
        sentence = self._template.format(phrase.strip())

        def make() -> Tensor:
            # Always of full length: so SigLIP was trained, and its last token is what is read.
            limit = self._model.config.text_config.max_position_embeddings
            made = self._tokenizer(
                [sentence], padding="max_length", max_length=limit, truncation=True
            )
            ids = torch.tensor(made["input_ids"], device=self._device)
            return _unit(self._model.get_text_features(input_ids=ids).pooler_output[0])

        key = (*self._key, "text", sentence)
        return shared_cache().get_or_make(key, make, packing=pack_tensor(self._device))


def _unit(features: Float[Tensor, " d"]) -> Float[Tensor, " d"]:
    wide = features.float()
    return wide.div(wide.norm())


def _rule(folder: Path, side: int) -> PixelRule:
    """How a checkpoint wants its pictures, from its preprocessor_config.json."""
    path = folder / "preprocessor_config.json"
    settings = read_settings(path, who=_WHO) if path.is_file() else {}
    try:
        mean, std = (
            tuple(float(v) for v in settings.get(name) or (0.5, 0.5, 0.5))
            for name in ("image_mean", "image_std")
        )
        red, green, blue = mean
        return PixelRule(
            fit="stretch",
            size=side,
            filter=_FILTERS[settings.get("resample", 3)],
            mean=(red, green, blue),
            std=(std[0], std[1], std[2]),
        )
    except (TypeError, ValueError, LookupError) as error:
        raise InputError(
            f"{_WHO}: {path}: expected image_mean and image_std as three numbers and a resample "
            f"of 2 or 3"
        ) from error
