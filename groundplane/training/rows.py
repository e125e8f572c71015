"""Rows of a batch: samples one a row, or packed, with their pictures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Int
from torch import Tensor
from torch.utils.data import Dataset

from groundplane.core.errors import InputError, listing
from groundplane.core.features import View
from groundplane.core.media import read_image
from groundplane.core.views import view_pixels
from groundplane.training.conversations import IGNORED, Conversations, Encoded
from groundplane.training.packing import block_mask, pack, restarting_positions
from groundplane.training.samples import Sample, Skipped

__all__ = ["Collator", "Pictures", "Prepared", "Rows", "ViewedPictures", "prepare_rows"]


@runtime_checkable
class Pictures(Protocol):
    """Gives what the model reads of pictures."""

    def read(self, files: Sequence[Path]) -> dict[str, Any]:
        """Arguments of the model's `forward`, for at least one picture, in order."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewedPictures:
    """Pictures as canvases, read anew each time.

    Attributes:
        view: What of them is seen.
    """

    view: View

    def read(self, files: Sequence[Path]) -> dict[str, Any]:
        """`pixel_values`: grey levels, k 3 s s.

        Raises:
            MediaError: If one cannot be read.
        """
        return {"pixel_values": view_pixels([read_image(file) for file in files], self.view)}


class Rows(Dataset[list[tuple[Encoded, Sample]]]):
    """A row is the samples that stand in it: one, or several that are packed.

    Args:
        samples: Of all rows.
        conversations: Brings them to tokens.
        groups: For each row which samples are in it.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        conversations: Conversations,
        groups: Sequence[Sequence[int]],
    ) -> None:
        self._samples, self._conversations, self._groups = samples, conversations, groups

    def __len__(self) -> int:
        return len(self._groups)

    def __getitem__(self, index: int) -> list[tuple[Encoded, Sample]]:
        row = [self._samples[place] for place in self._groups[index]]
        return [(self._conversations.encode(sample), sample) for sample in row]


class Prepared(NamedTuple):
    """Rows, and what became of the samples.

    Attributes:
        rows: To train on.
        samples: Those that are in a row.
        skipped: Those that are in none.
        cut: How many were too long.
        tokens: Of all rows, without padding.
    """

    rows: Rows
    samples: list[Sample]
    skipped: list[Skipped]
    cut: int
    tokens: int


def prepare_rows(
    samples: Sequence[Sample], conversations: Conversations, *, packing: bool, skip: bool
) -> Prepared:
    """Bring every sample to tokens once, before training begins, and lay out the rows.

    Args:
        samples: In any order.
        conversations: How.
        packing: Whether several go into one row.
        skip: Leave out what cannot be learnt, instead of refusing all.

    Raises:
        InputError: If none can be learnt, or, unless `skip`, one cannot.
    """
    kept: list[Sample] = []
    lengths: list[int] = []
    skipped: list[Skipped] = []
    cut = 0
    for sample in samples:
        try:
            encoded = conversations.encode(sample)
        except InputError as error:
            skipped.append(Skipped(name=sample.name, reason=str(error)))
            continue
        kept.append(sample)
        lengths.append(len(encoded.ids))
        cut += encoded.cut
    if skipped and not (skip and kept):
        raise InputError(
            f"{len(skipped)} of {len(samples)} samples cannot be learnt: "
            f"{listing([s.reason for s in skipped], limit=3)}"
        )
    groups = [[i] for i in range(len(kept))]
    if packing:
        groups = pack(lengths, room=conversations.max_length)
    rows = Rows(kept, conversations, groups)
    return Prepared(rows=rows, samples=kept, skipped=skipped, cut=cut, tokens=sum(lengths))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Collator:
    """Makes a batch of rows: what the model's `forward` takes.

    Attributes:
        pad_id: Fills rows up, on the right.
        pictures: Where the pictures come from.
        packing: Whether rows hold several samples; then the batch says, as positions and an
            additive mask of shape b 1 t t, which tokens see each other. Attention as `eager` and
            `sdpa` read that; flash attention does not.
    """

    pad_id: int
    pictures: Pictures
    packing: bool = False

    def __call__(self, rows: Sequence[Sequence[tuple[Encoded, Sample]]]) -> dict[str, Any]:
        """The batch."""
        room = max(sum(len(encoded.ids) for encoded, _ in row) for row in rows)
        batch: dict[str, Any] = {
            "input_ids": _filled(rows, "ids", room, self.pad_id),
            "labels": _filled(rows, "labels", room, IGNORED),
        }
        lengths = [[len(encoded.ids) for encoded, _ in row] for row in rows]
        if self.packing:
            positions = [restarting_positions(row, room=room) for row in lengths]
            masks = [block_mask(row, room=room) for row in lengths]
            batch["position_ids"] = torch.stack(positions)
            batch["attention_mask"] = torch.stack(masks)[:, None]
        else:
            ends = torch.tensor([sum(row) for row in lengths])
            batch["attention_mask"] = (torch.arange(room) < ends[:, None]).long()
        files = [file for row in rows for _, sample in row for file in sample.images]
        return batch | (self.pictures.read(files) if files else {})


def _filled(
    rows: Iterable[Sequence[tuple[Encoded, Sample]]], field: str, room: int, filler: int
) -> Int[Tensor, "b t"]:
    lines = []
    for row in rows:
        line = torch.cat([getattr(encoded, field) for encoded, _ in row])
        lines.append(torch.nn.functional.pad(line, (0, room - len(line)), value=filler))
    return torch.stack(lines)
