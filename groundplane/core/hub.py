"""Libraries that plugins stand on, and weights: on this machine, or fetched from a hub.

Nothing here needs torch. Nothing is fetched but what the user named with its revision, and of
that only safetensors, vocabularies and settings.
"""

from __future__ import annotations

import importlib
import logging
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from groundplane.core.checkpoints import check_tensors
from groundplane.core.errors import PluginBrokenError, WeightsError, listing
from groundplane.core.options import option_hint
from groundplane.core.plugin_source import is_installed, pip_name

__all__ = ["find_weights", "need_library", "weights_key"]

logger = logging.getLogger(__name__)

_WANTED = ("*.json", "*.txt", "*.model", "*.safetensors")
_HUB_ID = re.compile(r"[\w][\w.-]*/[\w][\w.-]*")
_REVISION = re.compile(r"[0-9a-f]{40}")
# The hub client's bars are a setting of the whole process.
_BARS = threading.RLock()
_VISION = (
    "install the torchvision that matches torch: pip install --upgrade torch torchvision (both "
    "at once), or without CUDA: uv pip install --torch-backend=cpu torch torchvision"
)


def need_library(module: str, *, who: str, extra: str = "", cure: str = "") -> ModuleType:
    """Import a library that a plugin stands on.

    Args:
        module: Its name to import.
        who: Who needs it, for messages: `detector 'owlv2'`.
        extra: The extra of groundplane that brings it; empty names the library itself.
        cure: What installs it where neither does.

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
    plain = f"pip install 'groundplane[{extra}]'" if extra else f"pip install {pip_name(top)}"
    cure = cure or plain
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
            f"maker/model, got {weights!r}, which is none of them. Try: "
            f"{option_hint(who, 'weights=FOLDER')}"
        )
    if not _REVISION.fullmatch(revision):
        raise WeightsError(
            f"{who}: the hub id {weights!r} needs option revision: expected a commit of 40 "
            f"hexadecimal digits, as the page https://huggingface.co/{weights}/commits/main "
            f"lists them, got {revision!r}. Try: {option_hint(who, 'revision=COMMIT')}"
        )
    return _from_hub(weights, revision, offline=offline, who=who)


def weights_key(path: Path) -> tuple[object, ...]:
    """What tells weights from others, for the key of a cache: their place, sizes and dates.

    Those of the settings beside them too, which say how pictures are brought to the network.

    Examples:
        >>> weights_key(Path("/nowhere"))
        ('/nowhere',)
    """
    parts = [*path.glob("*.safetensors"), *path.glob("*.json")]
    files = sorted(parts) if path.is_dir() else [path]
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
            patterns = " ".join(f"--include '{name}'" for name in _WANTED)
            raise WeightsError(
                f"{who}: {asked} is not on this machine and fetching is off. On a machine with "
                f"a network: hf download {weights} --revision {revision} "
                f"{patterns} --local-dir FOLDER; then "
                "--option weights=FOLDER"
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


@contextmanager
def _no_bars() -> Iterator[None]:
    """Without the hub client's progress bars, where nothing large is fetched."""
    library = importlib.import_module("huggingface_hub.utils")
    with _BARS:
        shown = not library.are_progress_bars_disabled()
        if shown:
            library.disable_progress_bars()
        try:
            yield
        finally:
            if shown:
                library.enable_progress_bars()
