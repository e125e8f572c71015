"""An encoder that encodes each picture once, whatever process asks."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from groundplane.core.errors import InputError
from groundplane.core.feature_cache import image_key
from groundplane.core.feature_packing import Packing
from groundplane.core.feature_store import FeatureStore
from groundplane.core.features import Encoder, FeatureGrid
from groundplane.core.frames import Frame
from groundplane.core.image import FrameMap, Image

__all__ = ["StoredEncoder"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _One:
    """What an encoder gave for one picture."""

    tokens: Float[Tensor, "n d"]
    summary: Float[Tensor, " e"] | None
    grid: tuple[int, int]
    patch: float
    frame: Frame
    encoder: str


class StoredEncoder:
    """Gives what an encoder gives, from a feature store where it is there.

    Satisfies `Encoder`. The pictures that the store lacks are encoded as one batch.

    Args:
        encoder: Encodes what is not there.
        store: Where encodings are kept.
        key: What tells this encoder, its weights and options from all others; None: its `key`.
        device: Where all that is given is put, what was just encoded too.

    Raises:
        InputError: If there is no key.
    """

    def __init__(
        self,
        encoder: Encoder,
        store: FeatureStore,
        *,
        key: Hashable = None,
        device: str | torch.device = "cpu",
    ) -> None:
        found = getattr(encoder, "key", None) if key is None else key
        if found is None:
            raise InputError(
                f"stored encoder: {type(encoder).__name__} has no key, which tells its features "
                "from another's; give one: StoredEncoder(encoder, store, key=(name, weights, ...))"
            )
        self._encoder = encoder
        self._store = store
        self._key: Hashable = found
        self._device = torch.device(device)
        self._packing = Packing(pack=_pack, unpack=_unpack, device="cpu")

    @property
    def encoder(self) -> Encoder:
        """What encodes."""
        return self._encoder

    @property
    def key(self) -> Hashable:
        """What tells its features from another's."""
        return self._key

    def encode(self, images: Sequence[Image]) -> FeatureGrid:
        """Encode pictures, in order; see `Encoder.encode`."""
        if not images:
            return self._encoder.encode(images)
        keys = [("encoder", self._key, image_key(image)) for image in images]

        def make(places: list[int]) -> list[_One]:
            return _parts(self._encoder.encode([images[place] for place in places]))

        ones = self._store.get_or_make_all(keys, make, self._packing)
        return _joined(ones, self._device)


def _parts(grid: FeatureGrid) -> list[_One]:
    return [
        _One(
            tokens=grid.tokens[place],
            summary=None if grid.summary is None else grid.summary[place],
            grid=grid.grid,
            patch=grid.patch,
            frame=frame,
            encoder=grid.encoder,
        )
        for place, frame in enumerate(grid.frames)
    ]


def _joined(ones: Sequence[_One], device: torch.device) -> FeatureGrid:
    first = ones[0]
    summaries = [one.summary for one in ones if one.summary is not None]
    return FeatureGrid(
        tokens=_stacked([one.tokens for one in ones], device),
        grid=first.grid,
        patch=first.patch,
        frames=tuple(one.frame for one in ones),
        summary=_stacked(summaries, device) if summaries else None,
        encoder=first.encoder,
    )


def _stacked(rows: Sequence[Tensor], device: torch.device) -> Tensor:
    """One batch; of one picture a view, so that reading it copies nothing."""
    if len(rows) == 1:
        return rows[0].to(device)[None]
    return torch.stack([row.to(device) for row in rows])


def _pack(one: _One) -> dict[str, Tensor]:
    frame = one.frame
    packed = {
        "tokens": one.tokens,
        "grid": torch.tensor(one.grid),
        "patch": torch.tensor(one.patch, dtype=torch.float64),
        "sizes": torch.tensor([*frame.image_size, *frame.canvas]),
        "to_canvas": torch.from_numpy(frame.to_canvas.matrix.astype("float64")),
        "encoder": torch.tensor(list(one.encoder.encode()), dtype=torch.uint8),
    }
    return packed if one.summary is None else packed | {"summary": one.summary}


def _unpack(read: Mapping[str, Tensor]) -> _One:
    rows, columns = read["grid"].tolist()
    width, height, across, down = read["sizes"].tolist()
    return _One(
        tokens=read["tokens"],
        summary=read.get("summary"),
        grid=(rows, columns),
        patch=float(read["patch"]),
        frame=Frame(
            image_size=(width, height),
            canvas=(across, down),
            to_canvas=FrameMap(matrix=read["to_canvas"].numpy().copy()),
        ),
        encoder=bytes(read["encoder"].tolist()).decode(),
    )
