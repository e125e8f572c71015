"""`groundplane weights convert`: a pickle checkpoint that the user trusts, as safetensors.

This is the only place of groundplane that reads a pickle. It is read with torch's restricted
reader, in a process of its own that may start no other, open no connection and write no file but
its result. That is a second wall, no proof: convert only what you trust.
"""

from __future__ import annotations

import hashlib
import os
import re
import resource
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from groundplane.core.errors import OutputError, PluginBrokenError, WeightsError, listing
from groundplane.core.files import one_line
from groundplane.core.host import call_apart

__all__ = ["convert", "run"]

# Names under which checkpoints keep the weights, beside what belongs to their training.
_INNER = ("model", "state_dict", "model_state_dict")
_PREFIX = "module."
_SECONDS = 600
# What the reading process may not do, by the names of Python's audit events.
_FORBIDDEN = re.compile(
    r"os\.(?!listdir$|scandir$|walk$|fwalk$)|(socket|subprocess|shutil|pty|ftplib|smtplib|urllib|"
    r"http|webbrowser|sqlite3|tempfile)\.|ctypes\.dlopen$"
)


def run(source: Path, target: Path) -> int:
    """Convert, print what was written to stdout, and give exit code 0."""
    told = convert(source, target)
    sys.stdout.write(
        f"wrote {one_line(str(target))}: {told['count']} tensors, {told['bytes'] / 1e6:.1f} MB, "
        f"sha256 {told['sha256']}\n"
    )
    if told["left_out"]:
        sys.stdout.write(f"left out, as no weights: {listing(told['left_out'])}\n")
    return 0


def convert(source: Path, target: Path) -> dict[str, Any]:
    """Write the tensors of a pickle checkpoint as safetensors.

    Args:
        source: A file that `torch.save` wrote: a table of tensors, or one that holds it as
            `model`, `state_dict` or `model_state_dict`.
        target: Where to write; it must end in `.safetensors`.

    Returns:
        `count` of tensors, `bytes` and `sha256` of the file, and the names `left_out`.

    Raises:
        WeightsError: If the source is not there, is no such file, or would run code.
        OutputError: If the target cannot be written.
    """
    if target.suffix != ".safetensors":
        raise OutputError(f"{one_line(str(target))}: expected a name that ends in .safetensors")
    if not source.is_file():
        raise WeightsError(f"{one_line(str(source))}: no such file; name a .pth or .bin file")
    draft = target.with_name(f".{secrets.token_hex(8)}.part")
    order = {"source": str(source), "draft": str(draft)}
    try:
        told: dict[str, Any] = call_apart(
            "groundplane.apps.weights:_convert", order, timeout=_SECONDS
        )
        if "refused" in told:
            raise WeightsError(f"{one_line(str(source))}: {told['refused']}")
        draft.replace(target)
    except PluginBrokenError as error:
        raise WeightsError(f"{one_line(str(source))}: cannot be converted: {error}") from error
    except OSError as error:
        raise OutputError(
            f"{one_line(str(target))}: cannot be written: {error.strerror or error}"
        ) from error
    finally:
        draft.unlink(missing_ok=True)
    return told


def _convert(order: dict[str, str]) -> dict[str, Any]:
    """The child's part of `convert`."""
    import torch
    from safetensors.torch import save_file

    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        _wall_in()
        # Restricted: a table of names and tensors, and nothing that calls what it names.
        found = torch.load(order["source"], map_location="cpu", weights_only=True)
        state, left_out = _state_of(found)
    except WeightsError as error:
        return {"refused": str(error)}
    except Exception as error:  # noqa: BLE001 the file is somebody's, and may do anything
        said = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        return {"refused": f"it is no table of tensors that can be read without code ({said})"}
    plain = {name: tensor.detach().clone().contiguous() for name, tensor in state.items()}
    draft = Path(order["draft"])
    save_file(plain, order["draft"], metadata={"format": "pt"})
    with draft.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        os.fsync(file.fileno())
    size = draft.stat().st_size
    return {"count": len(plain), "bytes": size, "sha256": digest, "left_out": left_out}


def _wall_in() -> None:
    """From here on this process may read, and do nothing else to the machine."""

    def guard(event: str, arguments: tuple[Any, ...]) -> None:
        writes = event == "open" and _writes(arguments)
        if writes or _FORBIDDEN.match(event):
            raise WeightsError(f"reading it would run code ({event})")

    sys.addaudithook(guard)


def _writes(arguments: tuple[Any, ...]) -> bool:
    """Whether an `open` event is one of writing: by its mode, or by the flags of `os.open`."""
    mode, flags = arguments[1], arguments[2]
    by_mode = isinstance(mode, str) and any(sign in mode for sign in "wax+")
    by_flags = isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
    return by_mode or by_flags


def _state_of(found: object) -> tuple[dict[str, Any], list[str]]:
    """The table of tensors in what a checkpoint holds, and the names of all else."""
    from torch import Tensor

    left_out: list[str] = []
    inner = [name for name in _INNER if isinstance(found, Mapping) and name in found]
    if inner and isinstance(found, Mapping) and isinstance(found[inner[0]], Mapping):
        left_out = sorted(str(name) for name in found if name != inner[0])
        found = found[inner[0]]
    if not isinstance(found, Mapping) or not found:
        raise WeightsError(f"expected a table of tensors, got {type(found).__name__}")
    others = [str(name) for name, value in found.items() if not isinstance(value, Tensor)]
    if others or not all(isinstance(name, str) for name in found):
        raise WeightsError(f"expected tensors only, got also {listing(others, empty='no names')}")
    cut = len(_PREFIX) if all(name.startswith(_PREFIX) for name in found) else 0
    return {name[cut:]: value for name, value in found.items()}, left_out
