"""Build a cognitive map from a video or from posed RGB-D."""

from groundplane.mapping.building import build_map
from groundplane.mapping.events import FrameTold, MapEvent, MapSummary
from groundplane.mapping.mapper import Mapper
from groundplane.mapping.terms import MapTerms

__all__ = ["FrameTold", "MapEvent", "MapSummary", "MapTerms", "Mapper", "build_map"]
