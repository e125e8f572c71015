"""Chains of stated places: how they add up, and where they contradict each other.

Source: Shi, Zhang and Lipani, StepGame, AAAI 2022: every statement is one step on a grid, and a
relation is the direction of the sum of the steps. Where a story closes a cycle that does not sum to
nothing, it contradicts itself; we then compare all chains instead of trusting one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Any, Literal

import networkx as nx

from groundplane.spatial.stories.words import Offset

__all__ = ["Chain", "Contradiction", "Insides", "Places", "Statement", "direction_of", "in_steps"]

_NOWHERE: Offset = (0, 0, 0)
# So many chains are compared where a story contradicts itself, and so many steps are taken to find
# them; more are no longer a story.
_MOST_CHAINS = 2_000
_MOST_STEPS = 100_000
# Things within things within things: so deep is looked for places that do not go with it.
_DEEPEST = 100
_PLANE = {
    (-1, 1): "upper-left", (0, 1): "above", (1, 1): "upper-right",
    (-1, 0): "left", (0, 0): "overlap", (1, 0): "right",
    (-1, -1): "lower-left", (0, -1): "below", (1, -1): "lower-right",
}  # fmt: skip
_WAYS = (("left", "right"), ("down", "up"), ("behind", "in front"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What a sentence of a story says of two things.

    Attributes:
        number: Which sentence, from 1.
        text: The sentence as written.
        subject: Key of the thing that is somewhere.
        anchor: Key of the thing that it is seen from.
        kind: `place`, or `inside` (the subject lies in the anchor).
        offset: Steps to the right, up and towards the viewer, of the subject from the anchor.
    """

    number: int
    text: str
    subject: str
    anchor: str
    kind: Literal["place", "inside"]
    offset: Offset

    @property
    def id(self) -> str:
        """The sentence: `s3` is the third."""
        return f"s{self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """Statements that lead from one thing to another.

    Attributes:
        names: The things passed, from the first to the last.
        statements: One fewer than names.
        offset: Where the first thing lies from the last, in steps.
    """

    names: tuple[str, ...]
    statements: tuple[Statement, ...]
    offset: Offset

    @property
    def direction(self) -> str:
        """Where the first thing lies from the last, in words."""
        return direction_of(self.offset)

    @property
    def any_length(self) -> bool:
        """Whether steps of other lengths would lead to the same direction."""
        return all(
            len({way for way in axis if way}) < 2
            for axis in zip(*(steps for _, steps in self.legs()), strict=True)
        )

    def legs(self) -> list[tuple[Statement, Offset]]:
        """The statements, each with the step from the later thing to the earlier one."""
        return [
            (statement, _along(statement, earlier))
            for earlier, statement in zip(self.names, self.statements, strict=False)
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contradiction:
    """Statements that cannot all be true.

    Attributes:
        statements: Those of a cycle, in its order.
        names: The things of the cycle.
        offset: By how much it fails to close, in steps; nothing for things inside each other.
        nested: Whether they put a thing inside another and beside it at once.
    """

    statements: tuple[Statement, ...]
    names: tuple[str, ...]
    offset: Offset = _NOWHERE
    nested: bool = False

    def describe(self) -> str:
        """One line: which sentences, and how far they miss."""
        ids = ", ".join(dict.fromkeys(statement.id for statement in self.statements))
        if self.nested:
            return f"{ids} put a thing inside another and {in_steps(self.offset)} of it"
        if self.offset == _NOWHERE:
            return f"{ids} put things inside each other in a circle"
        return (
            f"{ids} contradict each other: the circle misses its start by {in_steps(self.offset)}"
        )


def direction_of(offset: Offset) -> str:
    """The direction of an offset.

    Examples:
        >>> direction_of((-2, 1, 0)), direction_of((0, 0, 0)), direction_of((1, 0, -1))
        ('upper-left', 'overlap', 'right, behind')
    """
    x, y, z = ((way > 0) - (way < 0) for way in offset)
    depth = _WAYS[2][z > 0] if z else ""
    if depth and (x, y) == (0, 0):
        return depth
    return f"{_PLANE[x, y]}, {depth}" if depth else _PLANE[x, y]


def in_steps(offset: Offset) -> str:
    """An offset in words.

    Examples:
        >>> in_steps((-2, 1, 0)), in_steps((0, 0, 0))
        ('2 left, 1 up', 'no step')
    """
    parts = [f"{abs(n)} {ways[n > 0]}" for n, ways in zip(offset, _WAYS, strict=True) if n]
    return ", ".join(parts) or "no step"


def _along(statement: Statement, earlier: str) -> Offset:
    """The step from the other thing of a statement to the earlier one."""
    x, y, z = statement.offset
    return (x, y, z) if statement.subject == earlier else (-x, -y, -z)


def _plus(first: Offset, second: Offset) -> Offset:
    return first[0] + second[0], first[1] + second[1], first[2] + second[2]


def _minus(first: Offset, second: Offset) -> Offset:
    return first[0] - second[0], first[1] - second[1], first[2] - second[2]


# How each thing was first reached: from which, and by which statement; the start by none.
Parents = dict[str, tuple[str, Statement] | None]


class Places:
    """The stated places of a story as a graph."""

    def __init__(self, statements: Iterable[Statement]) -> None:
        self._graph: nx.MultiGraph[str] = nx.MultiGraph()
        for statement in statements:
            self._graph.add_edge(statement.subject, statement.anchor, said=statement)
        parts = enumerate(nx.connected_components(self._graph))
        self._part = {name: number for number, names in parts for name in names}

    def part(self, name: str) -> int | None:
        """Which of the parts that nothing ties together a thing is in; None for none."""
        return self._part.get(name)

    def shortest(self, first: str, last: str) -> tuple[Chain, ...]:
        """The chains of fewest statements, one a direction; the earliest sentences come first."""
        if self.part(first) is None or self.part(first) != self.part(last):
            return ()
        paths = islice(nx.all_shortest_paths(self._graph, first, last), _MOST_CHAINS)
        found = [chain for names in paths for chain in self._over(names)]
        found.sort(key=lambda chain: [statement.number for statement in chain.statements])
        chains: dict[str, Chain] = {}
        for chain in found:
            chains.setdefault(chain.direction, chain)
        return tuple(chains.values())

    def _over(self, names: Sequence[str]) -> list[Chain]:
        """The chains over given names: one, or more where two sentences differ on a pair."""
        chains = [Chain(names=(names[0],), statements=(), offset=_NOWHERE)]
        for here, there in pairwise(names):
            said = {_along(s, here): s for s in reversed(self._between(here, there))}
            chains = [
                Chain(
                    names=(*chain.names, there),
                    statements=(*chain.statements, statement),
                    offset=_plus(chain.offset, step),
                )
                for chain in chains
                for step, statement in said.items()
            ][:_MOST_CHAINS]
        return chains

    def _between(self, first: str, second: str) -> list[Statement]:
        return [data["said"] for data in self._graph.get_edge_data(first, second).values()]

    def contradictions(self) -> tuple[Contradiction, ...]:
        """One for every statement that does not fit the statements before it."""
        found: list[Contradiction] = []
        order = {name: i for i, name in enumerate(self._graph)}
        for names in nx.connected_components(self._graph):
            part = self._graph.subgraph(names)
            start = min(names, key=lambda name: order[name])
            at, parents = _lay_out(part, start)
            for statement in _told(part):
                gap = _minus(_plus(at[statement.anchor], statement.offset), at[statement.subject])
                if gap != _NOWHERE:
                    found.append(_cycle(statement, parents, gap))
        return tuple(sorted(found, key=lambda item: len(item.statements)))

    def disputed(self, first: str, last: str) -> bool:
        """Whether a contradiction lies among the chains between two things."""
        part = self._on_the_way(first, last)
        at, _ = _lay_out(part, first)
        return any(_plus(at[s.anchor], s.offset) != at[s.subject] for s in _told(part))

    def chains(self, first: str, last: str) -> tuple[tuple[Chain, ...], bool]:
        """All chains between two things, and whether there were more than can be compared."""
        part = self._on_the_way(first, last)
        found: list[Chain] = []
        said: list[Statement] = []
        passed = {first: None}
        ways = [self._steps(part, first)]
        for _ in range(_MOST_STEPS):
            step = next(ways[-1], None)
            if step is None:
                ways.pop()
                if not ways:
                    return tuple(found), True
                passed.popitem()
                said.pop()
            elif step[0] == last:
                if len(found) == _MOST_CHAINS:
                    break
                found.append(_summed(first, (*said, step[1])))
            elif step[0] not in passed:
                passed[step[0]] = None
                said.append(step[1])
                ways.append(self._steps(part, step[0]))
        return tuple(found), False

    @staticmethod
    def _steps(graph: nx.MultiGraph[str], name: str) -> Iterator[tuple[str, Statement]]:
        """The things beside a thing, each with a statement that says so."""
        edges: Any = graph.edges(name, data="said")
        return ((there, said) for _, there, said in edges)

    def _on_the_way(self, first: str, last: str) -> nx.MultiGraph[str]:
        """The statements on any chain between two things: with their edge closed, one block."""
        closed = nx.Graph(self._graph)
        closed.add_edge(first, last)
        blocks: Iterator[Any] = nx.biconnected_components(closed)
        return self._graph.subgraph(next(names for names in blocks if {first, last} <= names))


class Insides:
    """What a story puts inside what."""

    def __init__(self, statements: Iterable[Statement]) -> None:
        self._holders: dict[str, list[Statement]] = defaultdict(list)
        for statement in statements:
            self._holders[statement.subject].append(statement)

    def outward(self, start: str, *, deepest: int | None = None) -> Parents:
        """All that a thing is inside and how each is reached: itself first, then the nearest."""
        found: Parents = {start: None}
        level, depth = [start], 0
        while level and depth != deepest:
            here, level, depth = level, [], depth + 1
            for name in here:
                for statement in self._holders.get(name, ()):
                    if statement.anchor not in found:
                        found[statement.anchor] = (name, statement)
                        level.append(statement.anchor)
        return found

    def contradictions(self, places: Places) -> Iterator[Contradiction]:
        """Things inside each other in a circle, and things inside what they are beside."""
        graph = nx.DiGraph((s.subject, s.anchor) for said in self._holders.values() for s in said)
        for names in nx.strongly_connected_components(graph):
            if len(names) > 1:
                start = next(name for name in graph if name in names)
                near = self.outward(start)
                back = next(s for name in near for s in self._holders[name] if s.anchor == start)
                said = (*reached(near, back.subject), back)
                yield Contradiction(statements=said, names=tuple(s.subject for s in said))
        for name in list(self._holders):
            if places.part(name) is not None:
                yield from self._beside(name, places)

    def _beside(self, name: str, places: Places) -> Iterator[Contradiction]:
        near = self.outward(name, deepest=_DEEPEST)
        for holder in near:
            chains = places.shortest(name, holder) if holder != name else ()
            if chains and chains[0].direction != "overlap":
                said = (*reached(near, holder), *chains[0].statements)
                names = tuple(dict.fromkeys((name, holder, *chains[0].names)))
                offset = chains[0].offset
                yield Contradiction(statements=said, names=names, offset=offset, nested=True)


def reached(parents: Parents, name: str) -> tuple[Statement, ...]:
    """The statements that lead from the start to a thing."""
    said: list[Statement] = []
    while (link := parents[name]) is not None:
        name = link[0]
        said.append(link[1])
    return tuple(reversed(said))


def _told(graph: nx.MultiGraph[str]) -> list[Statement]:
    edges: Any = graph.edges(data="said")
    return [said for _, _, said in edges]


def _summed(first: str, statements: Sequence[Statement]) -> Chain:
    names, offset = [first], _NOWHERE
    for statement in statements:
        here = names[-1]
        offset = _plus(offset, _along(statement, here))
        names.append(statement.anchor if statement.subject == here else statement.subject)
    return Chain(names=tuple(names), statements=tuple(statements), offset=offset)


def _lay_out(graph: nx.MultiGraph[str], start: str) -> tuple[dict[str, Offset], Parents]:
    """Where each thing lies if the first statement that reaches it is right, and that statement."""
    at: dict[str, Offset] = {start: _NOWHERE}
    parents: Parents = {start: None}
    for here, there in nx.bfs_edges(graph, start):
        statement: Statement = next(iter(graph.get_edge_data(here, there).values()))["said"]
        at[there] = _plus(at[here], _along(statement, there))
        parents[there] = (here, statement)
    return at, parents


def _cycle(statement: Statement, parents: Parents, gap: Offset) -> Contradiction:
    """The circle that a statement closes."""
    up, down = (_to_root(name, parents) for name in (statement.subject, statement.anchor))
    while len(up) > 1 and len(down) > 1 and up[-2] == down[-2]:
        up.pop()
        down.pop()
    names = [*up, *reversed(down[:-1])]
    inner = [parents[name] for name in (*up[:-1], *reversed(down[:-1]))]
    said = [link[1] for link in inner if link is not None]
    return Contradiction(statements=(*said, statement), names=tuple(names), offset=gap)


def _to_root(name: str, parents: Parents) -> list[str]:
    path = [name]
    while (link := parents[path[-1]]) is not None:
        path.append(link[0])
    return path
