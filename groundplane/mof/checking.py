"""What is checked before a mixture-of-features model goes on: places, features, checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from groundplane.core.checkpoints import check_folder
from groundplane.core.errors import InputError, ShapeError, WeightsError, listing
from groundplane.core.towers.building import frozen_hash
from groundplane.core.towers.tower import Tower
from groundplane.mof.owning import own_towers

__all__ = [
    "check_features",
    "check_places",
    "check_processor",
    "check_towers",
    "load_checked",
]

_WHO = "mof"


def check_places(mask: Bool[Tensor, "b t"], *, pictures: int, tokens: int) -> None:
    """Check that a text has as many placeholders as there are tokens of pictures.

    One number a text is copied to the host; nothing is checked where torch compiles.

    Args:
        mask: Where placeholders are.
        pictures: Of the whole batch.
        tokens: Of a picture.

    Raises:
        ShapeError: If they do not fit.
    """
    if torch.compiler.is_compiling():
        return
    places: list[int] = mask.sum(dim=1).tolist()
    if sum(places) == pictures * tokens and all(count % tokens == 0 for count in places):
        return
    odd = [index for index, count in enumerate(places) if count % tokens]
    where = f"; text {odd[0]} has {places[odd[0]]}, no multiple of it" if odd else ""
    raise ShapeError(
        f"{_WHO}: expected {pictures * tokens} image placeholders, {tokens} for each of "
        f"{pictures} pictures, got {sum(places)}{where}; MofProcessor makes texts and pictures fit"
    )


def check_features(features: Sequence[Float[Tensor, "k _ _"]], names: Sequence[str]) -> None:
    """Check that features are finite numbers; one answer a tower is copied to the host.

    Raises:
        InputError: If they are not; it names the towers.
    """
    finite: list[bool] = torch.stack([grid.isfinite().all() for grid in features]).tolist()
    faulty = [name for name, good in zip(names, finite, strict=True) if not good]
    if faulty:
        raise InputError(
            f"{_WHO}: the features of {listing(faulty)} have numbers that are not finite: its "
            "weights are damaged, or its number type is too narrow for them"
        )


def check_towers(
    towers: Sequence[Tower], *, configs: Sequence[object], hashes: Sequence[str], what: str
) -> None:
    """Check that towers are those that something was trained with.

    Args:
        towers: In the order of fusion.
        configs: What each should be; empty where that is not known.
        hashes: Of what weights each should be.
        what: It was trained with them; for messages.

    Raises:
        WeightsError: If one is another; it is named.
    """
    names = [tower.shape.name for tower in towers]
    if len(towers) != len(hashes):
        raise WeightsError(
            f"{_WHO}: {what} is for {len(hashes)} towers, got {len(towers)}: {listing(names)}"
        )
    for index, (tower, wanted) in enumerate(zip(towers, hashes, strict=True)):
        if configs and tower.config != configs[index]:
            raise WeightsError(
                f"{_WHO}: {what} is for another tower {index}: expected {configs[index]}, got "
                f"{tower.config}"
            )
        got = frozen_hash(tower)
        if got != wanted:
            raise WeightsError(
                f"{_WHO}: {what} is for other weights of tower {index} ({names[index]}): expected "
                f"SHA-256 {wanted[:16]}, got {got[:16]}; load the encoder that it was trained with"
            )


def check_processor(model: Any, processor: Any, *, folder: Path) -> None:
    """Check that a processor makes what a model reads.

    Raises:
        WeightsError: If tokens of a picture, placeholder or view differ.
    """
    pairs = {
        "tokens": (model.report.tokens, processor.tokens),
        "image_token_id": (model.config.image_token_id, processor.image_token_id),
        "view": (model.config.seen, processor.view),
    }
    for name, (wanted, got) in pairs.items():
        if wanted != got:
            raise WeightsError(
                f"{_WHO}: {folder}: the processor is another model's: {name}: expected {wanted}, "
                f"got {got}; save the model and its own processor into one folder"
            )


def load_checked(
    load: Callable[..., Any],
    folder: Path,
    towers: Sequence[Tower] | None,
    args: Sequence[Any],
    rest: dict[str, Any],
) -> Any:
    """`MofForConditionalGeneration.from_pretrained`: `load` is that of transformers."""
    from groundplane.mof.configuration import MofConfig

    check_folder(folder, who=_WHO)
    config = rest.pop("config", None) or MofConfig.from_pretrained(str(folder))
    apart = config.tower_weights == "reference"
    if apart != (towers is not None):
        raise WeightsError(
            f"{_WHO}: {folder} has its towers "
            + ("not inside: give them as towers=" if apart else "inside: give none as towers=")
        )
    if apart:
        check_towers(
            towers or (),
            configs=config.tower_configs,
            hashes=config.tower_hashes,
            what=f"the checkpoint {folder}",
        )
    tell = rest.pop("output_loading_info", False)
    rest |= {"use_safetensors": True, "trust_remote_code": False, "local_files_only": True}
    rest["ignore_mismatched_sizes"] = True  # so that they are all named, below
    model, told = load(str(folder), *args, config=config, output_loading_info=True, **rest)
    missing = {key for key in told["missing_keys"] if not (apart and key.startswith("towers."))}
    _check_keys(folder, {**told, "missing_keys": missing})
    model.restore_computed()
    model.language_model.generation_config = model.generation_config
    place = model.get_input_embeddings().weight
    if apart:
        model.towers = nn.ModuleList(
            own_towers(towers or (), device=place.device, dtype=place.dtype)
        )
    model.towers.to(dtype=place.dtype).eval().requires_grad_(False)
    model.fusion.to(dtype=place.dtype)
    return (model, told) if tell else model


def _check_keys(folder: Path, told: Mapping[str, Any]) -> None:
    wrong = {
        "missing": told["missing_keys"],
        "unexpected": told["unexpected_keys"],
        "of another shape": [key[0] for key in told["mismatched_keys"]],
    }
    faults = [f"{how}: {listing(sorted(map(str, k)), limit=8)}" for how, k in wrong.items() if k]
    if faults:
        raise WeightsError(
            f"{_WHO}: the weights in {folder} do not fit its config.json: {'; '.join(faults)}"
        )
