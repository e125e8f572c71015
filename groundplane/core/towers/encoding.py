"""What encoder plugins do: pictures through one view and one tower to a grid of features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from groundplane.core.errors import EncoderError, InputError, listing
from groundplane.core.feature_cache import image_key, shared_cache
from groundplane.core.feature_packing import pack_fields, pack_tensor
from groundplane.core.features import FeatureGrid, View
from groundplane.core.frames import Frame
from groundplane.core.image import Image
from groundplane.core.towers.building import load_tower
from groundplane.core.towers.rules import TowerRule
from groundplane.core.towers.texts import TextTower
from groundplane.core.towers.tower import Tower, TowerConfig, TowerOutput
from groundplane.core.views import canvas_to_tower, view_frame, view_pixels
from groundplane.core.weights import default_dtype, find_weights, weights_key

__all__ = ["EncoderOptions", "TowerEncoder", "load_encoder"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderOptions:
    """Options of the encoders.

    Attributes:
        weights: A folder with `config.json` and safetensors, of transformers or of timm, or a
            hub id.
        revision: Commit of the hub id, 40 hexadecimal digits.
        offline: Whether to take fetched weights only.
        layer: Whose output is read, counted in blocks: -1 is the last, -2 the one before; None:
            as the family is used, see `docs/encoders.md`.
        final_norm: Whether the network's last norm is put on it; None: as the family is used.
        size: Side of the input, pixels, a multiple of the patch; None: the checkpoint's own.
        fit: `crop` the middle square, `pad` to a square, or `stretch`; see `View`.
        pixels: `own` for the normalisation of the checkpoint, `clip` for CLIP's.
        batch: Pictures that are encoded at a time.

    Raises:
        InputError: If a value is out of range.
    """

    weights: str
    revision: str = ""
    offline: bool = False
    layer: int | None = None
    final_norm: bool | None = None
    size: int | None = None
    fit: Literal["crop", "pad", "stretch"] = "crop"
    pixels: Literal["own", "clip"] = "own"
    batch: int = 16

    def __post_init__(self) -> None:
        if not 1 <= self.batch <= 4096:
            raise InputError(f"encoder: option batch: expected 1 to 4096, got {self.batch}")

    @property
    def rule(self) -> TowerRule:
        """What is wanted of the checkpoint."""
        return TowerRule(
            layer=self.layer, final_norm=self.final_norm, size=self.size, pixels=self.pixels
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _One:
    """What a tower gave for one picture."""

    tokens: Float[Tensor, "n d"]
    summary: Float[Tensor, " e"] | None = None


class TowerEncoder:
    """A tower behind a view. Satisfies `Encoder`; safe to use from several threads.

    Args:
        tower: Gives a summary too, where it has one.
        view: What of a picture is encoded.
        key: What tells this tower and its weights from others. The view, the device and the
            number type are added.
        batch: Pictures that are encoded at a time.
        texts: Embeds texts in the space of the summary, if anything does.
    """

    def __init__(
        self,
        tower: Tower,
        view: View,
        *,
        key: tuple[object, ...],
        batch: int = 16,
        texts: TextTower | None = None,
    ) -> None:
        self._whole = tower
        self._tower = tower.lean()
        self._view = view
        self._batch = batch
        self._texts = texts
        kind = (str(tower.mean.device), str(tower.dtype))
        seen = (view.fit, view.size, view.fill, view.filter)
        self._key = ("encoder", tower.config.family, *key, seen, *kind)
        self._name = f"{tower.config.family}-{sha256(repr(self._key).encode()).hexdigest()[:16]}"

    @property
    def tower(self) -> Tower:
        """The network, which gives no summary and computes no block for one."""
        return self._tower

    @property
    def view(self) -> View:
        """What of a picture is encoded."""
        return self._view

    @property
    def config(self) -> TowerConfig:
        """What the tower is."""
        return self._tower.config

    @property
    def key(self) -> tuple[object, ...]:
        """What tells these features from another encoder's."""
        return self._key

    def encode(self, images: Sequence[Image]) -> FeatureGrid:
        """Encode pictures, those that the shared cache does not hold, some at a time.

        Raises:
            InputError: If a picture is too narrow to be resized.
            EncoderError: If features are not finite numbers; it names the pictures.
        """
        frames = tuple(_frame(image, self._view) for image in images)
        keys = [(*self._key, image_key(image)) for image in images]

        def make(missing: list[int]) -> list[_One]:
            parts = (missing[i : i + self._batch] for i in range(0, len(missing), self._batch))
            return [one for part in parts for one in self._encoded([images[i] for i in part])]

        device, shape = self._whole.mean.device, self._whole.shape
        ones = shared_cache().get_or_make_all(keys, make, packing=pack_fields(_One, device))
        tokens, summary = _stacked(ones) if ones else self._nothing()
        return FeatureGrid(
            tokens=tokens,
            grid=shape.grid,
            patch=float(self._whole.patch),
            frames=frames,
            summary=summary,
            encoder=self._name,
        )

    def embed_texts(self, texts: Sequence[str]) -> Float[Tensor, "n e"]:
        """Texts in the space of the summary, of length 1.

        Raises:
            InputError: If the checkpoint has no text tower, or a text is empty or too long.
        """
        if self._texts is None:
            raise InputError(
                f"encoder {self.config.family!r}: its weights have no text tower; give a whole "
                "checkpoint of transformers, such as a CLIPModel or a SiglipModel"
            )
        reader = self._texts
        keys = [(*self._key, "text", text) for text in texts]

        def make(missing: list[int]) -> list[Tensor]:
            return list(reader.embed([texts[place] for place in missing]))

        made = shared_cache().get_or_make_all(
            keys, make, packing=pack_tensor(self._whole.mean.device)
        )
        return torch.stack(made) if made else reader.embed([])

    def _nothing(self) -> TowerOutput:
        """What no pictures give; networks cannot be asked, some fail without a row."""
        side = self._view.size
        black = torch.zeros(1, 3, side, side, dtype=torch.uint8, device=self._whole.mean.device)
        tokens, summary = self._run(black)
        return TowerOutput(tokens[:0].clone(), None if summary is None else summary[:0].clone())

    @torch.inference_mode()
    def _run(self, canvas: UInt8[Tensor, "b 3 s s"]) -> TowerOutput:
        shares = canvas_to_tower(canvas, self.config.size, self._view.filter)
        output: TowerOutput = self._whole(shares)
        return output

    def _encoded(self, images: Sequence[Image]) -> list[_One]:
        """Encode pictures at once; where the memory does not do, half of them at a time."""
        try:
            output = self._run(view_pixels(images, self._view, device=self._whole.mean.device))
        except torch.OutOfMemoryError:
            if len(images) == 1:
                raise
            half = len(images) // 2
            return [*self._encoded(images[:half]), *self._encoded(images[half:])]
        self._check(output, images)
        # Copies, made outside of the inference mode: a view would keep the whole batch alive in
        # the cache, and a tensor of that mode could not be computed with where gradients flow.
        summary = output.summary
        return [
            _One(
                tokens=output.tokens[i].clone(),
                summary=None if summary is None else summary[i].clone(),
            )
            for i in range(len(images))
        ]

    def _check(self, output: TowerOutput, images: Sequence[Image]) -> None:
        """One transfer for the whole batch."""
        sound = output.tokens.isfinite().flatten(1).all(dim=1)
        if output.summary is not None:
            sound = sound & output.summary.isfinite().all(dim=1)
        flags = sound.tolist()
        if not all(flags):
            names = [repr(i.source.name) for i, fine in zip(images, flags, strict=True) if not fine]
            raise EncoderError(
                f"encoder {self.config.family!r}: expected finite features, got NaN or infinity "
                f"for {listing(names)}; its weights may be damaged, or too large for "
                f"{output.tokens.dtype}: try dtype=torch.float32"
            )


def _frame(image: Image, view: View) -> Frame:
    try:
        return view_frame(view, image.size)
    except InputError as error:
        raise InputError(f"image {image.source.name!r}: {error}") from error


def _stacked(ones: Sequence[_One]) -> TowerOutput:
    summaries = [one.summary for one in ones if one.summary is not None]
    return TowerOutput(
        torch.stack([one.tokens for one in ones]), torch.stack(summaries) if summaries else None
    )


def load_encoder(
    family: str,
    options: EncoderOptions,
    *,
    device: str | torch.device = "cpu",
    dtype: object = None,
) -> TowerEncoder:
    """Load an encoder of a family.

    Args:
        family: Name of the plugin, such as `clip`.
        options: See `EncoderOptions`.
        device: Where it runs and where its features are put.
        dtype: Its number type; None: float32 on a CPU, bfloat16 on CUDA.

    Raises:
        PluginBrokenError: If the library is not installed.
        WeightsError: If the weights are not there, are refused, or are of another family.
        InputError: If there is no such layer, or the size is no multiple of the patch.
    """
    who = f"encoder {family!r}"
    folder = find_weights(
        options.weights, revision=options.revision, offline=options.offline, who=who
    )
    kind = default_dtype(device, dtype)
    tower = load_tower(family, folder, options.rule, who=who, device=device, dtype=kind)
    config = tower.config
    used = (config.layer, config.final_norm, config.size, config.mean, config.std)
    return TowerEncoder(
        tower,
        View(fit=options.fit, size=config.size),
        key=(*weights_key(folder), *used),
        batch=options.batch,
        texts=TextTower.of(folder, who=who, device=device, dtype=kind),
    )
