"""Which objects a phrase names: by label, by id, or by what the source states of them."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import torch

from groundplane.core.answer import Status
from groundplane.core.attributes import meaning_of, states
from groundplane.core.errors import listing
from groundplane.core.expressions import Select
from groundplane.core.lexicon import ANYTHING, match_phrase, near_labels, normalise
from groundplane.spatial.found import Found, StopError
from groundplane.spatial.nouns import noun
from groundplane.spatial.scene import Scene
from groundplane.spatial.units import UNIT_NAMES

__all__ = ["select_phrase"]


def select_phrase(scene: Scene, node: Select) -> Found:
    """The objects that a phrase names; all of them where there is no phrase.

    Raises:
        StopError: If it names nothing here, or the scene does not state what it asks for.
    """
    if node.phrase is None:
        return Found(index=torch.arange(len(scene.ids)), name="objects")
    name = noun(node)
    named = _by_id(scene, node.phrase)
    if named is not None:
        return Found(index=torch.tensor([named]), name=name)
    match = match_phrase(node.phrase, scene.vocabulary())
    if match is None:
        return Found(index=_of_any_label(scene, node.phrase), name=name)
    rows = sorted(i for label in match.labels for i in scene.rows(label))
    if match.modifiers:
        rows = _with_attributes(scene, node.phrase, rows, match.modifiers)
        return Found(index=torch.tensor(rows, dtype=torch.long), name=name)
    stated = sum(scene.counts.get(label, 0) for label in match.labels)
    notes: tuple[str, ...] = ()
    if match.how == "kind":
        notes = (f"took {listing(match.labels)} as {normalise(node.phrase)!r}",)
    return Found(
        index=torch.tensor(rows, dtype=torch.long), name=name, notes=notes,
        stated=None if stated == len(rows) else stated,
    )  # fmt: skip


def _by_id(scene: Scene, phrase: str) -> int | None:
    text = normalise(phrase)
    if not text[-1:].isdigit():
        return None
    wanted = text.replace("#", " ").split()
    for i, name in enumerate(scene.names):
        if name.lower().replace("-", " ").replace("_", " ").split() == wanted:
            return i
    return None


def _of_any_label(scene: Scene, phrase: str) -> torch.Tensor:
    """`red things`: any object of which that is stated; any other phrase names nothing here."""
    *modifiers, head = normalise(phrase).split() or [""]
    if head not in ANYTHING or not modifiers:
        raise _unknown(scene, phrase)
    rows = list(range(len(scene.ids)))
    return torch.tensor(_with_attributes(scene, phrase, rows, modifiers), dtype=torch.long)


def _with_attributes(
    scene: Scene, phrase: str, rows: list[int], modifiers: Sequence[str]
) -> list[int]:
    """Those whose attributes hold every modifier; none is an answer only where all state them."""
    stated = [scene.attributes(i) for i in rows]
    kept = [
        i
        for i, told in zip(rows, stated, strict=True)
        if all(states(told, word) for word in modifiers)
    ]
    if kept:
        return kept
    unread = [
        word
        for word in modifiers
        if (meaning := meaning_of(word)) is None or any(meaning[0] not in told for told in stated)
    ]
    if not unread:
        return []
    what = scene.labels[rows[0]] if len({scene.labels[i] for i in rows}) == 1 else "objects"
    raise StopError(
        Status.UNKNOWN_OBJECT,
        f"no {normalise(phrase)!r} in this scene: it has {len(rows)} of {what!r} "
        f"({listing([scene.names[i] for i in rows], limit=8)}) and does not say which is "
        f"{' '.join(unread)!r}",
    )


def _unknown(scene: Scene, phrase: str) -> StopError:
    counts = scene.counts
    labels = [f"{label} ({counts.get(label, 0)})" for label in scene.vocabulary()]
    have = listing(labels, limit=60)
    near = near_labels(phrase, scene.vocabulary())
    hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    # A mirror is no metre: only what differs in a letter.
    unit = difflib.get_close_matches(normalise(phrase), UNIT_NAMES, n=2, cutoff=0.85)
    hint = hint or (f" Did you mean {' or '.join(map(repr, unit))}?" if unit else "")
    note = f"no {normalise(phrase)!r} in this scene; it has: {have}.{hint}"
    return StopError(Status.UNKNOWN_OBJECT, note, misspelt=bool(near))
