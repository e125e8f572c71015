"""What learns in a stage, what does not, and how it is seen that it did not."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from groundplane.core.errors import GroundplaneError, InputError, OutputError, WeightsError, listing
from groundplane.core.towers.building import frozen_hash
from groundplane.core.weights import read_state
from groundplane.training.configuration import LoraRule

__all__ = [
    "FrozenChangedError",
    "check_frozen",
    "choose_trained",
    "hash_frozen",
    "hash_trained",
    "load_trained",
    "merge_lora",
    "save_trained",
]

_WHO = "training"
_PARTS = ("fusion", "language_model")


class FrozenChangedError(GroundplaneError, RuntimeError):
    """Weights that were not to be trained are others than before."""


def choose_trained(
    model: Any, train: Literal["adapters", "language_model", "lora"], lora: LoraRule
) -> None:
    """Let gradients flow to what a stage trains, and to nothing else.

    What is trained is kept in float32, whatever the rest is.

    Args:
        model: A `MofForConditionalGeneration`; with `lora`, its language model gets low-rank
            matrices beside its layers.
        train: What a stage says.
        lora: Of these matrices.

    Raises:
        InputError: If the language model has no layer of a name that `lora` targets.
    """
    model.requires_grad_(False)
    if train == "lora":
        model.language_model = _with_lora(model.language_model, lora)
    parts = {"adapters": [model.fusion], "language_model": [model.fusion, model.language_model]}
    for part in parts.get(train, parts["adapters"]):
        part.requires_grad_(True)
    for weight in model.parameters():
        if weight.requires_grad:
            weight.data = weight.data.float()


def _with_lora(language_model: Any, rule: LoraRule) -> Any:
    from peft import LoraConfig, get_peft_model

    targets: list[str] | str = list(rule.targets) or "all-linear"
    config = LoraConfig(
        r=rule.rank,
        lora_alpha=rule.alpha,  # type: ignore[arg-type] # it may be any number
        lora_dropout=rule.dropout,
        target_modules=targets,
        task_type="CAUSAL_LM",
    )
    try:
        with warnings.catch_warnings():
            # peft still asks transformers by names that it is giving up.
            warnings.simplefilter("ignore", FutureWarning)
            return get_peft_model(language_model, config)
    except ValueError as error:
        linear = {n.split(".")[-1] for n, m in language_model.named_modules() if _linear(m)}
        raise InputError(
            f"lora: targets: expected names among {listing(sorted(linear))}, got "
            f"{listing(rule.targets)}"
        ) from error


def _linear(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear)


def merge_lora(model: Any) -> None:
    """Add the low-rank matrices to the layers that they stand beside."""
    model.language_model = model.language_model.merge_and_unload()


def hash_frozen(model: Any) -> dict[str, str]:
    """SHA-256 of what does not learn, a part of the model; buffers count too.

    Args:
        model: Whose parameters say whether they learn.
    """
    towers = {f"tower {i} ({t.shape.name})": frozen_hash(t) for i, t in enumerate(model.towers)}
    return towers | {part: _hash(_tensors(model, part, trained=False)) for part in _PARTS}


def hash_trained(model: Any) -> dict[str, str]:
    """SHA-256 of what learns, a part of the model that does."""
    found = {part: list(_tensors(model, part, trained=True)) for part in _PARTS}
    return {part: _hash(tensors) for part, tensors in found.items() if tensors}


def check_frozen(before: Mapping[str, str], after: Mapping[str, str]) -> None:
    """Check that nothing has changed.

    Raises:
        FrozenChangedError: If it has; it names the parts.
    """
    changed = [part for part in before if before[part] != after.get(part)]
    if changed:
        raise FrozenChangedError(
            f"training: the frozen weights of {listing(changed)} are not what they were before; "
            "something has written to them, so that this run is worth nothing"
        )


def _tensors(model: Any, part: str, *, trained: bool) -> Iterable[tuple[str, Tensor]]:
    module: nn.Module = getattr(model, part)
    for name, weight in module.named_parameters():
        if weight.requires_grad == trained:
            yield name, weight.detach()
    if not trained:
        yield from module.named_buffers()


def _hash(tensors: Iterable[tuple[str, Tensor]]) -> str:
    digest = hashlib.sha256()
    for name, tensor in tensors:
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().flatten().view(torch.uint8).cpu().numpy().data)
    return digest.hexdigest()


def save_trained(model: nn.Module, path: Path) -> None:
    """Save what learns as safetensors, by the model's own names.

    Raises:
        OutputError: If it cannot be written.
    """
    from safetensors.torch import save_file

    state = {
        name: weight.detach().cpu().contiguous()
        for name, weight in model.named_parameters()
        if weight.requires_grad
    }
    try:
        save_file(state, str(path), metadata={"format": "pt"})
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from error


def load_trained(model: nn.Module, path: Path) -> None:
    """Put back what `save_trained` saved; the rest of the model is left as it is.

    Raises:
        WeightsError: If the file is damaged, or holds other weights than those that learn.
    """
    learning = {n: w for n, w in model.named_parameters() if w.requires_grad}
    state = read_state(path, who=_WHO)
    odd = sorted(state.keys() ^ learning.keys())
    odd += [n for n in state.keys() & learning.keys() if state[n].shape != learning[n].shape]
    if odd:
        raise WeightsError(
            f"{_WHO}: {path} does not hold the weights that learn: missing, unexpected or of "
            f"another shape: {listing(odd, limit=8)}"
        )
    with torch.no_grad():
        for name, weight in learning.items():
            weight.copy_(state[name])
