"""How a capture that is asked is mapped, and which sources are captures."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from groundplane.captures.opening import layout_of
from groundplane.core.detection import Detector
from groundplane.core.geometry import GeometryExpert
from groundplane.core.host import available
from groundplane.core.image import Image
from groundplane.mapping.keeping import MapKeeper
from groundplane.mapping.terms import MapTerms

__all__ = ["CaptureChoice", "geometry_named"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CaptureChoice:
    """How a video or another capture is mapped before it is asked.

    Attributes:
        segmenter: Who makes masks; None for those that the detector makes anyway.
        geometry: Who fills in depth, intrinsics and poses that the source does not tell.
        find: What to look for, whatever is asked; none: what the questions speak of.
        terms: How the map is built. Where it names a layout, the source is a capture of it.
        keep: Whether the map of a file is kept for later calls, in the user's cache folder.
    """

    segmenter: str | None = None
    geometry: str | GeometryExpert | Sequence[GeometryExpert] | None = None
    find: tuple[str, ...] = ()
    terms: MapTerms = field(default_factory=MapTerms)
    keep: bool = True

    def applies(self, source: str | Path) -> bool:
        """Whether a source is mapped first: a video, or a folder with the files of a layout.

        A plain folder of photos is none, unless the terms say that it is.
        """
        if not os.path.exists(source):
            return False
        return self.terms.layout is not None or layout_of(Path(source)) not in (None, "frames")

    def keeper(
        self,
        source: str | Path | Image,
        *,
        detector: str | Detector | None,
        options: Mapping[str, object],
        device: str,
    ) -> MapKeeper:
        """Who builds and keeps the maps of a source."""
        return MapKeeper(
            source=source, detector=detector, segmenter=self.segmenter, geometry=self.geometry,
            options=options, device=device, terms=self.terms, find=self.find, keep=self.keep,
        )  # fmt: skip


def geometry_named(options: Mapping[str, object]) -> str | None:
    """The geometry experts that options name, such as `depth-pro.weights`; None if they name none.

    A name that an expert of another kind has as well does not count: `geometry.remote.url` does.

    Examples:
        >>> geometry_named({"depth-pro.weights": "w", "threshold": 0.3})
        'depth-pro'
        >>> geometry_named({})
    """
    own = {info.name for info in available("geometry", read=False)}
    others = {
        info.name for kind in ("detectors", "segmenters") for info in available(kind, read=False)
    }
    found = []
    for key in options:
        head, dot, _ = key.removeprefix("geometry.").partition(".")
        if dot and head in own and (head not in others or key.startswith("geometry.")):
            found.append(head)
    return ",".join(dict.fromkeys(found)) or None
