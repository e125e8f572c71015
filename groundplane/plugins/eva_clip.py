"""EVA-CLIP as an encoder."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from groundplane.core.features import FeatureGrid, View
from groundplane.core.image import Image
from groundplane.core.towers.encoding import EncoderOptions, load_encoder
from groundplane.core.towers.tower import Tower, TowerConfig

__all__ = ["EvaClipEncoder"]


class EvaClipEncoder:
    """EVA-CLIP (Sun et al., 2023): of timm, or the vision part of BLIP-2.

    Unless told otherwise its cells are those of the second to last block, without the last norm;
    the summary is the projected embedding of timm's checkpoints, the class token of BLIP-2's.

    Args:
        options: See `EncoderOptions`.
        device: Where the network runs and the features are put.
        dtype: Number type of the network; None: float32 on a CPU, bfloat16 on CUDA.

    Raises:
        PluginBrokenError: If the library of the checkpoint is not installed.
        WeightsError: If the weights are not there, are refused, or are of another family.
        InputError: If there is no such layer, or the size is no multiple of the patch.
    """

    Options = EncoderOptions

    def __init__(
        self, options: EncoderOptions, *, device: str = "cpu", dtype: torch.dtype | None = None
    ) -> None:
        self._inner = load_encoder("eva-clip", options, device=device, dtype=dtype)

    @property
    def tower(self) -> Tower:
        """The network, to be part of a model; it gives no summary."""
        return self._inner.tower

    @property
    def view(self) -> View:
        """What of a picture is encoded."""
        return self._inner.view

    @property
    def config(self) -> TowerConfig:
        """What the network is."""
        return self._inner.config

    @property
    def key(self) -> tuple[object, ...]:
        """What tells these features from another encoder's."""
        return self._inner.key

    def encode(self, images: Sequence[Image]) -> FeatureGrid:
        """Encode pictures, in order; see `Encoder`."""
        return self._inner.encode(images)
