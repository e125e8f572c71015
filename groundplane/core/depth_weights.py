"""Depth networks of transformers, loaded with how their checkpoints want pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch

from groundplane.core.depth_pictures import DepthPictureRule, read_depth_rule
from groundplane.core.weights import default_dtype, find_weights, load_model

__all__ = ["DepthFamily", "DepthWeights", "LoadedDepth", "load_depth"]


@runtime_checkable
class DepthWeights(Protocol):
    """What loading needs of a plugin's options."""

    @property
    def weights(self) -> str:
        """A folder, or a hub id."""
        ...

    @property
    def revision(self) -> str:
        """Commit of the hub id."""
        ...

    @property
    def offline(self) -> bool:
        """Whether to take fetched weights only."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthFamily:
    """A family of checkpoints.

    Attributes:
        who: Whose weights they are, for messages.
        defaults: What its processor does where a file says nothing, under the file's own names.
    """

    who: str
    defaults: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LoadedDepth:
    """A network and what goes with it.

    Attributes:
        model: Ready to be called, on its device.
        rule: How its pictures are prepared.
        dtype: Its number type.
    """

    model: Any
    rule: DepthPictureRule
    dtype: torch.dtype


def load_depth(
    model_class: Any,
    family: DepthFamily,
    *,
    options: DepthWeights,
    device: str,
    dtype: torch.dtype | None,
) -> LoadedDepth:
    """Load a checkpoint, strictly.

    Args:
        model_class: The class of transformers.
        family: Of which kind it is.
        options: Where it is.
        device: Where the network runs.
        dtype: Its number type; None: float32 on a CPU, bfloat16 on CUDA.

    Raises:
        WeightsError: If the weights are not there, or are refused.
    """
    who = family.who
    folder = find_weights(
        options.weights, revision=options.revision, offline=options.offline, who=who
    )
    number = default_dtype(device, dtype)
    model = load_model(model_class, folder, who=who, device=device, dtype=number)
    rule = read_depth_rule(folder, who=who, defaults=family.defaults)
    return LoadedDepth(model=model, rule=rule, dtype=number)
