"""Maps for questions: each built once, and kept for the next call."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, is_dataclass
from importlib.metadata import version
from pathlib import Path

from groundplane.core.detection import Detector
from groundplane.core.errors import GroundplaneError
from groundplane.core.files import write_whole
from groundplane.core.image import Image
from groundplane.grounding.router import Router
from groundplane.mapping.building import Geometry, make_mapper, make_router_for
from groundplane.mapping.fingerprints import fingerprint, option_fingerprints
from groundplane.mapping.given import capture_of
from groundplane.mapping.in_picture import look_through
from groundplane.mapping.looking import Looker
from groundplane.mapping.questions import Asked, phrases_asked, pictures_suffice
from groundplane.mapping.terms import MapTerms
from groundplane.spatial.map import CognitiveMap

__all__ = ["MapKeeper", "cache_folder"]

# Maps that are kept in the cache folder, at most; the oldest go first.
_MOST = 256


def cache_folder() -> Path:
    """Where maps are kept: `GROUNDPLANE_CACHE`, else within the user's cache folder."""
    if named := os.environ.get("GROUNDPLANE_CACHE"):
        return Path(named) / "maps"
    root = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(root) / "groundplane" / "maps"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """What a map must tell: of which things, and whether of order and number alone."""

    phrases: tuple[str, ...]
    flat: bool


@dataclass(slots=True, kw_only=True, eq=False)
class MapKeeper:
    """Builds the map of a source for the phrases of questions, each set of phrases once.

    Attributes:
        source: A video, a folder, or a picture.
        detector, segmenter, geometry, options, device, terms: See `build_map`.
        find: What to look for, whatever is asked; none: what the questions speak of.
        keep: Whether maps of files are kept in the cache folder for other calls.
    """

    source: str | Path | Image
    detector: str | Detector | None = None
    segmenter: str | None = None
    geometry: Geometry | None = None
    options: Mapping[str, object] = field(default_factory=dict)
    device: str = "auto"
    terms: MapTerms = field(default_factory=MapTerms)
    find: tuple[str, ...] = ()
    keep: bool = True
    _built: dict[_Wanted, CognitiveMap] = field(default_factory=dict)
    _router: Router | None = None

    @property
    def vocabulary(self) -> tuple[str, ...] | None:
        """The words that the experts can look for; None if one takes any text."""
        return self._looker().vocabulary

    def map_for(self, asked: Iterable[Asked]) -> CognitiveMap:
        """The map in which was looked for all that questions speak of.

        Raises:
            InputError, MediaError, DetectorError: As `build_map`.
        """
        asked = list(asked)
        phrases = self.find or phrases_asked(asked, words=lambda: self.vocabulary)
        wanted = _Wanted(
            phrases=tuple(sorted({" ".join(phrase.split()) for phrase in phrases} - {""})),
            flat=self._without_depth() and pictures_suffice(asked),
        )
        if wanted not in self._built:
            kept = self._kept(wanted)
            self._built[wanted] = self._build(wanted) if kept is None else kept
        return self._built[wanted]

    def _without_depth(self) -> bool:
        """Whether the source is a capture of pictures alone, and nobody is named to tell more."""
        if self.geometry is not None or isinstance(self.source, Image):
            return False
        return not {"depth", "pose"} & capture_of(self.source, self.terms).gives

    def _looker(self) -> Router:
        if self._router is None:
            self._router = make_router_for(
                self.detector, segmenter=self.segmenter, geometry=self.geometry,
                options=self.options, device=self.device,
            )  # fmt: skip
        return self._router

    def _build(self, wanted: _Wanted) -> CognitiveMap:
        detector = self._looker() if wanted.phrases else None
        if wanted.flat:
            looker = Looker(detector=detector, phrases=wanted.phrases, thresholds={})
            scene = look_through(capture_of(self.source, self.terms), looker, self.terms)
        else:
            mapper = make_mapper(
                self.source, wanted.phrases, detector=detector, geometry=self.geometry,
                options=self.options, device=self.device, terms=self.terms,
            )  # fmt: skip
            for _ in mapper.words():
                pass
            scene = mapper.map()
        if (place := self._place(wanted)) is not None:
            _store(scene, place)
        return scene

    def _kept(self, wanted: _Wanted) -> CognitiveMap | None:
        """A map that an earlier call kept; one that cannot be read is built anew."""
        place = self._place(wanted)
        if place is None or not place.is_file():
            return None
        try:
            scene = CognitiveMap.load(place)
            os.utime(place)
        except (GroundplaneError, OSError):
            return None
        return scene

    def _place(self, wanted: _Wanted) -> Path | None:
        """The file of a map; None where what it is made from has no name to know it by."""
        experts = (self.detector, self.segmenter, self.geometry)
        named = all(isinstance(given, str | None) for given in experts)
        if not self.keep or not named or isinstance(self.source, Image):
            return None
        job = {
            "version": version("groundplane"),
            "source": fingerprint(self.source),
            "wanted": asdict(wanted),
            "experts": experts,
            "options": option_fingerprints(self.options),
            "terms": asdict(self.terms),
        }
        text = json.dumps(job, sort_keys=True, default=_plain)
        return cache_folder() / f"{hashlib.sha256(text.encode()).hexdigest()}.json"


def _plain(value: object) -> object:
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else str(value)


def _store(scene: CognitiveMap, place: Path) -> None:
    """Keep a map for other calls; where that cannot be, it is built again next time."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        write_whole(place, scene.to_json().encode())
        _forget(place.parent.glob("*.json"))
    except (OSError, GroundplaneError):
        return


def _forget(files: Iterable[Path]) -> None:
    by_age: Sequence[Path] = sorted(files, key=lambda file: file.stat().st_mtime)
    for file in by_age[:-_MOST]:
        file.unlink(missing_ok=True)
