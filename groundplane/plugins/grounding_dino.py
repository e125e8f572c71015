"""Grounding DINO and MM Grounding DINO: any phrases, through the classes of transformers.

A picture is encoded once; what reads the prompt runs again for every prompt. Phrases share a
prompt where its length allows, and each is told by its own tokens. The network lets the phrases
of a prompt influence one another a little through the picture; `apart=true` asks each by itself.

The attention layers that take most of the time are replaced, in this one instance, by ones that
compute the same sums faster (`grounding.dino_network`).

Sources: Liu et al., Grounding DINO, 2023; Zhao et al., MM-Grounding-DINO, 2024.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from groundplane.core.capabilities import Capabilities
from groundplane.core.checkpoints import read_settings
from groundplane.core.detection import DetectRequest, DetectResult
from groundplane.core.errors import WeightsError
from groundplane.core.image import Image
from groundplane.core.pixels import PixelRule
from groundplane.core.weights import (
    default_dtype,
    find_weights,
    load_model,
    load_processor,
    need_library,
    weights_key,
)
from groundplane.grounding.dino_network import DinoNetwork
from groundplane.grounding.prompted import (
    PromptedDetector,
    PromptedSettings,
    check_ranges,
    encoder_of,
)

__all__ = ["GroundingDinoDetector", "GroundingDinoOptions", "MMGroundingDinoDetector"]

# Of ImageNet; used where a checkpoint says nothing.
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True, slots=True, kw_only=True)
class GroundingDinoOptions:
    """Options of `GroundingDinoDetector` and `MMGroundingDinoDetector`.

    Attributes:
        weights: A folder with `config.json` and `model.safetensors`, or a hub id.
        revision: Commit of the hub id, 40 hexadecimal digits.
        offline: Whether to take fetched weights only.
        threshold: Least score where a request states none of its own.
        floor: Least score of a candidate.
        overlap: Boxes of a phrase with a larger intersection over union are one thing; 1: none.
        most: Most candidates of a phrase, the best ones.
        apart: Ask each phrase in a prompt of its own.
        shortest: Shorter side to which pictures are resized, pixels; 0: as the checkpoint says.
        longest: Most that the longer side may then be, pixels; 0: as the checkpoint says.
        multiple: Pad pictures to a multiple of this, pixels, so that more of them can be run
            together; with more than 1 results differ a little from those without padding.
        batch: Most pictures that are run together.

    Raises:
        InputError: If a value is out of range.
    """

    weights: str
    revision: str = ""
    offline: bool = False
    threshold: float = 0.25
    floor: float = 0.05
    overlap: float = 0.8
    most: int = 100
    apart: bool = False
    shortest: int = 0
    longest: int = 0
    multiple: int = 1
    batch: int = 8

    def __post_init__(self) -> None:
        check_ranges(self, who="Grounding DINO")


class GroundingDinoDetector:
    """Finds any phrases with Grounding DINO.

    The score of a box for a phrase is the network's own for the phrase's best token, in [0, 1],
    and no probability. Safe to use from several threads.

    Args:
        options: See `GroundingDinoOptions`.
        device: Where the network runs and the regions' tensors are put.
        dtype: Number type of the large products; None: float32 on a CPU, bfloat16 on CUDA.
            Places and sums stay in float32.

    Raises:
        PluginBrokenError: If transformers is not installed, or lays the network out unlike any
            version known.
        WeightsError: If the weights are not there, or are refused.
    """

    Options = GroundingDinoOptions
    # Grounding DINO-T at 800 by 1333 pixels with 20 tokens, counted.
    capabilities = Capabilities(
        prompts=frozenset({"text"}), cost=820.0, joint=True, licence="Apache-2.0"
    )

    def __init__(
        self,
        options: GroundingDinoOptions,
        *,
        device: str = "cpu",
        dtype: torch.dtype | None = None,
    ) -> None:
        self._expert = _make("grounding-dino", options, device=device, dtype=dtype)

    @property
    def vocabulary(self) -> None:
        """None: it takes any text."""
        return None

    def detect(self, requests: Sequence[DetectRequest]) -> list[DetectResult]:
        """Answer each request, in order."""
        return self._expert.detect(requests)

    def prefetch(self, images: Sequence[Image]) -> None:
        """Encode pictures before anything is asked of them."""
        self._expert.prefetch(images)


class MMGroundingDinoDetector:
    """Finds any phrases with MM Grounding DINO, the open training of the same network.

    All else is as for `GroundingDinoDetector`.
    """

    Options = GroundingDinoOptions
    capabilities = GroundingDinoDetector.capabilities

    def __init__(
        self,
        options: GroundingDinoOptions,
        *,
        device: str = "cpu",
        dtype: torch.dtype | None = None,
    ) -> None:
        self._expert = _make("mm-grounding-dino", options, device=device, dtype=dtype)

    @property
    def vocabulary(self) -> None:
        """None: it takes any text."""
        return None

    def detect(self, requests: Sequence[DetectRequest]) -> list[DetectResult]:
        """Answer each request, in order."""
        return self._expert.detect(requests)

    def prefetch(self, images: Sequence[Image]) -> None:
        """Encode pictures before anything is asked of them."""
        self._expert.prefetch(images)


_CLASSES = {
    "grounding-dino": "GroundingDinoForObjectDetection",
    "mm-grounding-dino": "MMGroundingDinoForObjectDetection",
}


def _make(
    name: str, options: GroundingDinoOptions, *, device: str, dtype: torch.dtype | None
) -> PromptedDetector:
    """What both detectors are."""
    who = f"detector {name!r}"
    library = need_library("transformers", who=who, extra=name)
    folder = find_weights(
        options.weights, revision=options.revision, offline=options.offline, who=who
    )
    number = default_dtype(device, dtype)
    model = load_model(
        getattr(library, _CLASSES[name]), folder, who=who, device=device, dtype=torch.float32
    )
    network = DinoNetwork(model, dtype=number, who=who)
    tokenizer = load_processor(library.AutoTokenizer, folder, who=who)
    place = torch.device(device)
    settings = PromptedSettings(
        name=name,
        key=(name, weights_key(folder), str(place), str(number)),
        limit=min(model.config.max_text_len, model.config.text_config.max_position_embeddings),
        threshold=options.threshold,
        floor=options.floor,
        overlap=options.overlap,
        most=options.most,
        apart=options.apart,
        batch=options.batch,
    )
    return PromptedDetector(
        network,
        tokenize=encoder_of(tokenizer, who=who, source=folder),
        rule=_rule_of(folder, options, who=who),
        settings=settings,
        device=place,
    )


def _rule_of(folder: Path, options: GroundingDinoOptions, *, who: str) -> PixelRule:
    """How the checkpoint wants its pictures, and what the options say instead."""
    names = ("processor_config.json", "preprocessor_config.json")
    path = next((folder / name for name in names if (folder / name).is_file()), None)
    if path is None:
        raise WeightsError(
            f"{who}: {folder} does not say how pictures are prepared: expected {names[0]} or "
            f"{names[1]}. Try: copy it from where the weights come from"
        )
    stated = read_settings(path, who=who)
    stated = stated.get("image_processor") or stated
    size, filters = stated.get("size"), {2: "bilinear", 3: "bicubic"}
    known = isinstance(size, dict) and {"shortest_edge", "longest_edge"} <= set(size)
    if not known or stated.get("resample", 2) not in filters:
        raise WeightsError(
            f"{who}: {path}: expected a size with shortest_edge and longest_edge, and resample 2 "
            f"or 3, got size {size} and resample {stated.get('resample')}"
        )
    colours: dict[str, Any] = {
        "mean": tuple(map(float, stated.get("image_mean", _MEAN))),
        "std": tuple(map(float, stated.get("image_std", _STD))),
        "filter": filters[stated.get("resample", 2)],
    }
    sides: dict[str, Any] = dict(size or {})
    try:
        return PixelRule(
            size=options.shortest or int(sides["shortest_edge"]),
            longest=options.longest or int(sides["longest_edge"]),
            multiple=options.multiple,
            **colours,
        )
    except (TypeError, ValueError) as error:
        raise WeightsError(f"{who}: {path}: {error}") from error
