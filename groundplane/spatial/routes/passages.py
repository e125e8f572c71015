"""How wide the way is from one thing to another, as an answer."""

from __future__ import annotations

from groundplane.core.answer import Answer, Status, Step
from groundplane.core.errors import InputError
from groundplane.core.queries import Way
from groundplane.spatial.found import Found, StopError
from groundplane.spatial.measuring import Number, in_unit
from groundplane.spatial.routes.free_space import FreeSpace, Walker, free_space
from groundplane.spatial.scene import MapScene, UnsupportedError
from groundplane.spatial.sets import SetSolver

__all__ = ["passage_answer"]


def passage_answer(finder: SetSolver, node: Way, ends: tuple[Found, Found]) -> Answer:
    """Solve a `Way` that asks for the width: of the widest way, where that is narrowest.

    Args:
        finder: Finds sets.
        node: The query.
        ends: What its start and its goal name; not empty.

    Raises:
        StopError: If a name fits several objects, or both are the same one.
        UnsupportedError: If the source is a photo, or a scene without metres.
    """
    start, goal = (_only(finder, found) for found in ends)
    if start == goal:
        names = " and ".join(found.name for found in ends)
        raise StopError(Status.AMBIGUOUS, f"{names} are the same object; name two")
    space = _space(finder)
    try:
        width = space.narrowest_passage(start, goal)
    except InputError as error:
        raise UnsupportedError(str(error)) from error
    number = Number(value=width, unit="m", evidence=(start, goal))
    value, unit, _ = in_unit(finder, number, node.unit)
    finder.steps.append(Step(name="passage", detail=f"no walker wider than {width:.3f} m gets by"))
    notes = [*(note for found in ends for note in found.notes), space.assumption]
    return Answer(
        value=value,
        unit=unit,
        status=Status.AMBIGUOUS if any(found.open for found in ends) else Status.ANSWERED,
        evidence=finder.ids([start, goal]),
        measure="width of the narrowest passage on the widest way between where one stands at the "
        "one and where one stands at the other, to 5 mm",
        note="; ".join(filter(None, notes)),
    )


def _only(finder: SetSolver, found: Found) -> int:
    if len(found) > 1:
        names = finder.names(found.index.tolist())
        raise StopError(
            Status.AMBIGUOUS, f"there are {len(found)} of {found.name!r} ({names}); say which"
        )
    return int(found.index[0])


def _space(finder: SetSolver) -> FreeSpace:
    if not isinstance(finder.scene, MapScene):
        raise UnsupportedError(
            "a photo alone shows no floor to walk on; give a scene with 3-D boxes"
        )
    try:
        return free_space(finder.scene.map, Walker())
    except InputError as error:
        raise UnsupportedError(str(error)) from error
