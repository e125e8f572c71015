"""Which objects a set expression names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from groundplane.core.answer import Status, Step
from groundplane.core.errors import listing
from groundplane.core.expressions import (
    And,
    Except,
    Extreme,
    Filter,
    Or,
    Relate,
    Select,
    SetExpression,
    Unique,
)
from groundplane.core.lexicon import match_phrase, near_labels, normalise
from groundplane.spatial.found import Found, StopError, View
from groundplane.spatial.nouns import noun
from groundplane.spatial.scene import Scene, UnsupportedError
from groundplane.spatial.viewing import find_view

__all__ = ["NEEDS_VIDEO", "SetSolver"]

# Two measures closer than this share of the larger count as a tie that a user should hear of.
_TIE = 1e-3
_SIDES = ("left_of", "right_of", "in_front_of", "behind")


@dataclass(slots=True, kw_only=True, eq=False)
class SetSolver:
    """Finds sets in one scene and keeps the steps.

    Attributes:
        scene: Where to look.
        steps: What was done, in order.
    """

    scene: Scene
    steps: list[Step] = field(default_factory=list)

    def find(self, node: SetExpression) -> Found:
        """The objects that an expression names.

        Raises:
            StopError: If a phrase names nothing in the scene, or the scene cannot tell.
        """
        try:
            found = self._dispatch(node)
        except UnsupportedError as error:
            raise StopError(Status.CANNOT_DETECT, str(error)) from error
        if not isinstance(node, Unique):
            self._note(node, found)
        return found

    def _dispatch(self, node: SetExpression) -> Found:
        match node:
            case Select():
                return self._select(node)
            case Unique():
                inner = self.find(node.source)
                return replace(inner, definite=True)
            case Relate():
                return self._relate(node)
            case Extreme():
                return self._extreme(node)
            case Filter():
                return self._filter(node)
            case Or():
                return self._or(node)
            case And():
                parts = [self.find(source) for source in node.sources]
                index = [i for i in self._list(parts[0]) if all(i in self._list(p) for p in parts)]
                anchors = tuple(a for p in parts for a in p.anchors)
                return replace(parts[0], index=self.index(index), anchors=anchors)
            case Except():
                source, out = self.find(node.source), self.find(node.excluded)
                left = [i for i in self._list(source) if i not in self._list(out)]
                return replace(source, index=self.index(left), stated=None)

    def index(self, rows: Sequence[int]) -> Int[Tensor, " n"]:
        """Positions as a tensor."""
        return torch.tensor(list(rows), dtype=torch.long)

    @staticmethod
    def _list(found: Found) -> list[int]:
        rows: list[int] = found.index.tolist()
        return rows

    def names(self, rows: Sequence[int], *, limit: int = 8) -> str:
        """Names of objects for a message."""
        return listing([self.scene.names[i] for i in rows], limit=limit)

    def _note(self, node: SetExpression, found: Found) -> None:
        name = type(node).__name__.lower()
        self.steps.append(Step(name=name, detail=f"{found.name}: {self.names(self._list(found))}"))

    # -- select ---------------------------------------------------------------------------

    def _select(self, node: Select) -> Found:
        if node.phrase is None:
            return Found(index=torch.arange(len(self.scene.ids)), name="objects")
        name = noun(node)
        named = self._by_id(node.phrase)
        if named is not None:
            return Found(index=self.index([named]), name=name)
        vocabulary = self.scene.vocabulary()
        match = match_phrase(node.phrase, vocabulary)
        if match is None:
            raise StopError(Status.UNKNOWN_OBJECT, self._unknown(node.phrase))
        rows = sorted(i for label in match.labels for i in self.scene.rows(label))
        if match.modifiers:
            rows = self._with_attributes(node.phrase, rows, match.modifiers)
        stated = sum(self.scene.counts.get(label, 0) for label in match.labels)
        notes: tuple[str, ...] = ()
        if match.how == "kind":
            notes = (f"took {listing(match.labels)} as {normalise(node.phrase)!r}",)
        found = Found(index=self.index(rows), name=name, notes=notes)
        return found if match.modifiers or stated == len(rows) else replace(found, stated=stated)

    def _by_id(self, phrase: str) -> int | None:
        text = normalise(phrase)
        if not text[-1:].isdigit():
            return None
        wanted = text.replace("#", " ").split()
        for i, name in enumerate(self.scene.names):
            if name.lower().replace("-", " ").replace("_", " ").split() == wanted:
                return i
        return None

    def _with_attributes(
        self, phrase: str, rows: list[int], modifiers: tuple[str, ...]
    ) -> list[int]:
        """Those whose attributes hold every modifier; none is an unknown object."""
        kept = [
            i
            for i in rows
            if {m.lower() for m in modifiers}
            <= {word for v in self.scene.attributes(i).values() for word in v.lower().split()}
        ]
        if kept:
            return kept
        what = self.scene.labels[rows[0]] if rows else phrase
        raise StopError(
            Status.UNKNOWN_OBJECT,
            f"no {normalise(phrase)!r} in this scene: it has {len(rows)} of {what!r} "
            f"({self.names(rows)}) and does not say which is {' '.join(modifiers)!r}",
        )

    def _unknown(self, phrase: str) -> str:
        counts = self.scene.counts
        have = listing([f"{label} ({counts.get(label, 0)})" for label in self.scene.vocabulary()])
        near = near_labels(phrase, self.scene.vocabulary())
        hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
        return f"no {normalise(phrase)!r} in this scene; it has: {have}.{hint}"

    def _filter(self, node: Filter) -> Found:
        source = self.find(node.source)
        rows = [
            i
            for i in self._list(source)
            if self.scene.attributes(i).get(node.attribute, "").lower() == node.value.lower()
        ]
        return replace(source, index=self.index(rows), stated=None, name=noun(node))

    def _or(self, node: Or) -> Found:
        parts = [self.find(source) for source in node.sources]
        rows = list(dict.fromkeys(i for part in parts for i in self._list(part)))
        return Found(
            index=self.index(rows),
            name=noun(node),
            options=tuple((part.name, part.index) for part in parts),
            notes=tuple(n for part in parts for n in part.notes),
            open=any(part.open for part in parts),
        )

    # -- relate ---------------------------------------------------------------------------

    def _relate(self, node: Relate) -> Found:
        source = self.find(node.source)
        if node.relation == "between":
            return self._between(node, source)
        anchor = self.find(node.anchor) if node.anchor is not None else None
        if anchor is not None and not len(anchor):
            return replace(source, index=self.index([]), name=noun(node), stated=None,
                           notes=(*source.notes, f"there is no {anchor.name}"))  # fmt: skip
        view: View | None = None
        if node.relation in _SIDES:
            view = find_view(self, node.viewpoint, anchor, relation=node.relation)
            holds = self._sided(node.relation, source, anchor, view)
        elif anchor is None:
            raise StopError(
                Status.AMBIGUOUS, f"{node.relation.replace('_', ' ')} what? name an object"
            )
        else:
            holds = self.scene.relation(node.relation, source.index, anchor.index, node.limit)
        found = self._restrict(node, source, anchor, holds)
        if view is not None:
            found = replace(
                found, view=view, open=found.open or view.open, notes=(*found.notes, *view.notes)
            )
        return found

    def _sided(
        self, relation: str, source: Found, anchor: Found | None, view: View
    ) -> Bool[Tensor, "a b"]:
        if anchor is None:
            # What one stands at or looks at fixes the view; it lies on no side of it.
            fixed = torch.tensor(view.evidence, dtype=torch.long)
            free = ~torch.isin(source.index, fixed)
            points = self.scene.ground(source.index)
            return (view.relation_to_viewer(relation, points) & free)[:, None]
        return self.scene.side(relation, source.index, anchor.index, view.direction)

    def _restrict(
        self, node: Relate, source: Found, anchor: Found | None, holds: Bool[Tensor, "a b"]
    ) -> Found:
        """Keep what holds for any anchor; an open anchor that matters leaves the set open."""
        if anchor is not None:
            holds = holds & (source.index[:, None] != anchor.index[None])
        keep = holds.any(dim=1)
        notes, is_open = source.notes, source.open
        if anchor is not None:
            notes, is_open = (*notes, *anchor.notes), is_open or anchor.open
            if anchor.definite and len(anchor) > 1:
                differ = not bool((holds == holds[:, :1]).all())
                is_open = is_open or differ
                what = (
                    f"there are {len(anchor)} of {anchor.name!r} ({self.names(self._list(anchor))})"
                )
                notes = (
                    *notes,
                    f"{what}; took any of them" if differ else f"{what}; the same for each",
                )
        return Found(
            index=source.index[keep],
            name=noun(node),
            anchors=(*source.anchors, *(self._list(anchor) if anchor else [])),
            notes=notes,
            open=is_open,
        )

    def _between(self, node: Relate, source: Found) -> Found:
        if node.anchor is None:
            raise StopError(Status.AMBIGUOUS, "between which two things?")
        ends = self.find(node.anchor)
        groups = [index for _, index in ends.options] or [ends.index[:1], ends.index[1:]]
        if len(groups) != 2 or any(len(group) != 1 for group in groups):
            raise StopError(
                Status.AMBIGUOUS,
                f"'between' needs two single things; {ends.name} names {len(ends)} "
                f"({self.names(self._list(ends))})",
            )
        a, b = (self.scene.ground(group)[0] for group in groups)
        others = [i for i in self._list(source) if i not in self._list(ends)]
        index = self.index(others)
        keep = _lies_between(self.scene.ground(index), a, b, reach=self._reach(index))
        return Found(
            index=index[keep], name=noun(node), anchors=tuple(self._list(ends)),
            notes=(*source.notes, *ends.notes),
        )  # fmt: skip

    def _reach(self, index: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
        """Half of each object's longer horizontal side."""
        if not len(index):
            return torch.zeros(0, dtype=torch.float64)
        return self.scene.measure("width", index).double() / 2

    # -- extreme --------------------------------------------------------------------------

    def _extreme(self, node: Extreme) -> Found:
        source = self.find(node.source)
        if node.measure == "count":
            return self._most_numerous(node, source)
        anchor = self.find(node.anchor) if node.anchor is not None else None
        rows = source.index
        if anchor is not None:
            # Of an object to itself, or to its own kind, no distance is meant.
            rows = self.index([i for i in self._list(source) if i not in self._list(anchor)])
        if not len(rows) or (anchor is not None and not len(anchor)):
            raise StopError(
                Status.UNKNOWN_OBJECT, f"there is no {source.name} to choose from in this scene"
            )
        values = self._values(node, rows, anchor)
        if source.options:
            return self._best_option(node, source, anchor, rows=rows, values=values)
        order = torch.argsort(values, descending=node.largest, stable=True)
        if node.rank > len(rows):
            raise StopError(
                Status.UNKNOWN_OBJECT, f"there are only {len(rows)} {source.name} to rank"
            )
        best = order[node.rank - 1]
        notes = (*source.notes, *(anchor.notes if anchor else ()))
        notes += self._tie(rows, values, best)
        notes += self._nearest_anchor(anchor)
        return Found(
            index=rows[best][None], name=noun(node), notes=notes,
            anchors=tuple(self._list(anchor)) if anchor else (),
            open=source.open or bool(anchor and anchor.open),
            definite=True,
        )  # fmt: skip

    def _values(
        self, node: Extreme, rows: Int[Tensor, " n"], anchor: Found | None
    ) -> Float[Tensor, " n"]:
        if node.measure == "distance":
            if anchor is None:
                raise StopError(Status.AMBIGUOUS, "nearest to what? name an object")
            return self.scene.gaps(rows, anchor.index).amin(dim=1)
        if node.measure == "first_seen":
            seen = self.scene.first_seen(rows)
            if bool(seen.isnan().any()):
                raise StopError(Status.NEEDS_VIDEO, NEEDS_VIDEO)
            return seen
        return self.scene.measure(node.measure, rows)

    def _best_option(
        self, node: Extreme, source: Found, anchor: Found | None, *,
        rows: Int[Tensor, " n"], values: Float[Tensor, " n"],
    ) -> Found:  # fmt: skip
        """The option whose best object wins; several objects of an option are no trouble."""
        place = {row: k for k, row in enumerate(rows.tolist())}
        scored: list[tuple[float, str, int]] = []
        for name, index in source.options:
            inside = [place[i] for i in index.tolist() if i in place]
            if not inside:
                raise StopError(
                    Status.UNKNOWN_OBJECT, f"the option {name!r} names nothing to compare"
                )
            picked = values[inside]
            far = node.largest and node.measure != "distance"
            at = int(picked.argmax() if far else picked.argmin())
            scored.append((float(picked[at]), name, inside[at]))
        scored.sort(key=lambda item: item[0], reverse=node.largest)
        if node.rank > len(scored):
            raise StopError(Status.UNKNOWN_OBJECT, f"there are only {len(scored)} options")
        _, name, at = scored[node.rank - 1]
        others = {n: float(v) for v, n, _ in scored}
        self.steps.append(
            Step(
                name="compare",
                detail=f"{node.measure}: "
                + ", ".join(f"{n} {v:.3f} {self.scene.unit}" for n, v in others.items()),
            )
        )
        notes = (*source.notes, *(anchor.notes if anchor else ()), *self._nearest_anchor(anchor))
        if len(scored) > node.rank and _close(scored[node.rank - 1][0], scored[node.rank][0]):
            notes += (f"{scored[node.rank][1]} is as good as equal",)
        return Found(
            index=rows[at][None], name=noun(node), notes=notes, options=((name, rows[at][None]),),
            anchors=tuple(self._list(anchor)) if anchor else (), definite=True,
            open=source.open or bool(anchor and anchor.open),
        )  # fmt: skip

    def _most_numerous(self, node: Extreme, source: Found) -> Found:
        ranked = sorted(
            ((len(index), name, index) for name, index in source.options),
            key=lambda item: item[0],
            reverse=node.largest,
        )
        count, name, index = ranked[0]
        notes = source.notes
        if ranked[1][0] == count:
            notes += (f"there are as many of {ranked[1][1]}: {count}",)
        return Found(index=index, name=noun(node), options=((name, index),), notes=notes)

    def _tie(
        self, rows: Int[Tensor, " n"], values: Float[Tensor, " n"], best: Tensor
    ) -> tuple[str, ...]:
        chosen = values[best]
        close = (values - chosen).abs() <= _TIE * chosen.abs().clamp(min=1e-9)
        others = [i for i in rows[close].tolist() if i != int(rows[best])]
        return (f"{self.names(others)} is as good as equal",) if others else ()

    def _nearest_anchor(self, anchor: Found | None) -> tuple[str, ...]:
        if anchor is None or not anchor.definite or len(anchor) < 2:
            return ()
        return (f"there are {len(anchor)} of {anchor.name!r}; measured to the closest of them",)


NEEDS_VIDEO = "cannot be told from boxes: needs the video"


def _close(a: float, b: float) -> bool:
    return abs(a - b) <= _TIE * max(abs(a), abs(b), 1e-9)


def _lies_between(
    points: Float[Tensor, "n 2"], a: Float[Tensor, " 2"], b: Float[Tensor, " 2"], *,
    reach: Float[Tensor, " n"],
) -> Bool[Tensor, " n"]:  # fmt: skip
    """Whether the line from a to b passes within `reach` of a point, and the point beside it."""
    line = b - a
    length = line.norm().clamp(min=1e-9)
    along: Float[Tensor, " n"] = (points - a) @ line / length**2
    across: Float[Tensor, " n"] = ((points - a) @ torch.stack([-line[1], line[0]]) / length).abs()
    return (along > 0) & (along < 1) & (across <= reach)
