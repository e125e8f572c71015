"""Attributes as answers: colour, material, and the place where something is."""

from __future__ import annotations

import torch

from groundplane.core.answer import Answer, Status, Value
from groundplane.core.queries import Attribute
from groundplane.spatial.found import Found, StopError
from groundplane.spatial.nouns import noun
from groundplane.spatial.sets import SetSolver
from groundplane.spatial.units import UNIT_WORDS
from groundplane.spatial.viewing import IMAGE_FRAME

__all__ = ["attribute_answer", "attribute_of"]

# The places of so many objects are listed; of more, one has to be named.
_LISTED = 20
# Gaps that differ by no more are the same, in the scene's unit: boxes that touch are all at 0.
_TIE = 1e-9


def attribute_answer(finder: SetSolver, node: Attribute) -> Answer:
    """Solve an `Attribute`.

    Raises:
        StopError: If the object is not in the scene, or the scene does not state the attribute.
    """
    found = finder.find(node.source)
    if not len(found):
        raise found.missing()
    if node.name == "place":
        return _place(finder, found)
    rows = found.index.tolist()
    values = attribute_of(finder, found, node.name)
    stated = [value for value in values if value is not None]
    if not stated:
        raise StopError(
            Status.CANNOT_DETECT,
            f"nothing here tells the {node.name} of {noun(node.source, article=True)}: the source "
            "does not state it",
        )
    several = found.definite and len(set(values)) > 1
    notes = found.notes
    names = [
        f"{finder.scene.names[i]}: {value or 'not stated'}"
        for i, value in zip(rows, values, strict=True)
    ]
    single = len(set(values)) == 1
    if found.definite and len(rows) > 1:
        told = ", ".join(names) if several else f"{finder.names(rows)}; the same for each"
        notes = (*notes, f"there are {len(rows)} of {found.name!r}: {told}")
    return Answer(
        value=stated[0] if single or several else tuple(names),
        status=Status.AMBIGUOUS if several or found.open else Status.ANSWERED,
        evidence=tuple(finder.scene.ids[i] for i in rows),
        measure=f"attribute {node.name!r} as the source states it",
        note="; ".join(notes),
    )


def attribute_of(finder: SetSolver, found: Found, name: str) -> list[str | None]:
    """What the source states of each object; None where it does not."""
    rows = found.index.tolist()
    if name == "label":
        return [finder.scene.labels[row] for row in rows]
    return [finder.scene.attributes(row).get(name) for row in rows]


def _place(finder: SetSolver, found: Found) -> Answer:
    """What it stands on or in, and what is nearest; of each where several are meant."""
    if finder.scene.kind == "image":
        return _place_in_picture(finder, found)
    if len(found) > 1 and (found.definite or len(found) > _LISTED):
        names = finder.names(found.index.tolist())
        raise StopError(
            Status.AMBIGUOUS, f"there are {len(found)} of {found.name!r} ({names}); say which"
        )
    rows = found.index.tolist()
    places = [_place_of(finder, row) for row in rows]
    near = [other for _, other in places]
    value: Value = places[0][0]
    if len(rows) > 1:
        told = zip(rows, places, strict=True)
        value = tuple(f"{finder.scene.names[row]}: {words}" for row, (words, _) in told)
    return Answer(
        value=value,
        status=Status.AMBIGUOUS if found.open else Status.ANSWERED,
        evidence=tuple(finder.scene.ids[i] for i in dict.fromkeys([*rows, *near])),
        measure="what it is on, in or under, else what is closest",
        note="; ".join(found.notes),
    )


def _place_of(finder: SetSolver, row: int) -> tuple[str, int]:
    """Where one object is, in words, and the object that this is told by."""
    scene, here = finder.scene, torch.tensor([row])
    every = torch.arange(len(scene.ids))
    others = every[every != row]
    if not len(others):
        raise StopError(Status.AMBIGUOUS, "it is the only object, so it is near nothing")
    for relation in ("on", "inside", "under"):
        holding = others[scene.relation(relation, here, others)[0]]
        if len(holding):
            # The order of the objects must not matter: the one whose centre is nearest.
            at = int(holding[scene.center_distances(here, holding)[0].argmin()])
            words = "in" if relation == "inside" else relation
            return f"{words} the {scene.names[at]}", at
    gaps = scene.gaps(here, others)[0]
    closest = others[gaps <= gaps.min() + _TIE]
    at = int(closest[scene.center_distances(here, closest)[0].argmin()])
    return f"{float(gaps.min()):.2f} {UNIT_WORDS[scene.unit]} from the {scene.names[at]}", at


def _place_in_picture(finder: SetSolver, found: Found) -> Answer:
    """The ninth of the picture that holds the centre."""
    middle = finder.scene.middle()
    places = []
    for x, y in (finder.scene.ground(found.index) / (2 * middle)).tolist():
        column = "left" if x < 1 / 3 else "right" if x > 2 / 3 else "middle"
        line = "top" if y < 1 / 3 else "bottom" if y > 2 / 3 else "middle"
        places.append("middle" if column == line else f"{line} {column}".replace("middle ", ""))
    ids = tuple(finder.scene.ids[i] for i in found.index.tolist())
    names, notes = finder.names(found.index.tolist()), found.notes
    unsure = found.definite and len(set(places)) > 1
    if found.definite and len(ids) > 1:
        told = "say which" if unsure else "the same for each"
        notes = (*notes, f"there are {len(ids)} of {found.name!r} ({names}); {told}")
    single = len(places) == 1 or (found.definite and not unsure)
    return Answer(
        value=places[0] if single else tuple(places), evidence=ids, frame=IMAGE_FRAME,
        status=Status.AMBIGUOUS if unsure or found.open else Status.ANSWERED,
        measure="ninth of the picture with the centre", note="; ".join(notes),
    )  # fmt: skip
