"""What a checkpoint's files must be before any library reads them.

Weights are safetensors; a pickle runs code when it is read, so none is. Settings are JSON; a
setting that makes a library fetch or run code is refused by name. See docs/weights.md.

Sources: CVE-2025-32434 and CVE-2026-24747 (a pickle read with `weights_only` still ran code),
CVE-2026-4372 (`_attn_implementation_internal` fetched a kernel and ran it), CVE-2025-66448
(`auto_map` ran code that nobody had allowed).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from groundplane.core.errors import WeightsError, listing

__all__ = ["PICKLES", "check_folder", "check_tensors", "read_settings", "weights_of"]

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib")

CONVERT = "groundplane weights convert FILE OUT.safetensors"

# A header lists the tensors; that of the largest published checkpoint has some megabytes.
_HEADER_LIMIT = 16 * 2**20
_SETTINGS_LIMIT = 8 * 2**20
# How a pickle and a zip of pickles begin, whatever the file is called.
_MAGIC = {b"\x80": "a pickle", b"PK\x03\x04": "a zip archive, as torch writes pickles"}

# Settings that make a library import, fetch or run what they name.
_RUNS_CODE = frozenset(
    {
        "_target_",
        "adapter_kwargs",
        "auto_map",
        "custom_pipelines",
        "distributed_config",
        "experts_implementation",
        "fusion_config",
        "kernel_config",
        "kernels",
        "quantization_config",
        "remote_code",
        "transformers_weights",
        "trust_remote_code",
        "use_kernels",
    }
)
# Private settings that are known to do nothing; any other private one is refused.
_PRIVATE = frozenset(
    {
        "_attn_implementation_autoset",
        "_commit_hash",
        "_from_model_config",
        "_name_or_path",
        "_num_labels",
        "_valid_processor_keys",
    }
)
_ATTENTION = frozenset({"eager", "sdpa", "flash_attention_2", "flex_attention", None})
# Of a tokenizer these are vocabularies, whose words are not settings.
_DATA = ("tokenizer.json", "vocab.json", "added_tokens.json", ".index.json")


def check_folder(folder: Path, *, who: str) -> None:
    """Refuse a folder that no library may be let near.

    Args:
        folder: It holds `config.json` and weights in safetensors files.
        who: Whose weights they are, for messages: `detector 'owlv2'`.

    Raises:
        WeightsError: If it is no folder; if it has no safetensors weights, or only pickles; if a
            weights file is malformed; if a setting would fetch or run code; if it holds an
            adapter, which names a second checkpoint.
    """
    if not folder.is_dir():
        raise WeightsError(f"{who}: expected a folder of weights, got {str(folder)!r}")
    if (folder / "adapter_config.json").exists():
        raise WeightsError(
            f"{who}: {folder} holds an adapter, which names a second checkpoint to fetch; merge "
            "it into its model, save that as safetensors, and give the folder"
        )
    for path in sorted(folder.glob("*.json")):
        if not path.name.endswith(_DATA):
            read_settings(path, who=who)
    for path in weights_of(folder, who=who):
        check_tensors(path, who=who)


def weights_of(folder: Path, *, who: str) -> list[Path]:
    """The safetensors files of a folder: those of its index, or `model.safetensors`, or all.

    Raises:
        WeightsError: If there is none, one is missing, or the index names another place.
    """
    index = folder / "model.safetensors.index.json"
    if index.exists():
        return _sharded(index, who=who)
    whole = folder / "model.safetensors"
    files = [whole] if whole.exists() else sorted(folder.glob("*.safetensors"))
    if files:
        return files
    pickles = sorted(p.name for p in folder.iterdir() if p.name.lower().endswith(PICKLES))
    if pickles:
        raise WeightsError(f"{who}: {_refusal(folder / pickles[0])}")
    raise WeightsError(
        f"{who}: expected weights in a .safetensors file, but {folder} holds "
        f"{listing(sorted(p.name for p in folder.iterdir()), empty='nothing')}"
    )


def check_tensors(path: Path, *, who: str) -> None:
    """Check that a file really is safetensors, without reading the tensors.

    Raises:
        WeightsError: If it is a pickle, is cut off, or its header is malformed or too large.
    """
    if path.name.lower().endswith(PICKLES):
        raise WeightsError(f"{who}: {_refusal(path)}")
    if not path.is_file():
        raise WeightsError(f"{who}: the weights {path} are not there, or are no regular file")
    fault = _fault(path)
    if fault:
        raise WeightsError(f"{who}: {path} is not a sound safetensors file: {fault}")


def read_settings(path: Path, *, who: str) -> dict[str, Any]:
    """Read a JSON file of settings, and refuse those that fetch or run code.

    Raises:
        WeightsError: If it is no JSON object, is too large, or has such a setting.
    """
    try:
        if path.stat().st_size > _SETTINGS_LIMIT:
            raise WeightsError(f"{who}: {path} has more than {_SETTINGS_LIMIT // 2**20} MB")
        settings = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, WeightsError):
            raise
        raise WeightsError(f"{who}: {path} cannot be read as JSON: {error}") from error
    if not isinstance(settings, dict):
        if path.name == "config.json":
            raise WeightsError(f"{who}: {path}: expected an object, got {type(settings).__name__}")
        return {}
    for place, key, value in _walk(settings):
        fault = _setting_fault(key, value)
        if fault:
            raise WeightsError(
                f"{who}: {path} has the setting {place!r}, which {fault}; groundplane runs no "
                "code of a checkpoint. Take it out of the file, or use a checkpoint of the class "
                "that transformers itself has"
            )
    return settings


def _sharded(index: Path, *, who: str) -> list[Path]:
    table = read_settings(index, who=who).get("weight_map")
    names = sorted(set(map(str, table.values()))) if isinstance(table, dict) else []
    strange = [n for n in names if not re.fullmatch(r"[\w][\w.-]*\.safetensors", n)]
    if not names or strange:
        raise WeightsError(
            f"{who}: {index}: expected file names of this folder that end in .safetensors, got "
            f"{listing(map(repr, strange))}"
        )
    missing = [name for name in names if not (index.parent / name).exists()]
    if missing:
        raise WeightsError(f"{who}: {index.parent} lacks {listing(missing)}, which its index names")
    return [index.parent / name for name in names]


def _walk(settings: dict[str, Any], place: str = "") -> Iterator[tuple[str, str, object]]:
    """Every setting at any depth: its place with dots, its name and its value."""
    for key, value in settings.items():
        here = f"{place}.{key}" if place else key
        yield here, key, value
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, dict):
                yield from _walk(item, here)


def _setting_fault(key: str, value: object) -> str:
    """What a setting would do that is not allowed, or nothing."""
    if value in (None, False, "", {}, []):
        return ""
    if key in _RUNS_CODE:
        return "makes a library fetch or run code"
    if key.endswith("attn_implementation"):
        asked = value.values() if isinstance(value, dict) else [value]
        known = all(isinstance(way, str | None) and way in _ATTENTION for way in asked)
        return "" if known and key in ("attn_implementation", "_attn_implementation") else _KERNEL
    if key.startswith("_") and not (key in _PRIVATE or _is_token(key, value)):
        return "is private to a library"
    if key == "use_pretrained_backbone":
        return "makes a library fetch a second checkpoint"
    return ""


def _is_token(key: str, value: object) -> bool:
    """Whether it is the number of a token: Idefics3 and SmolVLM save one so."""
    return key == "_pad_token_id" and type(value) is int


_KERNEL = "can name code to fetch"


def _fault(path: Path) -> str:
    """What is wrong with a safetensors file, or nothing."""
    size = path.stat().st_size
    with path.open("rb") as file:
        begin = file.read(8)
        for magic, name in _MAGIC.items():
            # A header of 128 bytes would begin like a pickle; then its JSON follows.
            if begin.startswith(magic) and file.read(1) != b"{":
                return f"it is {name}. {_ADVICE}"
        length = int.from_bytes(begin, "little")
        if size < 8 or length > size - 8:
            return f"it is cut off ({size} bytes, and a header of {length} bytes is announced)"
        if length > _HEADER_LIMIT:
            return f"its header has {length} bytes; the limit is {_HEADER_LIMIT}"
        file.seek(8)
        header = file.read(length)
    try:
        entries = json.loads(header)
    except (ValueError, RecursionError) as error:
        return f"its header is no JSON ({error})"
    return _entries_fault(entries, size - 8 - length)


def _entries_fault(entries: object, num_bytes: int) -> str:
    """What is wrong with a header, or nothing: tensors must fill the rest without a gap."""
    if not isinstance(entries, dict):
        return "its header is no JSON object"
    spans: list[tuple[int, int]] = []
    for name, entry in entries.items():
        if name == "__metadata__":
            continue
        offsets = entry.get("data_offsets") if isinstance(entry, dict) else None
        proper = isinstance(offsets, list) and len(offsets) == 2
        if not (proper and all(type(offset) is int for offset in offsets or ())):
            return f"the header has no data_offsets for {name[:80]!r}"
        spans.append((offsets[0], offsets[1]))  # type: ignore[index]
    end = 0
    for start, stop in sorted(spans):
        if start != end or stop < start:
            return f"its tensors overlap or leave a gap at byte {start}"
        end = stop
    if end != num_bytes:
        return f"its tensors need {end} bytes and {num_bytes} follow the header"
    return ""


_ADVICE = (
    "Reading a pickle can run code that its maker put there, so groundplane reads none. Look for "
    f"a safetensors version of these weights, or convert a file that you trust: {CONVERT}"
)


def _refusal(path: Path) -> str:
    return f"{os.fspath(path)} is a pickle. {_ADVICE}"
