"""Features of frozen towers, kept on disk, so that a training encodes each picture once."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from groundplane.core.errors import InputError
from groundplane.core.feature_store import FeatureStore
from groundplane.core.features import View
from groundplane.core.files import digest_of, one_line
from groundplane.core.media import read_image
from groundplane.core.towers.building import frozen_hash, tower_to_json
from groundplane.core.views import view_pixels

__all__ = ["StoredPictures", "store_pictures"]

_BATCH = 16


class StoredPictures:
    """Pictures as features of the towers, from a feature store.

    Args:
        folder: Of the store.
        keys: Of each tower: what tells its features from another's.
        digests: For each file the hash of its bytes.
    """

    def __init__(self, folder: Path, keys: Sequence[Hashable], digests: Mapping[Path, str]) -> None:
        self._folder, self._keys, self._digests = folder, tuple(keys), dict(digests)
        self._opened: FeatureStore | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_opened": None}  # another process opens the store itself

    def read(self, files: Sequence[Path]) -> dict[str, Any]:
        """`tower_features`: for each tower k n d.

        Raises:
            InputError: If the store has lost a picture meanwhile.
        """
        if self._opened is None:
            self._opened = FeatureStore(self._folder, read_only=True)
        found = [[self._get(key, file) for file in files] for key in self._keys]
        return {"tower_features": [torch.stack(rows) for rows in found]}

    def _get(self, key: Hashable, file: Path) -> Tensor:
        assert self._opened is not None
        tensors = self._opened.get((key, self._digests[file]))
        if tensors is None:
            raise InputError(
                f"cache_features: {one_line(str(self._folder))} has lost the features of "
                f"{one_line(str(file))}; start again with --resume, which encodes it anew"
            )
        return tensors["tokens"]


def store_pictures(
    model: Any, files: Sequence[Path], view: View, folder: Path
) -> tuple[StoredPictures, int]:
    """Encode the pictures that the store lacks.

    Args:
        model: A `MofForConditionalGeneration`.
        files: Any may be named several times.
        view: What of them is seen.
        folder: Of the store; it is made where it is not there.

    Returns:
        What reads them, and how many were encoded.

    Raises:
        MediaError: If a picture cannot be read.
    """
    keys: list[Hashable] = [
        ("mof tower", frozen_hash(tower), repr(tower_to_json(tower.config)), repr(view))
        for tower in model.towers
    ]
    digests: dict[Path, str] = {}
    lacking: dict[str, Path] = {}
    with FeatureStore(folder) as store:
        for file in dict.fromkeys(files):
            digests[file] = _digest(file)
            if any(store.get((key, digests[file])) is None for key in keys):
                lacking[digests[file]] = file
        todo = list(lacking.items())
        for start in range(0, len(todo), _BATCH):
            _encode(model, todo[start : start + _BATCH], view, keys, store)
    return StoredPictures(folder, keys, digests), len(todo)


def _encode(
    model: Any,
    part: Sequence[tuple[str, Path]],
    view: View,
    keys: Sequence[Hashable],
    store: FeatureStore,
) -> None:
    device = next(model.parameters()).device
    images = [read_image(file) for _, file in part]
    features = model.encode(view_pixels(images, view, device=device))
    for key, grid in zip(keys, features, strict=True):
        for (digest, _), tokens in zip(part, grid.cpu(), strict=True):
            store.put((key, digest), {"tokens": tokens})


def _digest(file: Path) -> str:
    try:
        return digest_of(file)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{one_line(str(file))}: cannot be read: {reason}") from error
