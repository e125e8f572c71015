"""`groundplane doctor`: whether this installation works, and how to mend what does not."""

from __future__ import annotations

import json
import platform
import re
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from importlib import import_module, metadata, util
from typing import Any, Literal

from groundplane.apps.plugins import table
from groundplane.core import host
from groundplane.core.errors import PluginBrokenError, listing
from groundplane.core.plugin_source import pip_name

__all__ = ["Check", "examine", "run"]

_OPENCV = (
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
)
_REINSTALL_OPENCV = (
    f"pip uninstall -y {' '.join(_OPENCV)}, then pip install 'opencv-python-headless>=4.10,<5'"
)
_REINSTALL_VISION = (
    "install the torchvision that matches torch: pip install --upgrade torch torchvision (both "
    "at once), or without CUDA: uv pip install --torch-backend=cpu torch torchvision"
)
# Distribution, module, what it is for, and what installs it.
_OPTIONAL = (
    ("torchvision", "torchvision", "detectors and encoders written with it", "torchvision"),
    ("timm", "timm", "image encoders", "timm"),
    (
        "transformers",
        "transformers",
        "open language models, and most experts",
        "'groundplane[owlv2]', or the extra of another of them",
    ),
    ("safetensors", "safetensors", "weights of experts", "safetensors"),
    ("huggingface-hub", "huggingface_hub", "weights fetched from a hub", "huggingface-hub"),
    ("segment-anything", "segment_anything", "masks from boxes and points", "'groundplane[sam]'"),
    (
        "groundingdino-py",
        "groundingdino",
        "detection of any phrase",
        # Its own requirements would put another OpenCV over the one that is needed.
        (
            "--no-deps groundingdino-py, and pip install addict pycocotools timm torchvision "
            "transformers yapf"
        ),
    ),
    ("httpx", "httpx", "experts on a server", "'groundplane[remote]'"),
    ("pycocotools", "pycocotools", "scores as COCO counts them", "'groundplane[evaluate]'"),
    ("supervision", "supervision", "exchange and drawing of detections", "supervision"),
    ("ray", "ray", "batches on several machines", "'groundplane[ray]'"),
    ("mcp", "mcp", "serving groundplane as tools to an assistant", "'groundplane[serve]'"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing looked at: `fix` says what to do, and is empty where there is nothing to do."""

    name: str
    state: Literal["ok", "warning", "problem"]
    found: str
    fix: str = ""


def run(*, as_json: bool) -> int:
    """Print the checks to stdout; give exit code 1 if one is a problem, else 0."""
    checks = examine()
    problems = sum(check.state == "problem" for check in checks)
    if as_json:
        text = json.dumps({"problems": problems, "checks": [asdict(c) for c in checks]}, indent=2)
    else:
        rows: list[tuple[str, str, str]] = []
        for check in checks:
            rows.append((check.state, check.name, check.found))
            rows += [("", "", f"fix: {check.fix}")] if check.fix else []
        text = f"{table(rows)}\n\n{problems or 'no'} problem{'' if problems == 1 else 's'} found"
    sys.stdout.write(text + "\n")
    return 1 if problems else 0


def examine() -> list[Check]:
    """Look at everything. Libraries and plugins are imported in processes of their own."""
    work: list[Callable[[], Check]] = [_python, _groundplane, _torch, _opencv]
    work += [partial(_required, name) for name in ("numpy", "pillow", "shapely")]
    work += [partial(_optional, *row) for row in _OPTIONAL]
    work += [partial(_plugin, info) for info in host.available()]
    # A few at a time: each process may hold a copy of torch.
    with ThreadPoolExecutor(max_workers=4) as pool:
        return list(pool.map(lambda look: look(), work))


def _python() -> Check:
    found = f"{platform.python_version()} at {sys.executable}"
    if sys.version_info >= (3, 11):  # noqa: UP036 the very thing to tell
        return Check(name="python", state="ok", found=found)
    return Check(name="python", state="problem", found=found, fix="use Python 3.11 or later")


def _groundplane() -> Check:
    version = _version("groundplane")
    if version:
        return Check(name="groundplane", state="ok", found=version)
    return Check(
        name="groundplane",
        state="problem",
        found="imported from a folder, not installed: its own plugins are not registered",
        fix="pip install groundplane, or in a checkout: pip install -e .",
    )


def _torch() -> Check:
    facts = _facts("torch")
    if isinstance(facts, str):
        fix = _fix(facts, "pip install --force-reinstall torch")
        return Check(name="torch", state="problem", found=facts, fix=fix)
    devices = ", ".join(facts["devices"])
    on = f"CUDA on {devices}" if devices else "no CUDA device: runs on the CPU"
    return Check(name="torch", state="ok", found=f"{facts['version']}, {on}")


def _opencv() -> Check:
    look = partial(Check, name="opencv")
    there = [f"{name} {version}" for name in _OPENCV if (version := _version(name))]
    if len(there) > 1:
        found = f"installed over each other: {', '.join(there)}"
        return look(state="problem", found=found, fix=_REINSTALL_OPENCV)
    facts = _facts("cv2")
    if isinstance(facts, str):
        return look(state="problem", found=facts, fix=_REINSTALL_OPENCV)
    found = f"{facts['version']} from {there[0] if there else 'an unknown distribution'}"
    if facts["version"].partition(".")[0] != "4":
        return look(state="problem", found=f"{found}; expected 4", fix=_REINSTALL_OPENCV)
    if not facts["cascades"]:
        found += "; it has no CascadeClassifier, which the opencv detector needs"
        return look(state="problem", found=found, fix=_REINSTALL_OPENCV)
    return look(state="ok", found=found)


def _required(distribution: str) -> Check:
    facts = _facts({"pillow": "PIL"}.get(distribution, distribution))
    if isinstance(facts, str):
        fix = _fix(facts, f"pip install --force-reinstall {distribution}")
        return Check(name=distribution, state="problem", found=facts, fix=fix)
    return Check(name=distribution, state="ok", found=facts["version"])


def _optional(distribution: str, module: str, purpose: str, source: str) -> Check:
    look = partial(Check, name=distribution)
    if util.find_spec(module) is None:
        text = f"not installed; optional, for {purpose}: pip install {source}"
        return look(state="ok", found=text)
    facts = _facts(module)
    clash = _torch_clash() if module == "torchvision" else ""
    if isinstance(facts, str):
        fix = _fix(facts, f"pip install --force-reinstall {distribution}")
        found = f"installed but broken: {facts}" + (f" ({clash})" if clash else "")
        return look(state="problem", found=found, fix=fix)
    if clash:
        return look(state="warning", found=f"{facts['version']} {clash}", fix=_REINSTALL_VISION)
    return look(state="ok", found=facts["version"])


def _plugin(info: host.PluginInfo) -> Check:
    look = partial(Check, name=f"plugin {info.qualified} ({info.kind})")
    if info.status == "disabled":
        return look(state="ok", found=f"disabled: {info.reason}")
    reason = host.check(info)
    if reason is not None:
        fix = _fix(
            reason,
            f"mend or upgrade {info.distribution}, uninstall it, or hide the plugin: "
            f"{host.DISABLE}={info.qualified}",
        )
        return look(state="problem", found=f"broken: {reason}", fix=fix)
    if info.status == "duplicate":
        fix = f"uninstall one of them, or load it as {info.qualified}"
        return look(state="warning", found=info.reason, fix=fix)
    absent = [need.library for need in info.needs if not need.present]
    if absent:
        # A plugin asks for it when it is made; most of ours have an extra of their name.
        extra = info.distribution == "groundplane" and info.name in _extras()
        source = f"'groundplane[{info.name}]'" if extra else " ".join(map(pip_name, absent))
        alone = [how for _, module, _, how in _OPTIONAL if module in absent and "--no-deps" in how]
        source = alone[0] if alone else source
        found = f"loads, but cannot be used without {listing(absent)}: pip install {source}"
        return look(state="ok", found=found)
    return look(state="ok", found=f"loads, from {info.origin}")


def _extras() -> set[str]:
    """The extras of the installed groundplane."""
    try:
        return set(metadata.metadata("groundplane").get_all("Provides-Extra") or ())
    except metadata.PackageNotFoundError:
        return set()


def _fix(reason: str, otherwise: str) -> str:
    """What to do about a failed import; a wrong torchvision breaks whatever imports it."""
    mismatch = r"torchvision::\w+ does not exist|torchvision\S*: undefined symbol"
    if re.search(mismatch, reason) or "Couldn't load custom C++ ops" in reason:
        return _REINSTALL_VISION
    told = re.search(r"Try: (.+)", reason)
    return told[1] if told else otherwise


def _torch_clash() -> str:
    """How the torch that torchvision was built for differs from the one installed."""
    for line in metadata.requires("torchvision") or [] if _version("torchvision") else []:
        pinned = re.match(r"torch\s*\(?==\s*([\d.]+)", line)
        # What follows a plus names the build (`2.10.0+cpu`), which the pin does not.
        present = _version("torch").partition("+")[0]
        if pinned and present and pinned[1] != present:
            return f"built for torch {pinned[1]}, but torch {present} is installed"
    return ""


def _version(distribution: str) -> str:
    """Its version, or nothing if it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""


def _facts(module: str) -> dict[str, Any] | str:
    """What a library says of itself once it is imported, or why it cannot be."""
    try:
        facts: dict[str, Any] = host.call_apart("groundplane.apps.doctor:_import", module)
    except PluginBrokenError as error:
        return str(error)
    return facts


def _import(module: str) -> dict[str, Any]:
    """The child's part of `_facts`."""
    library = import_module(module)
    facts: dict[str, Any] = {"version": str(getattr(library, "__version__", "version unknown"))}
    if module == "torch":
        count = library.cuda.device_count() if library.cuda.is_available() else 0
        facts["devices"] = [library.cuda.get_device_name(i) for i in range(count)]
    if module == "cv2":
        facts["cascades"] = hasattr(library, "CascadeClassifier")
    if module == "torchvision":
        # Some versions import without their compiled operators and fail at the first use.
        torch = import_module("torch")
        library.ops.nms(torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.ones(1), 0.5)
    return facts
