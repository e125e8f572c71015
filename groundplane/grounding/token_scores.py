"""From scores of queries and tokens to scores of queries and phrases, with one copy to the host.

A detector that reads its prompt gives a logit for every query (a proposed box) and every token.
The score of a phrase is that of its best token. So a box answers a phrase at a threshold exactly
where transformers, at that box and text threshold, keeps the box and names a token of the phrase.
The token scores of marks and of other phrases have no say; there they can be what is reported.

All that depends on how much was found happens after the one copy: nothing waits for the device
in between.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from groundplane.core.errors import ShapeError

__all__ = ["PhraseScores", "phrase_logits", "phrases_above"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PhraseScores:
    """What is above a floor in one image, on the host, by query, then phrase.

    Attributes:
        boxes: `xyxy`, pixels of the image; they may leave it.
        scores: In [0, 1]; NaN where the network gave that.
        phrase_ids: Column of the phrase that each answers.
    """

    boxes: Float[Tensor, "n 4"]
    scores: Float[Tensor, " n"]
    phrase_ids: Int[Tensor, " n"]


def phrase_logits(
    logits: Float[Tensor, "b q t"], tokens: Sequence[Sequence[int]]
) -> Float[Tensor, "b q p"]:
    """The logit of each phrase for each query: that of its best token.

    Runs on the device of the logits and waits for nothing.

    Args:
        logits: One a query and token of the prompt; minus infinity where there is no token.
        tokens: For each phrase the positions of its tokens, at least one.

    Raises:
        ShapeError: If a phrase has no token, or one that the prompt has not.

    Examples:
        >>> logits = torch.tensor([[[0.0, 2.0, -2.0]]])
        >>> phrase_logits(logits, [(1, 2), (2,)]).tolist()
        [[[2.0, -2.0]]]
        >>> phrase_logits(logits, []).shape
        torch.Size([1, 1, 0])
    """
    _check_tokens(tuple(tuple(at) for at in tokens), num_tokens=logits.shape[2])
    if not tokens:
        return logits.new_zeros(*logits.shape[:2], 0)
    # The n-th token of each phrase; a shorter phrase has its last one again.
    longest = max(map(len, tokens))
    places = [[at[min(n, len(at) - 1)] for at in tokens] for n in range(longest)]
    best = _columns(logits, places[0])
    for further in places[1:]:
        best = torch.maximum(best, _columns(logits, further))
    return best


def _columns(table: Float[Tensor, "b q t"], places: Sequence[int]) -> Float[Tensor, "b q p"]:
    """Some columns of a table; on a CPU many times as fast as indexing with a list."""
    index = torch.tensor(places, device=table.device)
    return table.gather(2, index.expand(*table.shape[:2], -1))


def phrases_above(
    logits: Float[Tensor, "b q t"],
    boxes: Float[Tensor, "b q 4"],
    tokens: Sequence[Sequence[int]],
    *,
    sizes: Sequence[tuple[int, int]],
    floor: float,
) -> list[PhraseScores]:
    """All boxes whose score for a phrase is not below a floor.

    Args:
        logits: One a query and token.
        boxes: Centre x, centre y, width and height as shares of the image.
        tokens: For each phrase the positions of its tokens.
        sizes: Width and height of each image, pixels.
        floor: The least score.

    Returns:
        One an image. A score that is NaN is above every floor, so that it is not lost.

    Raises:
        ShapeError: If there is not one size an image, or `tokens` do not fit.

    Examples:
        >>> logits = torch.tensor([[[3.0, -9.0], [-9.0, -9.0]]])
        >>> boxes = torch.tensor([[[0.5, 0.5, 0.5, 1.0], [0.1, 0.1, 0.1, 0.1]]])
        >>> found = phrases_above(logits, boxes, [(0,), (1,)], sizes=[(40, 20)], floor=0.5)[0]
        >>> found.boxes.tolist(), found.phrase_ids.tolist()
        ([[10.0, 0.0, 30.0, 20.0]], [0])
        >>> len(phrases_above(logits, boxes, [], sizes=[(40, 20)], floor=0.5)[0].boxes)
        0
    """
    if len(sizes) != len(logits):
        raise ShapeError(f"phrases above a floor: {len(logits)} images but {len(sizes)} sizes")
    places = tuple(tuple(at) for at in tokens)
    _check_tokens(places, num_tokens=logits.shape[2])
    num_queries = logits.shape[1] if places else 0
    above = _above_on_host if logits.device.type == "cpu" else _above_on_device
    # A little below the floor, so that rounding loses none; the scores themselves decide.
    least = -math.inf if floor < 1e-6 else math.log(floor / max(1 - floor, 1e-7)) - 1e-4
    row, phrase, best, place = above(
        logits[:, :num_queries].flatten(0, 1), boxes[:, :num_queries].flatten(0, 1), places, least
    )
    if not len(row):
        none_box, none_score, none_id = _nothing()
        return [PhraseScores(boxes=none_box, scores=none_score, phrase_ids=none_id)] * len(sizes)
    # Half of tanh and a half: the logistic function without an overflow.
    score = 0.5 * np.tanh(0.5 * best) + np.float32(0.5)
    low = score < floor
    if low.any():
        kept = np.flatnonzero(~low)
        row, phrase, score, place = row[kept], phrase[kept], score[kept], place[kept]
    image = row // max(num_queries, 1)
    corners = np.empty_like(place)
    half = place[:, 2:] * np.float32(0.5)
    np.subtract(place[:, :2], half, out=corners[:, :2])
    np.add(place[:, :2], half, out=corners[:, 2:])
    corners *= np.array([(w, h, w, h) for w, h in sizes], dtype=np.float32).reshape(-1, 4)[image]
    ends = np.searchsorted(image, np.arange(len(sizes) + 1)).tolist()
    whole = tuple(torch.from_numpy(column) for column in (corners, score, phrase))
    none = _nothing()
    parts = ([part[a:b] for part in whole] if b > a else none for a, b in pairwise(ends))
    return [
        PhraseScores(boxes=boxes, scores=scores, phrase_ids=ids) for boxes, scores, ids in parts
    ]


def _nothing() -> tuple[Tensor, Tensor, Tensor]:
    """Boxes, scores and phrases of an image in which nothing is above."""
    return torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.long)


_Array = Shaped[np.ndarray, "..."]
_Above = tuple[_Array, _Array, _Array, _Array]  # row, phrase, logit, box; by row, then phrase


def _above_on_device(
    logits: Float[Tensor, "m t"],
    boxes: Float[Tensor, "m 4"],
    tokens: tuple[tuple[int, ...], ...],
    least: float,
) -> _Above:
    """Work on all rows: a card does them sooner than it could say how many matter."""
    best = phrase_logits(logits[None], tokens)[0]
    # Boxes ride along, so that the host waits once.
    table = torch.cat([best.float(), boxes.float()], dim=1).cpu().numpy()
    row, phrase = np.nonzero(~(table[:, : len(tokens)] < least))
    return row, phrase, table[row, phrase], table[row, len(tokens) :]


def _above_on_host(
    logits: Float[Tensor, "m t"],
    boxes: Float[Tensor, "m 4"],
    tokens: tuple[tuple[int, ...], ...],
    least: float,
) -> _Above:
    """Most rows answer nothing, and of the others most tokens: look only at what is above.

    In numpy: what is left is small, and there numpy takes a fraction of torch's time a step.
    """
    if not tokens or not logits.numel():
        return _above_on_device(logits, boxes, tokens, least)
    # Logits come with room for the longest prompt: a short one is all that there is to read. Of
    # a long one, rows whose best token is below are left out first.
    end = max(map(max, tokens)) + 1
    part = logits.detach()[:, :end]
    rows = None
    if 4 * end > logits.shape[1]:
        rows = np.flatnonzero(~(_numbers(part.amax(1)) < least))
        part = part.index_select(0, torch.from_numpy(rows))
    # One after the other in memory they are compared several times as fast.
    table = _numbers(part.contiguous())
    place = np.flatnonzero(~(table < least))
    at, token = np.divmod(place, end)
    # A token belongs to no phrase (a mark), to one, or to several that read alike.
    owner, count, first = _owners(tokens, end)
    times = count[token]
    hit = np.repeat(np.arange(len(place)), times)
    nth = np.arange(len(hit)) - (np.cumsum(times) - times)[hit]
    key = at[hit] * len(tokens) + owner[first[token[hit]] + nth]
    logit = table[at, token].astype(np.float32, copy=False)[hit]
    if np.any(key[1:] < key[:-1]):
        order = np.argsort(key, kind="stable")
        key, logit = key[order], logit[order]
    # The best token of each row and phrase.
    starts = np.flatnonzero(np.diff(key, prepend=-1))
    best = np.maximum.reduceat(logit, starts) if len(starts) else logit[:0]
    at, phrase = np.divmod(key[starts], len(tokens))
    row = at if rows is None else rows[at]
    return row, phrase, best, _numbers(boxes.detach())[row].astype(np.float32, copy=False)


@functools.lru_cache(maxsize=64)
def _owners(tokens: tuple[tuple[int, ...], ...], end: int) -> tuple[_Array, _Array, _Array]:
    """The phrases of each token, one after the other; how many each has, and where they begin."""
    owners: list[list[int]] = [[] for _ in range(end)]
    for phrase, places in enumerate(tokens):
        for position in places:
            owners[position].append(phrase)
    count = np.array([len(of) for of in owners])
    flat = np.array([phrase for of in owners for phrase in of], dtype=np.int64)
    return flat, count, np.cumsum(count) - count


def _numbers(tensor: Float[Tensor, "*n"]) -> _Array:
    """A tensor of the host as an array; numpy has no bfloat16."""
    widened = tensor.float() if tensor.dtype == torch.bfloat16 else tensor
    found: _Array = widened.numpy()
    return found


@functools.lru_cache(maxsize=64)
def _check_tokens(tokens: tuple[tuple[int, ...], ...], *, num_tokens: int) -> None:
    for phrase, positions in enumerate(tokens):
        if not positions or not 0 <= min(positions) <= max(positions) < num_tokens:
            raise ShapeError(
                f"phrase scores: expected positions from 0 to {num_tokens - 1} for phrase "
                f"{phrase}, at least one, got {list(positions)}"
            )
