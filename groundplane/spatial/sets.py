"""Which objects a set expression names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from groundplane.core.answer import Status, Step
from groundplane.core.attributes import has_value, same_value
from groundplane.core.errors import listing
from groundplane.core.expressions import (
    And,
    Except,
    Extreme,
    Filter,
    Measured,
    Or,
    Relate,
    Same,
    Select,
    SetExpression,
    Unique,
)
from groundplane.spatial.found import Found, StopError, View
from groundplane.spatial.fronts import with_fronts
from groundplane.spatial.looking import ASSUMED, VISIBLE, seen_from
from groundplane.spatial.nouns import noun
from groundplane.spatial.ranking import holds_between, lies_between, ranked, scores_of, ties_of
from groundplane.spatial.scene import Scene, UnsupportedError, told_by_boxes
from groundplane.spatial.selecting import select_phrase
from groundplane.spatial.viewing import find_view

__all__ = ["NEEDS_VIDEO", "SetSolver"]

_SIDES = ("left_of", "right_of", "in_front_of", "behind")


@dataclass(slots=True, kw_only=True, eq=False)
class SetSolver:
    """Finds sets in one scene and keeps the steps.

    Attributes:
        scene: Where to look.
        steps: What was done, in order.
        views: The viewpoints that were used, the last one last.
        basis: Every object that a relation or a viewpoint rested on.
        known: What was found already: an expression that stands twice is solved once.
    """

    scene: Scene
    steps: list[Step] = field(default_factory=list)
    views: list[View] = field(default_factory=list)
    basis: dict[int, None] = field(default_factory=dict)
    known: dict[SetExpression, Found] = field(default_factory=dict)

    def find(self, node: SetExpression) -> Found:
        """The objects that an expression names.

        Raises:
            StopError: If a phrase names nothing in the scene, or the scene cannot tell.
        """
        if node in self.known:
            return self.known[node]
        try:
            found = self._dispatch(node)
        except UnsupportedError as error:
            raise StopError(Status.CANNOT_DETECT, str(error)) from error
        self.known[node] = found
        if not isinstance(node, Unique):
            self._note(node, found)
        return found

    def _dispatch(self, node: SetExpression) -> Found:
        match node:
            case Select():
                return select_phrase(self.scene, node)
            case Unique():
                inner = self.find(node.source)
                return replace(inner, definite=True)
            case Relate():
                return self._relate(node)
            case Same():
                return self._same(node)
            case Extreme():
                return self._extreme(node)
            case Filter():
                return self._filter(node)
            case Measured():
                return self._measured(node)
            case Or():
                return self._or(node)
            case And():
                return self._and(node)
            case Except():
                source, out = self.find(node.source), self.find(node.excluded)
                left = source.keep(~torch.isin(source.index, out.index))
                notes = tuple(dict.fromkeys((*source.notes, *out.notes, *_spread(out))))
                is_open = source.open or out.open
                return replace(left, name=noun(node), notes=notes, open=is_open)

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

    def ids(self, rows: Sequence[int]) -> tuple[str, ...]:
        """Ids for the evidence, each once."""
        return tuple(self.scene.ids[i] for i in dict.fromkeys(rows))

    def evidence(self, found: Found) -> tuple[str, ...]:
        """Ids of the objects found, of what they were found by, and of what fixed the view."""
        view = found.view.evidence if found.view is not None else ()
        return self.ids([*self._list(found), *found.anchors, *view])

    def _note(self, node: SetExpression, found: Found) -> None:
        name = type(node).__name__.lower()
        self.steps.append(Step(name=name, detail=f"{found.name}: {self.names(self._list(found))}"))

    # -- by what is stated ----------------------------------------------------------------

    def _filter(self, node: Filter) -> Found:
        source = self.find(node.source)
        stated = self._stated(source, node.attribute)
        kept = torch.tensor(
            [
                value is not None and has_value(node.attribute, value, node.value)
                for value in stated
            ],
            dtype=torch.bool,
        )
        if source.definite and len(source) > 1:
            # One was meant: whether it has the value may depend on which.
            found = self._restrict(node, source, None, kept[:, None])
        else:
            found = source.keep(kept)
        return replace(
            found, name=noun(node),
            notes=(*found.notes, *_unstated(stated, node.attribute)),
        )  # fmt: skip

    def _measured(self, node: Measured) -> Found:
        """What measures more, or less, than so much; open where one of several was meant."""
        source = self.find(node.source)
        if self.scene.unit != "m":
            raise StopError(
                Status.CANNOT_DETECT, f"this scene is measured in {self.scene.unit}, not in metres"
            )
        values = self.scene.measure(node.measure, source.index)
        kept = torch.tensor(
            [holds_between(node.operator, value, node.limit) for value in values.tolist()],
            dtype=torch.bool,
        )
        return self._restrict(node, source, None, kept[:, None])

    def _stated(self, found: Found, attribute: str) -> list[str | None]:
        """An attribute of each object; a source that states it of none cannot tell."""
        stated = [self.scene.attributes(i).get(attribute) for i in self._list(found)]
        if stated and all(value is None for value in stated):
            raise StopError(
                Status.CANNOT_DETECT,
                f"nothing here tells the {attribute} of {found.name}: the source does not state it",
            )
        return stated

    def _same(self, node: Same) -> Found:
        """What shares an attribute with the anchor; the anchor is not like itself."""
        source, anchor = self.find(node.source), self.find(node.anchor)
        if not len(anchor):
            raise anchor.missing()
        self.basis.update(dict.fromkeys(self._list(anchor)))
        if told_by_boxes(self.scene, node.attribute, [*self._list(source), *self._list(anchor)]):
            holds = self.scene.relation("same_size", source.index, anchor.index)
            return self._restrict(node, source, anchor, holds)
        told = self._stated(anchor, node.attribute)
        stated = self._stated(source, node.attribute)
        holds = torch.tensor(
            [[a is not None and b is not None and same_value(a, b) for b in told] for a in stated],
            dtype=torch.bool,
        ).reshape(len(stated), len(told))
        found = self._restrict(node, source, anchor, holds)
        return replace(found, notes=(*found.notes, *_unstated(stated, node.attribute)))

    def _or(self, node: Or) -> Found:
        parts = [self.find(source) for source in node.sources]
        rows = list(dict.fromkeys(i for part in parts for i in self._list(part)))
        counts = tuple(len(part) if part.stated is None else part.stated for part in parts)
        apart = sum(map(len, parts)) == len(rows)
        return Found(
            index=self.index(rows),
            name=noun(node),
            options=tuple((part.name, part.index) for part in parts),
            anchors=tuple(a for part in parts for a in part.anchors),
            notes=tuple(dict.fromkeys(n for part in parts for n in part.notes)),
            open=any(part.open for part in parts),
            stated=sum(counts) if apart and sum(counts) != len(rows) else None,
            counts=counts,
        )

    def _and(self, node: And) -> Found:
        parts = [self.find(source) for source in node.sources]
        kept = torch.ones(len(parts[0]), dtype=torch.bool)
        for part in parts[1:]:
            kept &= torch.isin(parts[0].index, part.index)
        views = [part.view for part in parts if part.view is not None]
        return replace(
            parts[0].keep(kept),
            name=noun(node),
            anchors=tuple(a for part in parts for a in part.anchors),
            notes=tuple(dict.fromkeys(n for part in parts for n in part.notes)),
            open=any(part.open for part in parts),
            view=views[0] if views else None,
        )

    # -- relate ---------------------------------------------------------------------------

    def _relate(self, node: Relate) -> Found:
        source = self.find(node.source)
        if node.relation == "between":
            return self._between(node, source)
        anchor = self.find(node.anchor) if node.anchor is not None else None
        if anchor is not None and not len(anchor):
            named = node.anchor.source if isinstance(node.anchor, Unique) else node.anchor
            if isinstance(named, Select):
                raise StopError(Status.UNKNOWN_OBJECT, f"there is no {anchor.name} here")
            nothing = source.keep(torch.zeros(len(source), dtype=torch.bool))
            return replace(nothing, name=noun(node),
                           notes=(*source.notes, f"there is no {anchor.name}"))  # fmt: skip
        if anchor is not None:
            self.basis.update(dict.fromkeys(self._list(anchor)))
        if node.relation in _SIDES:
            return self._seen(node, source, anchor)
        if anchor is None:
            raise StopError(
                Status.AMBIGUOUS, f"{node.relation.replace('_', ' ')} what? name an object"
            )
        if node.relation == VISIBLE:
            holds = seen_from(self.scene, source.index, anchor.index)
            kept = self._restrict(node, source, anchor, holds)
            return replace(kept, notes=(*kept.notes, ASSUMED))
        holds = self.scene.relation(node.relation, source.index, anchor.index, node.limit)
        kept = self._restrict(node, source, anchor, holds)
        found = with_fronts(self, node, kept, source=source, anchor=anchor)
        self.views.extend([] if found.view is None else [found.view])
        return found

    def _seen(self, node: Relate, source: Found, anchor: Found | None) -> Found:
        """A relation that needs a viewer; a viewpoint that fits several places is tried at each."""
        view = find_view(self, node.viewpoint, anchor, relation=node.relation)
        self.views.append(view)
        self.basis.update(dict.fromkeys(view.evidence))

        def seen_by(one: View) -> Found:
            holds = self._sided(node.relation, source, anchor, one)
            return self._restrict(node, source, anchor, holds)

        found = seen_by(view)
        differ = any(not torch.equal(seen_by(one).index, found.index) for one in view.others)
        same = ("the same for each",) if view.others and not differ and not view.open else ()
        return replace(
            found, view=view, open=found.open or view.open or differ,
            notes=(*found.notes, *view.notes, *same),
        )  # fmt: skip

    def _sided(
        self, relation: str, source: Found, anchor: Found | None, view: View
    ) -> Bool[Tensor, "a b"]:
        if anchor is None:
            # What one stands at lies on no side of it, what one looks at neither left nor right.
            sideways = relation in ("left_of", "right_of")
            known = view.evidence if sideways else self._stood_at(view)
            fixed = torch.tensor(known, dtype=torch.long)
            free = ~torch.isin(source.index, fixed)
            points = self.scene.ground(source.index)
            return (view.relation_to_viewer(relation, points) & free)[:, None]
        return self.scene.side(relation, source.index, anchor.index, view.direction)

    def _stood_at(self, view: View) -> tuple[int, ...]:
        origin = view.frame.origin
        return () if origin is None else (self.scene.ids.index(origin),)

    def _restrict(
        self,
        node: Relate | Same | Filter | Measured,
        source: Found,
        anchor: Found | None,
        holds: Bool[Tensor, "a b"],
    ) -> Found:
        """Keep what holds for any anchor; an open anchor that matters leaves the set open."""
        if anchor is not None:
            holds = holds & (source.index[:, None] != anchor.index[None])
        keep = holds.any(dim=1)
        notes, is_open = source.notes, source.open
        if source.definite and len(source) > 1:
            mixed = bool(keep.any()) and not bool(keep.all())
            is_open = is_open or mixed
            several = f"there are {len(source)} of {source.name!r}"
            verdict = f"it holds for {self.names(source.index[keep].tolist())}"
            notes = (
                *notes,
                f"{several} ({self.names(self._list(source))}); "
                + (f"{verdict} only" if mixed else "the same for each"),
            )
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
        if len(ends) != 2 or [len(group) for group in groups] != [1, 1]:
            raise StopError(
                Status.AMBIGUOUS,
                f"'between' needs two single things; {ends.name} names {len(ends)} "
                f"({self.names(self._list(ends))})",
            )
        a, b = (self.scene.ground(group)[0] for group in groups)
        self.basis.update(dict.fromkeys(self._list(ends)))
        index = source.index[~torch.isin(source.index, ends.index)]
        keep = lies_between(self.scene.ground(index), a, b, reach=self._reach(index))
        return Found(
            index=index[keep], name=noun(node), anchors=tuple(self._list(ends)),
            notes=(*source.notes, *ends.notes), open=source.open or ends.open,
        )  # fmt: skip

    def _reach(self, index: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
        """Half of each object's longer horizontal side."""
        if not len(index):
            return torch.zeros(0, dtype=torch.float64)
        return self.scene.measure("length", index).double() / 2

    # -- extreme --------------------------------------------------------------------------

    def _extreme(self, node: Extreme) -> Found:
        source = self.find(node.source)
        if node.measure == "count":
            return self._most_numerous(node, source)
        anchor = self.find(node.anchor) if node.anchor is not None else None
        rows = source.index
        if anchor is not None:
            # Of an object to itself, or to its own kind, no distance is meant.
            rows = rows[~torch.isin(rows, anchor.index)]
            self.basis.update(dict.fromkeys(self._list(anchor)))
        if not len(rows) or (anchor is not None and not len(anchor)):
            raise StopError(
                Status.UNKNOWN_OBJECT, f"there is no {source.name} to choose from in this scene"
            )
        if anchor is not None and node.measure == "distance":
            # All boxes that touch are at 0: of those, the nearest centre goes first.
            centers = self.scene.center_distances(rows, anchor.index).amin(dim=1)
            rows = rows[centers.argsort(stable=True)]
        table = self._values(node, rows, anchor)
        groups = self._groups(source, rows)
        scores, places = scores_of(node, table.amin(dim=1), groups)
        if not 1 <= node.rank <= len(scores):
            raise StopError(
                Status.UNKNOWN_OBJECT,
                f"there are only {len(scores)} {source.name} to rank; none is number {node.rank}",
            )
        k = ranked(node, scores)
        row = rows[places[k]][None]
        names = [name for name, _ in source.options]
        if names:
            self._compared(node, names, scores)
        tied = [i for i in ties_of(scores, k) if i != k]
        words = listing(names[i] for i in tied) if names else self.names(rows[tied].tolist())
        be = "is" if len(tied) == 1 else "are"
        each, differ = self._each_anchor(node, table, groups, anchor, k)
        return Found(
            index=row, name=noun(node), definite=True,
            options=((names[k], row),) if names else (),
            notes=(*source.notes, *(anchor.notes if anchor else ()), *each,
                   *((f"{words} {be} as good as equal",) if tied else ())),
            anchors=tuple(self._list(anchor)) if anchor else (),
            open=differ or source.open or bool(anchor and anchor.open),
        )  # fmt: skip

    def _values(
        self, node: Extreme, rows: Int[Tensor, " n"], anchor: Found | None
    ) -> Float[Tensor, "n m"]:
        """The measure of each candidate; a distance to each anchor."""
        if node.measure == "distance":
            if anchor is None:
                raise StopError(Status.AMBIGUOUS, "nearest to what? name an object")
            return self.scene.gaps(rows, anchor.index)
        if node.measure == "first_seen":
            seen = self.scene.first_seen(rows)
            if bool(seen.isnan().any()):
                raise StopError(Status.NEEDS_VIDEO, NEEDS_VIDEO)
            return seen[:, None]
        return self.scene.measure(node.measure, rows)[:, None]

    @staticmethod
    def _groups(source: Found, rows: Int[Tensor, " n"]) -> list[Int[Tensor, " _"]]:
        """Which candidates belong to each option; none where nothing is to choose from."""
        groups = []
        for name, index in source.options:
            group = torch.isin(rows, index).nonzero()[:, 0]
            if not len(group):
                raise StopError(
                    Status.UNKNOWN_OBJECT, f"the option {name!r} names nothing to compare"
                )
            groups.append(group)
        return groups

    def _compared(self, node: Extreme, names: Sequence[str], scores: Float[Tensor, " c"]) -> None:
        pairs = zip(names, scores.tolist(), strict=True)
        detail = ", ".join(f"{name} {score:.3f} {self.scene.unit}" for name, score in pairs)
        self.steps.append(Step(name="compare", detail=f"{node.measure}: {detail}"))

    def _each_anchor(
        self, node: Extreme, table: Float[Tensor, "n m"], groups: list[Int[Tensor, " _"]],
        anchor: Found | None, chosen: int,
    ) -> tuple[tuple[str, ...], bool]:  # fmt: skip
        """Whether another choice wins at another of several anchors; and what to say of it."""
        if anchor is None or not anchor.definite or len(anchor) < 2:
            return (), False
        winners = {ranked(node, scores_of(node, values, groups)[0]) for values in table.unbind(1)}
        several = f"there are {len(anchor)} of {anchor.name!r} ({self.names(self._list(anchor))})"
        if winners == {chosen}:
            return (f"{several}; the same for each",), False
        return (f"{several}; measured to the closest of them; say which",), True

    def _most_numerous(self, node: Extreme, source: Found) -> Found:
        """The option with most or fewest objects, as stated where the scene states it."""
        if not 1 <= node.rank <= len(source.options) or len(source.options) < 2:
            raise StopError(
                Status.AMBIGUOUS, f"more of what? {source.name} is no choice of several kinds"
            )
        order = sorted(
            range(len(source.counts)), key=lambda k: source.counts[k], reverse=node.largest
        )
        k = order[node.rank - 1]
        name, index = source.options[k]
        tied = [source.options[i][0] for i in order if source.counts[i] == source.counts[k]]
        tied.remove(name)
        notes = source.notes
        if tied:
            notes = (*notes, f"there are as many of {listing(tied)}: {source.counts[k]}")
        return replace(
            source, index=index, name=noun(node), options=((name, index),), notes=notes,
            stated=None, counts=(),
        )  # fmt: skip


NEEDS_VIDEO = "cannot be told from boxes: needs the video"


def _unstated(stated: Sequence[str | None], attribute: str) -> tuple[str, ...]:
    """What to say where a source states an attribute of some objects only."""
    missing = stated.count(None)
    return (f"the {attribute} of {missing} of them is not stated",) if missing else ()


def _spread(found: Found) -> tuple[str, ...]:
    """What to say where a singular names several and all of them are meant."""
    if not found.definite or len(found) < 2:
        return ()
    return (f"there are {len(found)} of {found.name!r}; took all of them",)
