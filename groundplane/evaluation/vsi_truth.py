"""A map of a video against the published boxes of its scene."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from groundplane.core.lexicon import match_phrase
from groundplane.spatial.map import CognitiveMap
from groundplane.spatial.maps.alignment import align
from groundplane.spatial.maps.matching import common_labels, fold

__all__ = ["laid_over", "truth_of"]


def truth_of(meta: CognitiveMap, phrases: Sequence[str]) -> CognitiveMap:
    """Of the published scene what was looked for: the rest cannot be on the map.

    Args:
        meta: The scene of the benchmark's meta file.
        phrases: What was looked for.

    Examples:
        >>> from groundplane.testing.scenes import SceneBuilder
        >>> meta = SceneBuilder().add("sofa", at=(0, 0, 0)).add("tv", at=(3, 0, 0)).build()
        >>> truth_of(meta, ["couch"]).labels, truth_of(meta, []).labels
        (('sofa',), ())
    """
    wanted = {label for phrase in phrases for label in _meant(phrase, meta)}
    rows = [row for row, label in enumerate(meta.labels) if label in wanted]
    index = torch.tensor(rows, dtype=torch.long)
    ids = tuple(meta.ids[row] for row in rows)
    return replace(
        meta,
        ids=ids,
        objects=meta.objects[index],
        labels=tuple(meta.labels[row] for row in rows),
        scores=meta.scores[index],
        attributes=tuple(meta.attributes[row] for row in rows),
        fronts=meta.fronts[index],
        first_seen=meta.first_seen[index],
        counts={label: number for label, number in meta.counts.items() if label in wanted},
        provenance={id: meta.provenance[id] for id in ids if id in meta.provenance},
    )


def laid_over(built: CognitiveMap, truth: CognitiveMap) -> CognitiveMap:
    """The map of a video in the words and the world of the true one.

    A video has a world of its own, so the map is turned about the vertical and shifted to where
    most things fall on things of their name. Where nothing does it stays as it is.

    Examples:
        >>> from groundplane.testing.scenes import SceneBuilder
        >>> truth = SceneBuilder().add("sofa", at=(0, 0, 0)).add("tv", at=(3, 0, 0)).build()
        >>> moved = SceneBuilder().add("couch", at=(5, 0, 0)).add("tv", at=(5, 3, 0)).build()
        >>> laid = laid_over(moved, truth)
        >>> laid.labels, laid.objects.centers[:, 0].round().tolist()
        (('sofa', 'tv'), [0.0, 3.0])
    """
    named = _renamed(built, truth)
    if not common_labels(named, truth).any():
        return named
    return align(named, truth).apply(named)


def _meant(phrase: str, truth: CognitiveMap) -> tuple[str, ...]:
    """The labels of the true map that a phrase means."""
    found = match_phrase(phrase, (*truth.labels, *truth.counts))
    return found.labels if found is not None and not found.modifiers else ()


def _renamed(built: CognitiveMap, truth: CognitiveMap) -> CognitiveMap:
    """Things that one label of the true map means are called by it."""
    words: dict[str, str] = {}
    known = {fold(label) for label in truth.labels}
    for label in {*built.labels, *built.counts}:
        meant = _meant(label, truth)
        words[label] = meant[0] if fold(label) not in known and len(meant) == 1 else label
    counts: dict[str, int] = {}
    for label, number in built.counts.items():
        counts[words[label]] = counts.get(words[label], 0) + number
    return replace(built, labels=tuple(words[label] for label in built.labels), counts=counts)
