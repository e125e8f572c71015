"""Functional programs: every step is a typed expression, run by the solver that answers questions.

A program is a list of steps that take the outputs of earlier ones, as CLEVR writes it: `scene`,
`filter_color[red]`, `unique`, `relate[left]`, `count`, ... Nothing is computed here: a step is
compiled to a node of `groundplane.core.expressions` or `groundplane.core.queries`.

Source: Johnson et al., CLEVR, CVPR 2017, section 3.2 and the generator's list of functions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from groundplane.core.errors import InputError, did_you_mean, listing
from groundplane.core.expressions import And, Filter, Or, Relate, Same, Select, Unique
from groundplane.core.queries import Attribute, Compare, Count, Exists, Expression
from groundplane.spatial.found import StopError
from groundplane.spatial.scene import Scene, UnsupportedError
from groundplane.spatial.sets import SetSolver
from groundplane.spatial.solver import answer_with

__all__ = [
    "Output",
    "ProgramError",
    "ProgramStep",
    "compile_program",
    "read_program",
    "run_program",
]

Output = tuple[int, ...] | int | str | bool

_LONGEST = 1000
_RELATIONS = {
    "left": "left_of", "right": "right_of", "front": "in_front_of", "behind": "behind",
}  # fmt: skip
_ATTRIBUTES = ("size", "color", "material", "shape")


class ProgramError(InputError):
    """A program is malformed or cannot be run; the message names the step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramStep:
    """One step of a program.

    Attributes:
        function: What is done: `filter_color`, `relate`, ...
        inputs: Positions of the steps whose outputs it takes.
        values: What it is done with: `red`, `left`.
    """

    function: str
    inputs: tuple[int, ...] = ()
    values: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.function}[{self.values[0]}]" if self.values else self.function


@dataclass(frozen=True, slots=True, kw_only=True)
class _Function:
    """What a function takes and gives, by name of the kind, and the node it makes."""

    takes: tuple[str, ...]
    gives: str
    build: Callable[..., Expression]
    values: int = 0


def _filter(attribute: str) -> Callable[..., Expression]:
    return lambda source, value: Filter(source, attribute, value)


def _query(attribute: str) -> Callable[..., Expression]:
    return lambda source: Attribute(source=source, name=attribute)


def _same(attribute: str) -> Callable[..., Expression]:
    return lambda anchor: Same(source=Select(None), attribute=attribute, anchor=anchor)


def _compare(operator: str) -> Callable[..., Expression]:
    return lambda a, b: Compare(left=a, operator=operator, right=b)  # type: ignore[arg-type]


def _relate(anchor: Unique, value: str) -> Expression:
    return Relate(source=Select(None), relation=_RELATIONS[value], anchor=anchor)


def _functions() -> dict[str, _Function]:
    made = {
        "scene": _Function(takes=(), gives="set", build=lambda: Select(None)),
        "unique": _Function(takes=("set",), gives="object", build=Unique),
        "relate": _Function(takes=("object",), gives="set", build=_relate, values=1),
        "union": _Function(takes=("set", "set"), gives="set", build=lambda a, b: Or((a, b))),
        "intersect": _Function(takes=("set", "set"), gives="set", build=lambda a, b: And((a, b))),
        "count": _Function(takes=("set",), gives="number", build=Count),
        "exist": _Function(takes=("set",), gives="truth", build=Exists),
        "equal_object": _Function(
            takes=("object", "object"), gives="truth", build=lambda a, b: Exists(And((a, b)))
        ),
    }
    orders = {"equal_integer": "equal", "less_than": "fewer", "greater_than": "more"}
    for name, operator in orders.items():
        made[name] = _Function(
            takes=("number", "number"), gives="truth", build=_compare(operator)
        )  # fmt: skip
    for key in _ATTRIBUTES:
        made[f"filter_{key}"] = _Function(takes=("set",), gives="set", build=_filter(key), values=1)
        made[f"query_{key}"] = _Function(takes=("object",), gives=key, build=_query(key))
        made[f"same_{key}"] = _Function(takes=("object",), gives="set", build=_same(key))
        made[f"equal_{key}"] = _Function(takes=(key, key), gives="truth", build=_compare("equal"))
    return made


_FUNCTIONS: Mapping[str, _Function] = _functions()


def read_program(rows: object, *, where: str) -> tuple[ProgramStep, ...]:
    """Read a program as JSON holds it.

    Args:
        rows: A list of objects with `type` (or `function`), `inputs`, and `value_inputs` (or
            `side_inputs`), as the generator and the released data set write them.
        where: What messages call it.

    Raises:
        ProgramError: If it is malformed; the message names the step.

    Examples:
        >>> rows = [{"type": "scene", "inputs": []}, {"type": "count", "inputs": [0]}]
        >>> [step.function for step in read_program(rows, where="question 1")]
        ['scene', 'count']
        >>> read_program([], where="question 1")
        Traceback (most recent call last):
        groundplane.spatial.programs.ProgramError: question 1: expected a program of 1 to 1000 ...
    """
    if not isinstance(rows, list) or not 1 <= len(rows) <= _LONGEST:
        got = f"{len(rows)} steps" if isinstance(rows, list) else type(rows).__name__
        raise ProgramError(f"{where}: expected a program of 1 to {_LONGEST} steps, got {got}")
    steps = tuple(_read_step(row, f"{where}, step {k}") for k, row in enumerate(rows))
    _check(steps, where)
    return steps


def _read_step(row: object, where: str) -> ProgramStep:
    if not isinstance(row, Mapping):
        raise ProgramError(f"{where}: expected an object, got {type(row).__name__}")
    function = row.get("type", row.get("function"))
    inputs = row.get("inputs")
    values = row.get("value_inputs", row.get("side_inputs", []))
    if not isinstance(function, str):
        raise ProgramError(f"{where}: expected the name of a function as 'type', got {function!r}")
    if not isinstance(inputs, list) or not all(type(item) is int for item in inputs):
        raise ProgramError(f"{where} ({function}): expected 'inputs', a list of whole numbers")
    if not isinstance(values, list) or not all(isinstance(item, str) for item in values):
        raise ProgramError(f"{where} ({function}): expected 'value_inputs', a list of texts")
    return ProgramStep(function=function, inputs=tuple(inputs), values=tuple(values))


def _check(steps: Sequence[ProgramStep], where: str) -> None:
    """Every function is known, and is given what it takes by an earlier step."""
    for k, step in enumerate(steps):
        place = f"{where}, step {k} ({step.function})"
        function = _FUNCTIONS.get(step.function)
        if function is None:
            hint = did_you_mean(step.function, _FUNCTIONS)
            known = listing(_FUNCTIONS, limit=40)
            raise ProgramError(f"{place}: there is no such function.{hint} Known: {known}")
        if bad := [at for at in step.inputs if not 0 <= at < k]:
            raise ProgramError(f"{place}: expected inputs from earlier steps, got {bad[0]}")
        given = tuple(_FUNCTIONS[steps[at].function].gives for at in step.inputs)
        if given != function.takes:
            wanted, got = listing(function.takes), listing(given)
            raise ProgramError(f"{place}: expected inputs of kind {wanted}, got {got}")
        if len(step.values) != function.values:
            got = listing(map(repr, step.values))
            raise ProgramError(f"{place}: expected {function.values} values, got {got}")
        if step.function == "relate" and step.values[0] not in _RELATIONS:
            raise ProgramError(
                f"{place}: expected one of {listing(_RELATIONS)}, got {step.values[0]!r}"
            )


def compile_program(steps: Sequence[ProgramStep]) -> tuple[Expression, ...]:
    """One expression a step; a later one holds those that it takes.

    Raises:
        ProgramError: If a step is unknown or is given the wrong inputs.

    Examples:
        >>> from groundplane.core.queries import describe
        >>> rows = [{"type": "scene", "inputs": []},
        ...         {"type": "filter_color", "inputs": [0], "value_inputs": ["red"]},
        ...         {"type": "count", "inputs": [1]}]
        >>> describe(compile_program(read_program(rows, where="a question"))[-1])
        "count(filter(select(), 'color', 'red'))"
    """
    _check(steps, "program")
    made: list[Expression] = []
    for step in steps:
        inputs = [made[at] for at in step.inputs]
        made.append(_FUNCTIONS[step.function].build(*inputs, *step.values))
    return tuple(made)


def run_program(scene: Scene, steps: Sequence[ProgramStep], *, where: str) -> tuple[Output, ...]:
    """Run a program and give the output of every step.

    Args:
        scene: Where it is run; its own camera says what left and right are.
        steps: The program.
        where: What messages call it.

    Returns:
        Positions of objects in ascending order for a set, the position for one object, else the
        number, word or truth value.

    Raises:
        ProgramError: If a `unique` finds none or several, or the scene cannot tell.
    """
    finder = SetSolver(scene=scene)
    outputs: list[Output] = []
    for k, (step, node) in enumerate(zip(steps, compile_program(steps), strict=True)):
        try:
            outputs.append(_output(finder, node))
        except (StopError, UnsupportedError, ProgramError) as error:
            raise ProgramError(f"{where}, step {k} ({step}): {error}") from error
    return tuple(outputs)


def _output(finder: SetSolver, node: Expression) -> Output:
    if isinstance(node, Count | Exists | Attribute | Compare):
        value = answer_with(finder, node).value
        if not isinstance(value, bool | int | str):
            raise ProgramError(f"expected one value, got {value!r}")
        return value
    found = finder.find(node)  # type: ignore[arg-type]
    rows: list[int] = sorted(found.index.tolist())
    if found.view is not None and found.view.open:
        raise ProgramError("nobody looks: the scene states no 'view' of a camera")
    if not isinstance(node, Unique):
        return tuple(rows)
    if len(rows) != 1:
        raise ProgramError(f"expected one object, got {len(rows)} ({finder.names(rows)})")
    return rows[0]
