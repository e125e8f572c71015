"""Weights of experts: where they are, and the one way in which they are loaded.

A plugin calls `need_library`, `find_weights`, then `load_model` (a class of transformers) or
`read_state` and `load_strict` (any torch module). Only safetensors are read, every key must fit,
no code of a checkpoint runs, and nothing is fetched that the user did not name with its revision.
"""

from __future__ import annotations

import importlib
import logging
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from groundplane.core.checkpoints import check_folder, check_tensors, read_settings, weights_of
from groundplane.core.errors import InputError, PluginBrokenError, WeightsError, listing
from groundplane.core.plugin_source import is_installed, pip_name

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

logger = logging.getLogger(__name__)

_WANTED = ("*.json", "*.txt", "*.model", "*.safetensors")
_HUB_ID = re.compile(r"[\w][\w.-]*/[\w][\w.-]*")
_REVISION = re.compile(r"[0-9a-f]{40}")
_QUIET = threading.RLock()
_VISION = (
    "install the torchvision that matches torch: pip install --upgrade torch torchvision (both "
    "at once), or without CUDA: uv pip install --torch-backend=cpu torch torchvision"
)


def need_library(module: str, *, who: str, extra: str = "") -> ModuleType:
    """Import a library that a plugin stands on.

    Args:
        module: Its name to import.
        who: Who needs it, for messages: `detector 'owlv2'`.
        extra: The extra of groundplane that brings it; empty names the library itself.

    Raises:
        PluginBrokenError: If it is not installed or cannot be imported; the message says what
            to install.

    Examples:
        >>> need_library("json", who="detector 'x'").__name__
        'json'
        >>> need_library("no_such", who="detector 'x'", extra="owlv2")
        Traceback (most recent call last):
        ...
        groundplane.core.errors.PluginBrokenError: detector 'x' needs the library 'no_such', which is not installed. Try: pip install 'groundplane[owlv2]'
    """  # noqa: E501
    top = module.partition(".")[0]
    cure = f"pip install 'groundplane[{extra}]'" if extra else f"pip install {pip_name(top)}"
    if not is_installed(top):
        raise PluginBrokenError(
            f"{who} needs the library {top!r}, which is not installed. Try: {cure}"
        )
    if top in ("timm", "transformers") and is_installed("torchvision"):
        # Beside another torch it fails, and these fail later with a message that hides why.
        _import("torchvision", who=who, cure=_VISION)
    return _import(module, who=who, cure=_VISION if top == "torchvision" else cure)


def find_weights(weights: str, *, who: str, revision: str = "", offline: bool = False) -> Path:
    """Where weights are on disk; those of a hub are fetched at their first use.

    Args:
        weights: A folder or `.safetensors` file, or a hub id such as `google/owlv2-base-patch16`.
            A folder that has the name of a hub id is the folder.
        who: Whose weights they are, for messages.
        revision: The commit of the hub id, 40 hexadecimal digits. A branch or tag can change
            under you, so none is taken.
        offline: Look only at what is on this machine. `HF_HUB_OFFLINE=1` has the same effect.

    Returns:
        The folder, or the `.safetensors` file.

    Raises:
        WeightsError: If they are not there, cannot be fetched, or are a pickle.
    """
    path = Path(weights).expanduser()
    if weights and path.is_dir():
        return path
    if path.is_file():
        check_tensors(path, who=who)
        return path
    if not _HUB_ID.fullmatch(weights):
        raise WeightsError(
            f"{who}: option weights: expected a folder, a .safetensors file or a hub id such as "
            f"maker/model, got {weights!r}, which is none of them. Try: --option weights=FOLDER"
        )
    if not _REVISION.fullmatch(revision):
        raise WeightsError(
            f"{who}: the hub id {weights!r} needs option revision: expected a commit of 40 "
            f"hexadecimal digits, as the page https://huggingface.co/{weights}/commits/main "
            f"lists them, got {revision!r}. Try: --option revision=COMMIT"
        )
    return _from_hub(weights, revision, offline=offline, who=who)


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
        "unexpected": sorted(map(str, told.get("unexpected_keys") or ())),
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


def weights_key(path: Path) -> tuple[object, ...]:
    """What tells weights from others, for the key of a cache: their place, sizes and dates.

    Examples:
        >>> weights_key(Path("/nowhere"))
        ('/nowhere',)
    """
    files = sorted(path.glob("*.safetensors")) if path.is_dir() else [path]
    states = [file.stat() for file in files if file.is_file()]
    return (str(path.resolve()), *((state.st_size, state.st_mtime_ns) for state in states))


def _import(module: str, *, who: str, cure: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except Exception as error:
        # A library with compiled parts may raise anything while it is imported.
        said = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        vision = re.search(r"torchvision::\w+ does not exist|torchvision\S*: undefined", said)
        raise PluginBrokenError(
            f"{who} needs the library {module!r}, which is installed but broken ({said}). "
            f"Try: {_VISION if vision else cure}"
        ) from error


def _from_hub(weights: str, revision: str, *, offline: bool, who: str) -> Path:
    hub = need_library("huggingface_hub", who=who)
    wanted: dict[str, Any] = {
        "repo_id": weights,
        "revision": revision,
        "allow_patterns": list(_WANTED),
        "ignore_patterns": ["*/*"],  # other formats of the same weights stand in folders
    }
    asked = f"{weights} at {revision}"
    settings = need_library("huggingface_hub.constants", who=who)
    if offline or settings.HF_HUB_OFFLINE:
        try:
            return Path(hub.snapshot_download(**wanted, local_files_only=True))
        except (OSError, ValueError) as error:
            raise WeightsError(
                f"{who}: {asked} is not on this machine and fetching is off. On a machine with "
                f"a network: hf download {weights} --revision {revision} --include '*.json' "
                "'*.txt' '*.model' '*.safetensors' --local-dir FOLDER; then --option weights=FOLDER"
            ) from error
    try:
        with _no_bars():
            files = hub.snapshot_download(**wanted, dry_run=True)
        if _announce(files, asked=asked, who=who):
            return Path(hub.snapshot_download(**wanted))
        with _no_bars():
            return Path(hub.snapshot_download(**wanted, local_files_only=True))
    except WeightsError:
        raise
    except Exception as error:
        # Of the hub's client, of the HTTP library below it, or of the disk.
        said = " ".join(str(error).split())[:300]
        raise WeightsError(
            f"{who}: {asked} cannot be fetched ({type(error).__name__}: {said}). Check the id and "
            "the revision; a gated model needs your own log-in (hf auth login). Weights on disk "
            "need no network: --option weights=FOLDER, or --option offline=true for fetched ones"
        ) from error


def _announce(files: Sequence[Any], *, asked: str, who: str) -> bool:
    """Say what is going to be fetched, if anything; refuse what has no weights to read."""
    names = [file.filename for file in files]
    if not any(name.endswith(".safetensors") for name in names):
        raise WeightsError(
            f"{who}: {asked} publishes no safetensors, only {listing(names, empty='other files')}"
            "; pickles are not read. Choose a revision or a copy that has model.safetensors"
        )
    new = [file for file in files if file.will_download]
    if new:
        size = sum(file.file_size or 0 for file in new)
        logger.warning("%s: fetching %s: %d files, %s", who, asked, len(new), _megabytes(size))
    return bool(new)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size < 1e9 else f"{size / 1e9:.2f} GB"


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
def _no_bars() -> Iterator[None]:
    """Without the hub client's progress bars, where nothing large is fetched."""
    library = importlib.import_module("huggingface_hub.utils")
    with _QUIET:
        shown = not library.are_progress_bars_disabled()
        if shown:
            library.disable_progress_bars()
        try:
            yield
        finally:
            if shown:
                library.enable_progress_bars()


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
