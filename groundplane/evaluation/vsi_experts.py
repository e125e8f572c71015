"""The experts that look at the videos of VSI-Bench: made once for all scenes, or for each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from groundplane.core.detection import Detector
from groundplane.core.geometry import GeometryExpert
from groundplane.core.host import load
from groundplane.grounding.router import Router
from groundplane.mapping.building import Geometry, make_router_for
from groundplane.mapping.geometry import names_of, split_options
from groundplane.mapping.keeping import MapKeeper
from groundplane.mapping.terms import MapTerms

__all__ = ["SCENE", "Crew"]

# Stands for the scene's name in an option: `recorded.path=poses/{scene}`.
SCENE = "{scene}"


@dataclass(slots=True, kw_only=True, eq=False)
class Crew:
    """Who looks at each video, and who tells its geometry.

    Experts are made once, since weights take long to read; where an option names `{scene}`, they
    are made anew for each scene.

    Attributes:
        detector, segmenter, geometry, options, device, terms: See `build_map`.
    """

    detector: str | Detector | None = None
    segmenter: str | None = None
    geometry: Geometry | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    device: str = "auto"
    terms: MapTerms = field(default_factory=MapTerms)
    _router: Router | None = None
    _experts: tuple[GeometryExpert, ...] | None = None

    @property
    def is_of_scene(self) -> bool:
        """Whether an expert is another one for each scene."""
        return _names_scene(self.options)

    def keeper(self, video: Path, scene: str) -> MapKeeper:
        """Who builds the map of a video.

        Raises:
            InputError, PluginNotFoundError, PluginBrokenError: If an expert cannot be made.
        """
        own, rest = split_options(
            self.options,
            self.geometry,
            others={
                "detectors": self.detector if isinstance(self.detector, str | None) else "",
                "segmenters": self.segmenter or "",
            },
        )
        if self._router is None or _names_scene(rest):
            self._router = make_router_for(
                self.detector,
                segmenter=self.segmenter,
                options=_filled(rest, scene),
                device=self.device,
            )
        geometry = self.geometry
        if isinstance(geometry, str):
            if self._experts is None or any(map(_names_scene, own.values())):
                self._experts = tuple(
                    load("geometry", name, device=self.device, **_filled(own[name], scene))
                    for name in names_of(geometry)
                )
            geometry = self._experts
        return MapKeeper(
            source=video, detector=self._router, geometry=geometry, device=self.device,
            terms=self.terms, keep=False,
        )  # fmt: skip

    def record(self) -> dict[str, object]:
        """What must be the same for maps to stand beside one another."""
        experts = {
            name: given if isinstance(given, str | None) else type(given).__name__
            for name in ("detector", "segmenter", "geometry")
            for given in [getattr(self, name)]
        }
        return experts | {"options": dict(sorted(self.options.items())), "terms": str(self.terms)}


def _names_scene(options: Mapping[str, object]) -> bool:
    return any(SCENE in str(value) for value in options.values())


def _filled(options: Mapping[str, object], scene: str) -> dict[str, object]:
    return {
        key: value.replace(SCENE, scene) if isinstance(value, str) else value
        for key, value in options.items()
    }
