"""The installed plugins as experts, of which none is made before it is needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal, NoReturn

from groundplane.core.capabilities import Capabilities
from groundplane.core.errors import GroundplaneError, PluginBrokenError
from groundplane.core.host import available, choose_device, prepare
from groundplane.grounding.experts import Expert

__all__ = ["installed"]


def installed(
    kind: Literal["detectors", "segmenters"],
    names: Sequence[str] | None = None,
    *,
    options: Mapping[str, Mapping[str, object]],
    device: str,
) -> list[Expert]:
    """Experts of installed plugins.

    Args:
        kind: The plugins' kind.
        names: Which; None for all that are not disabled. A single one is made at once.
        options: Plugin name to its options; other names than these are passed over.
        device: Where the experts run.

    Returns:
        One a name, in order. Of those that nobody named, one that cannot be imported or that
        lacks an option is among them: it fails when it is to be made, and says why.

    Raises:
        PluginNotFoundError: If a named plugin is not installed.
        InputError: If the device is unknown, or the options of a plugin that is named or that
            has options are malformed.
        PluginBrokenError: If a named plugin cannot be imported, or the single one be made.

    Examples:
        >>> [expert.name for expert in installed("detectors", ["opencv"], options={}, device="cpu")]
        ['opencv']
        >>> installed("detectors", [], options={}, device="cpu")
        []
    """
    place = choose_device(device)
    if names is None:
        found = [info.name for info in available(kind, read=False) if info.status != "disabled"]
        return [
            _expert(kind, name, options.get(name, {}), device=place, must=name in options)
            for name in dict.fromkeys(found)
        ]
    experts = [
        _expert(kind, name, options.get(name, {}), device=place, must=True) for name in names
    ]
    if len(experts) == 1:
        experts[0].load()
    return experts


def _expert(
    kind: Literal["detectors", "segmenters"],
    name: str,
    options: Mapping[str, object],
    *,
    device: str,
    must: bool,
) -> Expert:
    singular: Literal["detector", "segmenter"] = "detector" if kind == "detectors" else "segmenter"
    try:
        prepared = prepare(kind, name, options)
    except GroundplaneError as error:
        if must:
            raise
        # Where nobody named the expert, an option has to say whose it is.
        text = str(error).replace("Try: --option ", f"Try: --option {name}.")
        return Expert(name, _failing(PluginBrokenError(text)), kind=singular)
    stated = getattr(prepared.plugin, "capabilities", None)
    return Expert(
        name,
        partial(prepared.make, device=device),
        capabilities=stated if isinstance(stated, Capabilities) else None,
        kind=singular,
    )


def _failing(error: GroundplaneError) -> Callable[[], Any]:
    def make() -> NoReturn:
        raise error

    return make
