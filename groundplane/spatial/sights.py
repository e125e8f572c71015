"""What is in sight, as answers: whether one sees a thing from another, and what is in the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from groundplane.core.answer import Answer, FrameOfReference, Status, Step, Value
from groundplane.core.pair_queries import Sight
from groundplane.spatial.found import Found, StopError
from groundplane.spatial.looking import ASSUMED, look_from, look_without
from groundplane.spatial.scene import check_pairs
from groundplane.spatial.sets import SetSolver

__all__ = ["sight_answer"]

# Less than this share out of sight is the error of the sample points.
_WHOLE = 0.99


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """One thing looked at from one place."""

    viewer: int
    target: int
    share: float
    blocker: int


def sight_answer(finder: SetSolver, node: Sight) -> Answer:
    """Solve a `Sight`.

    Raises:
        StopError: If a thing is not in the scene, or both are the same.
        UnsupportedError: If the source is a photo, or a scene without metres.
    """
    viewer, target = finder.find(node.viewer), finder.find(node.target)
    looks = _looks(finder, viewer, target)
    if node.by is not None:
        values = _hidden_by(finder, finder.find(node.by), looks)
    else:
        values = [_value(finder, node, look) for look in looks]
    split = len(set(values)) > 1
    look = looks[0]
    seen = f"{100 * look.share:.0f} % of {_named(finder, look.target)} is in sight"
    finder.steps.append(Step(name="look", detail=f"{_named(finder, look.viewer)}: {seen}"))
    notes = [*viewer.notes, *target.notes, *_several(finder, (viewer, target), split=split)]
    return Answer(
        value=None if split else values[0],
        unit="%" if node.tell == "share" and not split else None,
        status=Status.AMBIGUOUS if split or viewer.open or target.open else Status.ANSWERED,
        evidence=finder.ids(_evidence(node, look)),
        frame=FrameOfReference(
            kind="world", origin=finder.scene.ids[look.viewer], text=f"world, {ASSUMED}"
        ),
        measure=f"share of the solid angle, {ASSUMED}: {_told(finder, look)}",
        note="; ".join(notes),
    )


def _looks(finder: SetSolver, viewer: Found, target: Found) -> list[_Look]:
    for found in (viewer, target):
        if not len(found):
            raise found.missing()
    check_pairs(len(viewer), len(target))
    sight = look_from(finder.scene, target.index, viewer.index)
    looks = [
        _Look(viewer=v, target=t, share=float(sight.share[i, j]), blocker=int(sight.blocker[i, j]))
        for i, v in enumerate(viewer.index.tolist())
        for j, t in enumerate(target.index.tolist())
        if v != t
    ]
    if not looks:
        raise StopError(
            Status.AMBIGUOUS, f"{viewer.name} and {target.name} are the same object; name two"
        )
    return looks


def _hidden_by(finder: SetSolver, hiding: Found, looks: Sequence[_Look]) -> list[Value]:
    """Whether more would be in sight without a thing, of each look."""
    if not len(hiding):
        raise hiding.missing()
    if len(hiding) > 1:
        names = finder.names(hiding.index.tolist())
        raise StopError(
            Status.AMBIGUOUS, f"there are {len(hiding)} of {hiding.name!r} ({names}); say which"
        )
    shares = [
        look_without(finder.scene, look.target, look.viewer, int(hiding.index[0])) for look in looks
    ]
    finder.basis[int(hiding.index[0])] = None
    return [
        look.share < _WHOLE and share > look.share
        for look, share in zip(looks, shares, strict=True)
    ]


def _value(finder: SetSolver, node: Sight, look: _Look) -> Value:
    if node.tell == "seen":
        return look.share > 0
    if node.tell == "share":
        return 100 * look.share
    if node.tell == "hidden":
        return look.share == 0
    hides = look.blocker >= 0 and look.share < _WHOLE
    if node.tell == "obstructed":
        return hides
    return finder.scene.names[look.blocker] if hides else ()


def _evidence(node: Sight, look: _Look) -> list[int]:
    rows = [look.viewer, look.target]
    if look.blocker < 0 or look.share >= _WHOLE:
        return rows if node.tell != "blocker" else []
    return [look.blocker, *rows] if node.tell == "blocker" else [*rows, look.blocker]


def _named(finder: SetSolver, row: int) -> str:
    name = finder.scene.names[row]
    return name if name[-1:].isdigit() else f"the {name}"


def _told(finder: SetSolver, look: _Look) -> str:
    """`62 % of it is in sight, and the sofa hides most of the rest`."""
    if look.share >= _WHOLE or look.blocker < 0:
        return "all of it is in sight"
    blocker = _named(finder, look.blocker)
    if look.share == 0:
        return f"none of it is in sight, and {blocker} hides most of it"
    percent = max(1, round(100 * look.share))
    return f"{percent} % of it is in sight, and {blocker} hides most of the rest"


def _several(finder: SetSolver, ends: tuple[Found, Found], *, split: bool) -> list[str]:
    """What to say where a name fits several objects."""
    many = [
        f"there are {len(part)} of {part.name!r} ({finder.names(part.index.tolist())})"
        for part in ends
        if len(part) > 1
    ]
    if not many:
        return []
    return [*many, "it depends on which; name one" if split else "the same for each"]
