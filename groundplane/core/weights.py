"""Weights of experts: where they are, and the one way in which they are loaded.

A plugin calls `need_library`, `find_weights`, then `load_model` (a class of transformers) or
`read_state` and `load_strict` (any torch module). Only safetensors are read, every key must fit,
no code of a checkpoint runs, and nothing is fetched that the user did not name with its revision.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from groundplane.core.checkpoints import check_folder, check_tensors, read_settings, weights_of
from groundplane.core.errors import InputError, WeightsError, listing
from groundplane.core.hub import find_weights, need_library, weights_key

__all__ = [
    "default_dtype",
    "find_weights",
    "load_model",
    "load_processor",
    "load_strict",
    "need_library",
    "read_state",
    "weights_key",
]

_QUIET = threading.RLock()


def default_dtype(device: str | torch.device, dtype: object = None) -> torch.dtype:
    """The number type for a device: what was asked for, else bfloat16 on CUDA and float32.

    On a CPU without the instructions for it, bfloat16 is some 50 times slower than float32.

    Raises:
        InputError: If it is asked for by a name or value that is no floating-point type.

    Examples:
        >>> default_dtype("cpu"), default_dtype("cuda:0"), default_dtype("cpu", "float16")
        (torch.float32, torch.bfloat16, torch.float16)
    """
    if dtype is None:
        return torch.bfloat16 if torch.device(device).type == "cuda" else torch.float32
    asked = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if not (isinstance(asked, torch.dtype) and asked.is_floating_point):
        raise InputError(
            f"dtype: expected a floating-point type such as torch.float32, got {dtype!r}"
        )
    return asked


def load_model(
    model_class: Any,
    folder: Path,
    *,
    who: str,
    device: str | torch.device = "cpu",
    dtype: object = None,
    model_types: Sequence[str] = (),
    **config_overrides: object,
) -> Any:
    """Load a model of transformers, strictly.

    Args:
        model_class: A class of transformers, such as `Owlv2ForObjectDetection`.
        folder: Holds `config.json` and safetensors.
        who: Whose weights they are, for messages.
        device: Where the model is put.
        dtype: Its number type; see `default_dtype`.
        model_types: Values of `model_type` that the class reads beside its own.
        **config_overrides: Settings to have instead of the checkpoint's.

    Returns:
        The model: to be used, not trained (evaluation mode, no gradients).

    Raises:
        WeightsError: If the folder is refused (see `check_folder`), is of another class, or a
            key is missing, unexpected or of another shape.
    """
    check_folder(folder, who=who)
    _check_class(model_class, folder, who=who, model_types=model_types)
    with _loading(f"{who}: {model_class.__name__} cannot be made from {folder}"), _quiet():
        model, told = model_class.from_pretrained(
            str(folder),
            dtype=default_dtype(device, dtype),
            ignore_mismatched_sizes=True,  # so that they are all named, below
            local_files_only=True,
            output_loading_info=True,
            trust_remote_code=False,
            use_safetensors=True,
            **config_overrides,
        )
    wrong = {
        "missing": sorted(map(str, told.get("missing_keys") or ())),
        "unexpected": sorted(set(map(str, told.get("unexpected_keys") or ())) - _computed(model)),
        "of another shape": sorted(str(k[0]) for k in told.get("mismatched_keys") or ()),
    }
    _check_keys(wrong, what=f"{who}: the weights in {folder} do not fit {model_class.__name__}")
    return _ready(model, who=who, device=device)


def load_processor(processor_class: Any, folder: Path, *, who: str, **settings: object) -> Any:
    """Load a tokenizer or processor of transformers from a folder, without any code of it.

    Raises:
        WeightsError: If a file is refused (see `check_folder`), missing or malformed.
    """
    for path in sorted(folder.glob("*config*.json")):
        read_settings(path, who=who)
    with _loading(f"{who}: {processor_class.__name__} cannot be made from {folder}"), _quiet():
        return processor_class.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=False, **settings
        )


def read_state(path: Path, *, who: str) -> dict[str, Tensor]:
    """Read tensors by name, on the CPU.

    Args:
        path: A `.safetensors` file, or a folder that holds one, or one in parts with its index.
        who: Whose weights they are, for messages.

    Raises:
        WeightsError: If there is none or several, or it is malformed or a pickle.
    """
    files = weights_of(path, who=who) if path.is_dir() else [path]
    if len(files) > 1 and not (path / "model.safetensors.index.json").exists():
        raise WeightsError(
            f"{who}: {path} holds {listing([f.name for f in files])}: name the one to read"
        )
    library = need_library("safetensors.torch", who=who)
    state: dict[str, Tensor] = {}
    for file in files:
        check_tensors(file, who=who)
        with _loading(f"{who}: {file} cannot be read"):
            state |= library.load_file(str(file))
    return state


def load_strict(
    module: nn.Module,
    state: Mapping[str, Tensor],
    *,
    who: str,
    device: str | torch.device = "cpu",
    dtype: object = None,
) -> nn.Module:
    """Put tensors into a module; every one must have its place and its shape.

    Returns:
        The module: to be used, not trained (evaluation mode, no gradients).

    Raises:
        WeightsError: If a key is missing, unexpected or of another shape, or a weight is not
            finite.

    Examples:
        >>> layer = load_strict(nn.Linear(1, 1), {"weight": torch.ones(1, 1)}, who="'x'")
        Traceback (most recent call last):
        ...
        groundplane.core.errors.WeightsError: 'x': the weights do not fit Linear: missing: bias
        >>> state = {"weight": torch.ones(1, 1), "bias": torch.zeros(1)}
        >>> load_strict(nn.Linear(1, 1), state, who="'x'").training
        False
    """
    own = module.state_dict()
    computed = _computed(module)
    state = {name: tensor for name, tensor in state.items() if name not in computed}
    wrong = {
        "missing": sorted(own.keys() - state.keys()),
        "unexpected": sorted(state.keys() - own.keys()),
        "of another shape": sorted(
            name for name in own.keys() & state.keys() if own[name].shape != state[name].shape
        ),
    }
    _check_keys(wrong, what=f"{who}: the weights do not fit {type(module).__name__}")
    module.load_state_dict(state)
    module.to(dtype=default_dtype(device, dtype))
    ready: nn.Module = _ready(module, who=who, device=device)
    return ready


def _check_class(model_class: Any, folder: Path, *, who: str, model_types: Sequence[str]) -> None:
    """The checkpoint must say that it is of this class; else its keys would be read as others."""
    config = folder / "config.json"
    if not config.is_file():
        raise WeightsError(f"{who}: {folder} has no config.json, which says what the model is")
    settings = read_settings(config, who=who)
    known = (model_class.config_class.model_type, *model_types)
    got = settings.get("model_type")
    if got not in known:
        raise WeightsError(
            f"{who}: expected weights of the kind {listing(known)} (model_type in {config}), "
            f"got {got!r}"
        )
    classes = settings.get("architectures") or [model_class.__name__]
    if got == known[0] and model_class.__name__ not in classes:
        raise WeightsError(
            f"{who}: expected weights of {model_class.__name__} (architectures in {config}), "
            f"got {listing(map(str, classes)) if isinstance(classes, list) else classes!r}"
        )


def _check_keys(wrong: Mapping[str, Sequence[str]], *, what: str) -> None:
    faults = [f"{how}: {listing(names, limit=8)}" for how, names in wrong.items() if names]
    if faults:
        raise WeightsError(f"{what}: {'; '.join(faults)}")


def _computed(model: nn.Module) -> set[str]:
    """Buffers that a model computes itself, such as positions; old checkpoints hold them too."""
    return {name for name, _ in model.named_buffers()} - model.state_dict().keys()


def _ready(model: Any, *, who: str, device: str | torch.device) -> Any:
    model.requires_grad_(False).eval()
    for name, parameter in model.named_parameters():
        if not bool(parameter.isfinite().all()):
            raise WeightsError(
                f"{who}: the weight {name} has numbers that are not finite; the file is damaged"
            )
    return model.to(device)


@contextmanager
def _loading(what: str) -> Iterator[None]:
    """Whatever a library raises over somebody's files becomes one line with their name."""
    try:
        yield
    except WeightsError:
        raise
    except Exception as error:
        said = " ".join(str(error).split())[:300]
        raise WeightsError(f"{what}: {type(error).__name__}: {said}") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' own report and progress bar: the caller raises with the names."""
    library = importlib.import_module("transformers.utils.logging")
    with _QUIET:  # these are settings of the whole process
        level, bar = library.get_verbosity(), library.is_progress_bar_enabled()
        library.set_verbosity_error()
        library.disable_progress_bar()
        try:
            yield
        finally:
            library.set_verbosity(level)
            if bar:
                library.enable_progress_bar()
