"""Things found by what they look like, or another detector's boxes checked so.

Examples stand in a file (`groundplane.grounding.exemplar_files`); an encoder plugin, such as
`dinov2`, says what is like them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from groundplane.core.capabilities import Capabilities
from groundplane.core.detection import Detector, DetectRequest, DetectResult
from groundplane.core.errors import InputError
from groundplane.core.features import Encoder
from groundplane.core.host import prepare
from groundplane.core.options import read_options
from groundplane.grounding.exemplar_files import learn_file
from groundplane.grounding.exemplar_guard import ExemplarGuard
from groundplane.grounding.exemplar_search import ExemplarDetector
from groundplane.grounding.region_verifier import RegionVerifier

__all__ = ["ExemplarDetectorPlugin", "ExemplarOptions"]

_WHO = "detector 'exemplar'"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExemplarOptions:
    """Options of `ExemplarDetectorPlugin`.

    Attributes:
        encoder: Name of the encoder that sees.
        encoder_options: A JSON file of its own options: `{"option": value}`.
        exemplars: JSON lines of phrases, pictures and boxes; see
            `groundplane.grounding.exemplar_files`.
        threshold: Least score where a request states none of its own.
        overlap: Boxes with a larger intersection over union are one thing.
        detector: Name of a detector whose boxes are checked; empty: pictures are searched.
        detector_options: A JSON file of that detector's own options.
        reject: A checked box whose cosine to every exemplar of its phrase is below is taken away.

    Raises:
        InputError: If a value is out of range, or there are options of a detector but no name.
    """

    encoder: str
    exemplars: Path
    encoder_options: Path | None = None
    threshold: float = 0.7
    overlap: float = 0.3
    detector: str = ""
    detector_options: Path | None = None
    reject: float = 0.4

    def __post_init__(self) -> None:
        if not self.encoder:
            raise InputError(f"{_WHO}: option encoder: expected the name of an encoder, got ''")
        for name in ("threshold", "overlap"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise InputError(f"{_WHO}: option {name}: expected 0 to 1, got {value}")
        if not -1 <= self.reject <= 1:
            raise InputError(f"{_WHO}: option reject: expected -1 to 1, got {self.reject}")
        if self.detector == "exemplar":
            raise InputError(f"{_WHO}: option detector: expected another detector, got itself")
        if self.detector_options is not None and not self.detector:
            raise InputError(
                f"{_WHO}: option detector_options: there is no detector. Try: also --option "
                "detector=NAME"
            )


class ExemplarDetectorPlugin:
    """Finds what is like the examples of a phrase, or takes from a detector what is not.

    Without a detector it knows the phrases of the file, and requests may bring exemplars of
    their own; with one it takes what that one takes, and phrases without examples are answered
    as it answers them. See `ExemplarDetector` and `ExemplarGuard`.

    Args:
        options: See `ExemplarOptions`.
        device: Where the encoder and the detector run.
        dtype: The number type of both; None leaves it to them.

    Raises:
        PluginNotFoundError, PluginBrokenError: If the encoder or the detector cannot be had.
        InputError: If a file cannot be read, or holds something else.
        MediaError: If a picture of an example cannot be read.
    """

    Options = ExemplarOptions
    # What it takes is known once it is made.
    capabilities = Capabilities(prompts=frozenset({"vocabulary", "exemplar"}), cost=math.inf)

    def __init__(
        self, options: ExemplarOptions, *, device: str = "cpu", dtype: torch.dtype | None = None
    ) -> None:
        given = _given(options.encoder_options, "encoder_options")
        encoder: Encoder = prepare("encoders", options.encoder, given).make(
            device=device, dtype=dtype
        )
        # A guard only asks what is contradicted: what is accepted changes nothing.
        verifier = RegionVerifier(encoder, accept=1.0, reject=options.reject)
        known = learn_file(options.exemplars, verifier)
        self._inner: ExemplarDetector | ExemplarGuard
        if options.detector:
            own = _given(options.detector_options, "detector_options")
            detector: Detector = prepare("detectors", options.detector, own).make(
                device=device, dtype=dtype
            )
            self._inner = ExemplarGuard(detector, verifier, known)
        else:
            self._inner = ExemplarDetector(
                encoder, known=known, threshold=options.threshold, overlap=options.overlap
            )
        if self._inner.capabilities is not None:
            self.capabilities = self._inner.capabilities

    @property
    def vocabulary(self) -> tuple[str, ...] | None:
        """The phrases of the file, or the words of the detector."""
        return self._inner.vocabulary

    def detect(self, requests: Sequence[DetectRequest]) -> list[DetectResult]:
        """Answer each request, in order."""
        return self._inner.detect(requests)


def _given(path: Path | None, option: str) -> dict[str, object]:
    return {} if path is None else read_options(path, plugin=_WHO, option=option)
