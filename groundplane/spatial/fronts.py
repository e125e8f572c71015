"""Relations of an object's own front, in sets: the frame of reference and what stays unknown."""

from __future__ import annotations

from dataclasses import replace

import torch

from groundplane.core.answer import FrameOfReference
from groundplane.core.errors import listing
from groundplane.core.expressions import Relate, Select
from groundplane.spatial.definitions import DEFINITIONS
from groundplane.spatial.found import Finder, Found, View

__all__ = ["with_fronts"]


def with_fronts(finder: Finder, node: Relate, source: Found, related: Found) -> Found:
    """Say of which candidates a relation could not be told, and name the frame of a front.

    Args:
        finder: Knows the scene.
        node: The relation.
        source: The candidates.
        related: Those that it holds of.
    """
    scene = finder.scene
    lost = scene.undecided(node.relation, source.index)
    names = [scene.names[i] for i in source.index[lost].tolist()]
    if names:
        what = "front" if _of_fronts(node.relation) else "long side"
        words = f"it cannot be told of {listing(names, limit=6)}: no {what} is known"
        # Whoever asks of anything asks of much that has no front; of a kind, each one counts.
        is_open = related.open or node.source != Select(None)
        related = replace(related, notes=(*related.notes, words), open=is_open)
    known = source.index[~lost].tolist()
    if not _of_fronts(node.relation) or not known:
        return related
    return replace(related, view=_own_front(finder, known))


def _of_fronts(relation: str) -> bool:
    return relation in DEFINITIONS and DEFINITIONS[relation].frame == "object"


def _own_front(finder: Finder, rows: list[int]) -> View:
    """The frame of what looks along its own front; of several, the first stands for all."""
    scene = finder.scene
    first, at = rows[0], torch.tensor(rows[:1])
    name = scene.names[first]
    owner = "each one's" if len(rows) > 1 else f"{name if name[-1:].isdigit() else 'the ' + name}'s"
    return View(
        direction=scene.fronts(at)[0],
        origin=scene.ground(at)[0],
        frame=FrameOfReference(
            kind="object",
            origin=scene.ids[first] if len(rows) == 1 else None,
            text=f"{owner} own front: what lies before it, 45 degrees to either side",
        ),
    )
