"""One vector a picture by several encoders, over any number of files, none encoded twice."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from groundplane.core.errors import EncoderError, GroundplaneError, InputError, MediaError
from groundplane.core.feature_store import FeatureStore
from groundplane.core.features import Encoder
from groundplane.core.files import digest_of
from groundplane.core.image import Image
from groundplane.core.media import MediaLimits, read_image

__all__ = ["Summaries", "summarise"]

_LIMITS = MediaLimits()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Summaries:
    """The summaries of files, on the CPU.

    Attributes:
        paths: Of the rows, in the order in which they were given. Of files with the same bytes
            only the first is there.
        rows: For each encoder one row a path, float32.
        copies: The files left out, each with the one of the same bytes.
        failed: The files that could not be read or encoded, each with the reason.
        num_encoded: How many files an encoder had to look at.
    """

    paths: tuple[Path, ...]
    rows: tuple[Float[Tensor, "n _"], ...]
    copies: tuple[tuple[Path, Path], ...] = ()
    failed: tuple[tuple[Path, str], ...] = ()
    num_encoded: int = 0


def summarise(
    paths: Sequence[Path],
    encoders: Sequence[Encoder],
    store: FeatureStore,
    *,
    batch: int = 32,
    told: Callable[[int], None] | None = None,
) -> Summaries:
    """Gather the summaries (`FeatureGrid.summary`) of picture files by each encoder.

    A file whose summaries are in the store is not decoded, only its bytes are read. So a run that
    was stopped goes on where the store's last shard ends, and a second one encodes nothing. At
    most a batch of pictures is in memory at a time.

    Args:
        paths: Picture files.
        encoders: Each has a `key`, which tells its features from another's, and gives summaries.
        store: Where summaries are kept.
        batch: How many pictures are encoded together.
        told: Is called with the number of files that are done, after each batch.

    Raises:
        InputError: If an encoder has no key or gives no summaries, or the batch is below 1.
        OutputError: If the store cannot be written.
    """
    if batch < 1:
        raise InputError(f"summaries: batch: expected 1 or more, got {batch}")
    gathering = _Gathering(encoders=[_Keyed.of(encoder) for encoder in encoders], store=store)
    for start in range(0, len(paths), batch):
        gathering.take(paths[start : start + batch])
        if told is not None:
            told(min(start + batch, len(paths)))
    store.flush()
    return gathering.result()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Keyed:
    """An encoder and what its summaries are called in a store."""

    encoder: Encoder
    key: Hashable
    name: str

    @classmethod
    def of(cls, encoder: Encoder) -> _Keyed:
        key, name = getattr(encoder, "key", None), type(encoder).__name__
        if key is None:
            raise InputError(
                f"summaries: {name} has no key, which tells its features from another's; give it "
                "one: StoredEncoder(encoder, store, key=(name, weights, ...))"
            )
        return cls(encoder=encoder, key=key, name=name)

    def place(self, digest: str) -> Hashable:
        return ("summary", self.key, digest)

    def encode(self, images: Sequence[Image]) -> Iterator[Float[Tensor, " e"] | str]:
        """The summary of each picture, or why there is none; a bad one spoils no other."""
        try:
            rows = self._summary(images)
        except (InputError, EncoderError) as error:
            if len(images) > 1:
                for image in images:
                    yield from self.encode([image])
            else:
                yield str(error)
            return
        for row in rows:
            whole = bool(row.isfinite().all()) and bool(row.any())
            yield row if whole else f"{self.name}: its summary is not finite, or 0 throughout"

    def _summary(self, images: Sequence[Image]) -> Float[Tensor, "b e"]:
        summary = self.encoder.encode(images).summary
        if summary is None:
            raise _NoSummaryError(
                f"summaries: {self.name} gives none; use an encoder that has one vector a "
                "picture, such as clip or dinov2"
            )
        return summary.detach().float().cpu()


class _NoSummaryError(GroundplaneError, TypeError):
    """An encoder gives no summaries at all, whatever the picture."""


@dataclass(slots=True, kw_only=True)
class _Gathering:
    """What is known so far; rows by the digest of a file's bytes."""

    encoders: list[_Keyed]
    store: FeatureStore
    seen: dict[str, Path] = field(default_factory=dict)
    paths: list[Path] = field(default_factory=list)
    rows: list[list[Tensor]] = field(default_factory=list)
    copies: list[tuple[Path, Path]] = field(default_factory=list)
    failed: list[tuple[Path, str]] = field(default_factory=list)
    num_encoded: int = 0

    def take(self, paths: Sequence[Path]) -> None:
        """Take in a batch of files."""
        known: dict[Path, list[Tensor | str | None]] = {}
        digests: dict[Path, str] = {}
        for path in paths:
            try:
                digest = _digest(path)
            except MediaError as error:
                self.failed.append((path, str(error)))
                continue
            if digest in self.seen:
                self.copies.append((path, self.seen[digest]))
                continue
            self.seen[digest] = path
            digests[path] = digest
            known[path] = [self._stored(keyed, digest) for keyed in self.encoders]
        self._encode(known, digests)
        for path, row in known.items():
            reasons = [part for part in row if isinstance(part, str)]
            if reasons:
                self.failed.append((path, reasons[0]))
            else:
                self.paths.append(path)
                self.rows.append([part for part in row if isinstance(part, Tensor)])

    def _stored(self, keyed: _Keyed, digest: str) -> Tensor | None:
        found = self.store.get(keyed.place(digest))
        # A copy: a view would keep the file of the whole shard in memory.
        return None if found is None else found["summary"].clone()

    def _encode(
        self, known: dict[Path, list[Tensor | str | None]], digests: dict[Path, str]
    ) -> None:
        """Fill in what the store lacks."""
        images: dict[Path, Image] = {}
        for path, row in known.items():
            if None in [part if part is None else 0 for part in row]:
                try:
                    images[path] = _unchanged(path, digests[path])
                except MediaError as error:
                    row[:] = [str(error)] * len(row)
        self.num_encoded += len(images)
        for place, keyed in enumerate(self.encoders):
            lacking = [path for path in images if known[path][place] is None]
            found = keyed.encode([images[path] for path in lacking]) if lacking else iter(())
            for path, summary in zip(lacking, found, strict=True):
                known[path][place] = summary
                if isinstance(summary, Tensor):
                    self.store.put(keyed.place(digests[path]), {"summary": summary})

    def result(self) -> Summaries:
        """Everything, as columns."""
        return Summaries(
            paths=tuple(self.paths),
            rows=tuple(
                torch.stack([row[place] for row in self.rows]) if self.rows else torch.zeros(0, 0)
                for place in range(len(self.encoders))
            ),
            copies=tuple(self.copies),
            failed=tuple(self.failed),
            num_encoded=self.num_encoded,
        )


def _digest(path: Path) -> str:
    """SHA-256 of a file's bytes, which is the content hash of the picture read from it."""
    try:
        if not path.is_file() or path.stat().st_size > _LIMITS.max_bytes:
            # Said in the words of whoever reads pictures.
            return read_image(path).source.content_hash
        return digest_of(path)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise MediaError(f"cannot read picture {path.name!r}: {reason}") from error


def _unchanged(path: Path, digest: str) -> Image:
    image = read_image(path)
    if image.source.content_hash != digest:
        raise MediaError(f"cannot read picture {path.name!r}: it was written to meanwhile")
    return image
