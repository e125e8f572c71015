"""SAM 2 on single images: masks of things that boxes or points point out, through transformers.

Source: Ravi et al., SAM 2: Segment Anything in Images and Videos, 2024. A picture is stretched
over the square that the network takes, and masks are stretched back, as transformers does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from groundplane.core.capabilities import Capabilities
from groundplane.core.errors import InputError
from groundplane.core.regions import Regions
from groundplane.core.segmentation import SegmentRequest
from groundplane.core.weights import (
    default_dtype,
    find_weights,
    load_model,
    need_library,
    weights_key,
)
from groundplane.grounding.prompting import Prompting, pyramid_model

__all__ = ["Sam2Options", "Sam2Segmenter"]

_NAME = "sam2"
_WHO = "segmenter 'sam2'"
# Of ImageNet, in shares of full brightness, red, green, blue; used where a checkpoint says nothing.
_COLOURS = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sam2Options:
    """Options of `Sam2Segmenter`.

    Attributes:
        weights: A folder with `config.json` and `model.safetensors`, or a hub id.
        revision: The commit of a hub id, 40 hexadecimal digits.
        offline: Fetch nothing.
        multimask: Let the network guess three masks a thing and take what it thinks best; else
            one, which it replaces by the best of the three where it is unstable.
        prompts_a_pass: Most prompts that the network is given at once.

    Raises:
        InputError: If `prompts_a_pass` is out of range.
    """

    weights: str
    revision: str = ""
    offline: bool = False
    multimask: bool = True
    prompts_a_pass: int = 64

    def __post_init__(self) -> None:
        if not 1 <= self.prompts_a_pass <= 4096:
            raise InputError(
                f"{_WHO}: option prompts_a_pass: expected 1 to 4096, got {self.prompts_a_pass}"
            )


class Sam2Segmenter:
    """Gives the mask of each thing that a box or points point out.

    Each image is encoded once; encodings are kept in the cache of the process. The score is the
    network's own estimate of the overlap of its mask with the true one. What points at nothing
    in the image has an empty mask. Safe to use from several threads.

    Args:
        options: See `Sam2Options`.
        device: Where it runs.
        dtype: Of the work of the image encoder; see `core.weights.default_dtype`.

    Raises:
        PluginBrokenError: If transformers is not installed.
        WeightsError: If the weights are not there, or are refused.
    """

    Options = Sam2Options
    # Hiera-T at 1024 pixels, counted.
    capabilities = Capabilities(
        prompts=frozenset({"box", "point"}), masks=True, cost=291.0, licence="Apache-2.0"
    )

    def __init__(
        self, options: Sam2Options, *, device: str = "cpu", dtype: torch.dtype | None = None
    ) -> None:
        library = need_library("transformers", who=_WHO, extra="sam2")
        folder = find_weights(
            options.weights, who=_WHO, revision=options.revision, offline=options.offline
        )
        network = load_model(
            library.Sam2Model,
            folder,
            who=_WHO,
            device=device,
            dtype=torch.float32,
            model_types=("sam2_video",),
        )
        number = default_dtype(device, dtype)
        model = pyramid_model(
            network,
            folder,
            who=_WHO,
            colours=_COLOURS,
            dtype=number,
            multimask=options.multimask,
        )
        self._prompting = Prompting(
            model,
            who=_NAME,
            identity=(weights_key(folder), device, number),
            prompts_a_pass=options.prompts_a_pass,
        )

    def segment(self, requests: Sequence[SegmentRequest]) -> list[Regions]:
        """Answer each request, in order; see `Segmenter.segment`.

        Raises:
            InputError: If a request has embeddings.
        """
        return self._prompting.segment(requests)
