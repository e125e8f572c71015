"""Relations of an object's own front, in sets: the frame of reference and what stays unknown."""

from __future__ import annotations

from dataclasses import replace

import torch

from groundplane.core.answer import FrameOfReference
from groundplane.core.errors import listing
from groundplane.core.expressions import Relate, Select
from groundplane.spatial.found import Finder, Found, View
from groundplane.spatial.relations.definitions import DEFINITIONS

__all__ = ["with_fronts"]


def with_fronts(
    finder: Finder, node: Relate, related: Found, *, source: Found, anchor: Found
) -> Found:
    """Say of which objects a relation could not be told, and name the frame of a front.

    Args:
        finder: Knows the scene.
        node: The relation.
        related: The candidates that it holds of.
        source: The candidates.
        anchor: What they are related to; it needs a front or a long side too if both count.
    """
    scene = finder.scene
    row = DEFINITIONS.get(node.relation)
    lost = scene.undecided(node.relation, source.index)
    beyond = scene.undecided(node.relation, anchor.index)
    if row is None or not row.symmetric:
        beyond = torch.zeros_like(beyond)
    rows = dict.fromkeys([*source.index[lost].tolist(), *anchor.index[beyond].tolist()])
    if rows:
        what = "front" if _of_fronts(node.relation) else "long side"
        names = listing([scene.names[i] for i in rows], limit=6)
        words = f"it cannot be told of {names}: no {what} is known"
        # Whoever asks of anything asks of much that has no front; of a kind, each one counts.
        is_open = related.open or bool(beyond.any()) or node.source != Select(None)
        related = replace(related, notes=(*related.notes, words), open=is_open)
    known = source.index[~lost].tolist()
    if not _of_fronts(node.relation) or not known:
        return related
    return replace(related, view=_own_front(finder, known, node.relation))


def _of_fronts(relation: str) -> bool:
    return relation in DEFINITIONS and DEFINITIONS[relation].frame == "object"


def _own_front(finder: Finder, rows: list[int], relation: str) -> View:
    """The frame of what looks along its own front; of several, the first stands for all."""
    scene = finder.scene
    first, at = rows[0], torch.tensor(rows[:1])
    name = scene.names[first]
    owner = "each one's" if len(rows) > 1 else f"{name if name[-1:].isdigit() else 'the ' + name}'s"
    where = "behind" if relation == "facing_away" else "before"
    return View(
        direction=scene.fronts(at)[0],
        origin=scene.ground(at)[0],
        frame=FrameOfReference(
            kind="object",
            origin=scene.ids[first] if len(rows) == 1 else None,
            text=f"{owner} own front: what lies {where} it",
        ),
    )
