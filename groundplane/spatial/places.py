"""Attributes as answers: colour, material, and the place where something is."""

from __future__ import annotations

import torch

from groundplane.core.answer import Answer, Status
from groundplane.core.expressions import Unique
from groundplane.core.queries import Attribute
from groundplane.spatial.found import Found, StopError
from groundplane.spatial.nouns import noun
from groundplane.spatial.sets import SetSolver
from groundplane.spatial.units import UNIT_WORDS
from groundplane.spatial.viewing import IMAGE_FRAME

__all__ = ["attribute_answer"]


def attribute_answer(finder: SetSolver, node: Attribute) -> Answer:
    """Solve an `Attribute`.

    Raises:
        StopError: If the object is not in the scene, or the scene does not state the attribute.
    """
    found = finder.find(node.source)
    if not len(found):
        raise StopError(Status.UNKNOWN_OBJECT, f"there is no {found.name} in this scene")
    if node.name == "place":
        return _place(finder, node, found)
    rows = found.index.tolist()
    values = [finder.scene.attributes(i).get(node.name) for i in rows]
    stated = [value for value in values if value is not None]
    if not stated:
        raise StopError(
            Status.CANNOT_DETECT,
            f"nothing here tells the {node.name} of {noun(node.source, article=True)}: the source "
            "does not state it",
        )
    several = found.definite and len(set(values)) > 1
    names = [
        f"{finder.scene.names[i]}: {value or 'not stated'}"
        for i, value in zip(rows, values, strict=True)
    ]
    single = len(set(values)) == 1
    return Answer(
        value=stated[0] if single or several else tuple(names),
        status=Status.AMBIGUOUS if several else Status.ANSWERED,
        evidence=tuple(finder.scene.ids[i] for i in rows),
        measure=f"attribute {node.name!r} as the source states it",
        note=f"there are {len(rows)}: {', '.join(names)}" if several else "",
    )


def _place(finder: SetSolver, node: Attribute, found: Found) -> Answer:
    """What it stands on or in, and what is nearest."""
    if len(found) > 1 and isinstance(node.source, Unique):
        names = finder.names(found.index.tolist())
        raise StopError(
            Status.AMBIGUOUS, f"there are {len(found)} of {found.name!r} ({names}); say which"
        )
    if finder.scene.kind == "image":
        return _place_in_picture(finder, found)
    scene, row = finder.scene, found.index[:1]
    others = torch.tensor([i for i in range(len(scene.ids)) if i != int(row[0])], dtype=torch.long)
    if not len(others):
        raise StopError(Status.AMBIGUOUS, "it is the only object, so it is near nothing")
    for relation in ("on", "inside", "under"):
        holds = scene.relation(relation, row, others)[0]
        if bool(holds.any()):
            near = others[holds][:1]
            words = "in" if relation == "inside" else relation
            return _near_answer(finder, row, near, f"{words} the {scene.names[int(near[0])]}")
    gaps = scene.gaps(row, others)[0]
    near = others[gaps.argmin()][None]
    distance = f"{float(gaps.min()):.2f} {UNIT_WORDS[scene.unit]}"
    return _near_answer(finder, row, near, f"{distance} from the {scene.names[int(near[0])]}")


def _near_answer(finder: SetSolver, row: torch.Tensor, near: torch.Tensor, words: str) -> Answer:
    ids = finder.scene.ids
    return Answer(
        value=words,
        evidence=(ids[int(row[0])], ids[int(near[0])]),
        measure="what it is on, in or under, else what is closest",
    )


def _place_in_picture(finder: SetSolver, found: Found) -> Answer:
    """The ninth of the picture that holds the centre."""
    middle = finder.scene.middle()
    places = []
    for x, y in (finder.scene.ground(found.index) / (2 * middle)).tolist():
        column = "left" if x < 1 / 3 else "right" if x > 2 / 3 else "middle"
        line = "top" if y < 1 / 3 else "bottom" if y > 2 / 3 else "middle"
        places.append("middle" if column == line else f"{line} {column}".replace("middle ", ""))
    ids = tuple(finder.scene.ids[i] for i in found.index.tolist())
    value = places[0] if len(places) == 1 else tuple(places)
    return Answer(
        value=value, evidence=ids, frame=IMAGE_FRAME, measure="ninth of the picture with the centre"
    )
