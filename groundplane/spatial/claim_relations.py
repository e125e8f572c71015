"""Relations that a text claims: their wordings, and whether they hold in a picture or on a map.

A picture shows no depth, so a relation in it has three values. It holds where the boxes show it as
the image plane's own relations have it, it does not where they show its opposite, and in between
nobody can tell: boxes that overlap may touch, or one may stand far behind the other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from groundplane.core import boxes as flat
from groundplane.core.claims import RelationWords, Sighting, Truths
from groundplane.core.errors import InputError
from groundplane.core.expressions import Select
from groundplane.core.lexicon import match_phrase
from groundplane.core.regions import Regions
from groundplane.spatial.found import StopError
from groundplane.spatial.map import CognitiveMap
from groundplane.spatial.plane import PlaneScene
from groundplane.spatial.questions.phrases import RELATIONS
from groundplane.spatial.relations import VIEWER_RELATIONS, between
from groundplane.spatial.relations.sides import between_points
from groundplane.spatial.relations.vsr import VSR_WORDS
from groundplane.spatial.scene import MapScene, UnsupportedError
from groundplane.spatial.selecting import select_phrase

__all__ = ["MapRelations", "PlaneRelations", "Wordings"]

# Two boxes that share so much are two names of one thing, and a thing stands in no relation to
# itself.
_ONE_THING = 0.95
# Boxes whose gap is more than this share of the smaller one's longer side are apart: what they
# hold cannot touch, for things that touch do so in every picture of them.
_APART = 0.1
# What is further off than so many times the larger one's longer side is not near in any reading.
_FAR_TIMES = 3.0
# Centres are compared when they differ by this share of the smaller box's height.
_LEAST_OFFSET = 0.05

_OURS = re.compile(
    r"(?:" + "|".join(f"(?P<{name}>{wording})" for name, wording in RELATIONS) + r")\b",
    re.IGNORECASE,
)
_VSR = re.compile(
    r"(?:" + "|".join(map(re.escape, sorted(VSR_WORDS, key=len, reverse=True))) + r")\b",
    re.IGNORECASE,
)
_WORD = re.compile(r"[^\W\d_]+")


class Wordings:
    """The wordings of relations: those that questions are asked in, and VSR's.

    Examples:
        >>> [found.names for found in Wordings().find("a cup left of the tv, outside the box")]
        [('left_of',), ('inside',)]
        >>> Wordings().find("")
        ()
    """

    def find(self, text: str) -> tuple[RelationWords, ...]:
        """Every wording in a text, the longest first where several begin at one word."""
        found: list[RelationWords] = []
        end = 0
        for word in _WORD.finditer(text):
            if word.start() < end:
                continue
            wording = _wording_at(text, word.start())
            if wording is not None:
                found.append(wording)
                end = wording.span[1]
        return tuple(found)


def _wording_at(text: str, start: int) -> RelationWords | None:
    ours, vsr = _OURS.match(text, start), _VSR.match(text, start)
    if vsr is not None and (ours is None or vsr.end() > ours.end()):
        word = VSR_WORDS[vsr[0].lower()]
        reason = word.reason or ("" if word.relations else f"{word.word!r} cannot be checked")
        return RelationWords(
            span=vsr.span(), names=word.relations, negated=word.negated, reason=reason
        )
    if ours is None or ours.lastgroup is None:
        return None
    return RelationWords(span=ours.span(), names=(ours.lastgroup,))


class PlaneRelations:
    """Relations between the regions of one picture, seen as the photographer saw them.

    Args:
        regions: Every region that may be asked for.
    """

    def __init__(self, regions: Regions) -> None:
        self._place = {name: i for i, name in enumerate(regions.ids)}
        self._boxes = regions.boxes.double()
        # Every region counts here, those that answer no phrase too.
        phrases = (*regions.phrases, "")
        ids = torch.where(regions.phrase_ids < 0, len(phrases) - 1, regions.phrase_ids)
        self._scene = PlaneScene(
            Regions(
                ids=regions.ids, boxes=regions.boxes, scores=regions.scores, phrases=phrases,
                phrase_ids=ids, image_size=regions.image_size,
            )
        )  # fmt: skip

    def holds(self, relation: str, *sets: Sequence[str]) -> Truths:
        """Whether a relation holds in the picture; see `RelationChecker.holds`.

        Raises:
            InputError: If an id names no region.

        Examples:
            >>> boxes = torch.tensor([[0.0, 0, 2, 2], [5, 0, 7, 2]])
            >>> regions = Regions(
            ...     ids=("a", "b"), boxes=boxes, scores=torch.ones(2), phrases=("cup", "tv"),
            ...     phrase_ids=torch.tensor([0, 1]), image_size=(9, 9))
            >>> PlaneRelations(regions).holds("left_of", ["a"], ["b"]).holds.tolist()
            [[True]]
            >>> PlaneRelations(regions).holds("behind", ["a"], ["b"]).known.tolist()
            [[False]]
        """
        rows = [_rows(self._place, names, self._boxes.device) for names in sets]
        shape = tuple(map(len, rows))
        if relation == "between" and len(rows) == 3:
            yes, no = self._between(*rows)
        elif len(rows) != 2:
            return _untold(shape, f"{relation!r} needs other things than are named")
        else:
            try:
                yes, no = self._pairs(relation, *rows)
            except UnsupportedError as error:
                return _untold(shape, str(error))
            itself = flat.iou(self._boxes[rows[0]], self._boxes[rows[1]]) > _ONE_THING
            yes, no = yes & ~itself, no | itself
        return Truths(holds=yes, known=yes | no)

    def measure(self, name: str, *sets: Sequence[str]) -> Shaped[Tensor, "*sets"] | str:
        """A picture has no metres."""
        del name, sets
        return "a photo alone has no metres"

    def _pairs(
        self, relation: str, a: Int[Tensor, " a"], b: Int[Tensor, " b"]
    ) -> tuple[Bool[Tensor, "a b"], Bool[Tensor, "a b"]]:
        """Where the picture shows a relation, and where it shows that it does not hold."""
        scene = self._scene
        if relation in VIEWER_RELATIONS:
            other = {"left_of": "right_of", "right_of": "left_of"}.get(relation, relation)
            view = scene.middle()
            return scene.side(relation, a, b, view), scene.side(other, a, b, view)
        if relation in ("supports", "contains"):
            yes, no = self._pairs("on" if relation == "supports" else "inside", b, a)
            return yes.T, no.T
        gaps, reach = scene.gaps(a, b), self._longest(a, b, largest=True)
        far = gaps > _FAR_TIMES * reach
        if relation == "far":
            return far, torch.zeros_like(far)
        if relation in ("near", "next_to"):
            return scene.relation(relation, a, b), far
        apart = gaps > _APART * self._longest(a, b, largest=False)
        if relation == "touches":
            return torch.zeros_like(apart), apart
        yes = scene.relation(relation, a, b)
        if relation == "on":
            return yes, apart
        if relation == "inside":
            shared = flat.intersection(self._boxes[a], self._boxes[b])
            return yes, shared < 0.5 * flat.area(self._boxes[a])[:, None]
        lower = self._lower(a, b) if relation == "above" else self._lower(b, a).T
        return yes, lower & ~yes

    def _lower(self, a: Int[Tensor, " a"], b: Int[Tensor, " b"]) -> Bool[Tensor, "a b"]:
        """Whether the centre of each `a` is clearly lower in the picture than that of each `b`."""
        first, second = self._boxes[a][:, None], self._boxes[b][None]
        heights = torch.minimum(first[..., 3] - first[..., 1], second[..., 3] - second[..., 1])
        offset = (first[..., 1] + first[..., 3] - second[..., 1] - second[..., 3]) / 2
        return offset > _LEAST_OFFSET * heights

    def _longest(
        self, a: Int[Tensor, " a"], b: Int[Tensor, " b"], *, largest: bool
    ) -> Float[Tensor, "a b"]:
        """The longer side of the larger, or of the smaller, of each two boxes."""
        sides = (self._boxes[:, 2:] - self._boxes[:, :2]).amax(dim=1)
        pick = torch.maximum if largest else torch.minimum
        return pick(sides[a][:, None], sides[b][None])

    def _between(
        self, index: Int[Tensor, " n"], a: Int[Tensor, " a"], b: Int[Tensor, " b"]
    ) -> tuple[Bool[Tensor, "n a b"], Bool[Tensor, "n a b"]]:
        """Beside the line between two things; surely not where it lies beyond either end."""
        centers = flat.centers(self._boxes)
        sides = (self._boxes[index, 2:] - self._boxes[index, :2]).amax(dim=1)
        first, second = centers[a], centers[b]
        yes = between_points(centers[index], first, second, reach=sides / 2)
        way = second[None] - first[:, None]
        offset = centers[index][:, None, None] - first[None, :, None]
        along, whole = (offset * way[None]).sum(dim=-1), (way**2).sum(dim=-1)[None]
        beyond = (along < 0) | (along > whole)
        return yes, beyond & ~yes


class MapRelations:
    """What a cognitive map tells of the things that a text speaks of.

    Args:
        scene: The map. It is taken as whole: what it does not hold is not there.
    """

    def __init__(self, scene: CognitiveMap) -> None:
        self._scene = MapScene(scene)
        self._place = {name: i for i, name in enumerate(scene.ids)}
        self._metric = scene.scale == "metric"

    def sighting(self, phrase: str) -> Sighting:
        """Which objects of the map a phrase names.

        Examples:
            >>> from groundplane.testing.scenes import SceneBuilder
            >>> scene = SceneBuilder().add("chair", at=(0, 0, 0.5), size=(0.5, 0.5, 1)).build()
            >>> told = MapRelations(scene)
            >>> told.sighting("chairs").ids, told.sighting("sofa").ids
            (('chair',), ())
            >>> told.sighting("red chair").known
            False
        """
        scene = self._scene
        if match_phrase(phrase, scene.vocabulary()) is None:
            return Sighting(phrase=phrase)
        try:
            found = select_phrase(scene, Select(phrase))
        except StopError as stop:
            return Sighting(phrase=phrase, known=False, note=stop.note)
        names = tuple(scene.ids[i] for i in found.index.tolist())
        return Sighting(phrase=phrase, ids=names, stated=found.stated, note="; ".join(found.notes))

    def holds(self, relation: str, *sets: Sequence[str]) -> Truths:
        """Whether a relation holds on the map; see `RelationChecker.holds`.

        Raises:
            InputError: If an id names no object.
        """
        device = self._scene.map.objects.centers.device
        rows = [_rows(self._place, names, device) for names in sets]
        shape = tuple(map(len, rows))
        if relation == "between" and len(rows) == 3:
            return self._between(*rows)
        if len(rows) != 2:
            return _untold(shape, f"{relation!r} needs other things than are named")
        a, b = rows
        try:
            if relation in VIEWER_RELATIONS:
                view = self._scene.view()
                if view is None:
                    return _untold(shape, f"nobody is named who looks, so {_words(relation)} is "
                                   "not fixed")  # fmt: skip
                holds = self._scene.side(relation, a, b, view)
            else:
                holds = self._scene.relation(relation, a, b)
            known = ~self._scene.undecided(relation, a)[:, None].expand_as(holds)
        except UnsupportedError as error:
            return _untold(shape, str(error))
        return Truths(holds=holds & (a[:, None] != b[None]), known=known)

    def measure(self, name: str, *sets: Sequence[str]) -> Shaped[Tensor, "*sets"] | str:
        """A measure in metres, or why there is none; see `RelationChecker.measure`.

        Raises:
            InputError: If an id names no object.
        """
        if not self._metric:
            return "the map's unit is not known, so nothing can be told in metres"
        device = self._scene.map.objects.centers.device
        rows = [_rows(self._place, names, device) for names in sets]
        try:
            if name == "distance":
                return self._scene.gaps(rows[0], rows[1])
            return self._scene.measure(name, rows[0])
        except UnsupportedError as error:
            return str(error)

    def _between(
        self, index: Int[Tensor, " n"], a: Int[Tensor, " a"], b: Int[Tensor, " b"]
    ) -> Truths:
        boxes = self._scene.map.objects
        holds = between(boxes[index], boxes[a], boxes[b])
        return Truths(holds=holds, known=torch.ones_like(holds))


def _words(relation: str) -> str:
    return relation.replace("_", " ")


def _untold(shape: tuple[int, ...], reason: str) -> Truths:
    nothing = torch.zeros(shape, dtype=torch.bool)
    return Truths(holds=nothing, known=nothing.clone(), reason=reason)


def _rows(
    place: Mapping[str, int], names: Sequence[str], device: torch.device
) -> Int[Tensor, " n"]:
    if unknown := [name for name in names if name not in place]:
        raise InputError(f"relation: {unknown[0]!r} is none of the {len(place)} things known")
    return torch.tensor([place[name] for name in names], dtype=torch.long, device=device)
