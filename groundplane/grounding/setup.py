"""The router that a user asks for by names and options, as on a command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from groundplane.core.detection import Detector
from groundplane.core.errors import GroundplaneError, InputError, did_you_mean, listing
from groundplane.core.host import available, option_names
from groundplane.grounding.experts import Expert
from groundplane.grounding.installed import installed
from groundplane.grounding.router import Router, Terms

__all__ = ["make_router"]

_TERMS = Terms()
_NONE: Mapping[str, object] = MappingProxyType({})


def make_router(
    detector: str | Detector | None = None,
    *,
    segmenter: str | None = None,
    options: Mapping[str, object] = _NONE,
    device: str = "auto",
    terms: Terms = _TERMS,
) -> Router:
    """Make the router over the experts that a user names.

    Args:
        detector: A plugin's name, several with commas between them, or a detector that is made
            already; None for all that are installed.
        segmenter: Likewise, for masks; None for all that are installed if masks are wanted, else
            for none.
        options: Options of the experts: `owlv2.weights`, or `weights` alone where it is clear
            whose option that is.
        device: Where the experts run.
        terms: See `Terms`.

    Raises:
        InputError: If an option is unknown, malformed or may be meant for several experts.
        PluginNotFoundError, PluginBrokenError: If a named expert cannot be had.

    Examples:
        >>> make_router("opencv", options={"min_score": "0.6"}, device="cpu").vocabulary
        ('face', 'eye')
        >>> make_router("opencv,coco-file", options={"scale": 1.2}, device="cpu")
        Traceback (most recent call last):
        ...
        groundplane.core.errors.InputError: detector 'coco-file' needs the option 'annotations', \
which was not given. Try: --option annotations=VALUE
    """
    if detector is not None and not isinstance(detector, str):
        return _of(detector, segmenter, options, device=device, terms=terms)
    names = _names(detector, "detector")
    cutters = _names(segmenter, "segmenter") if segmenter or terms.masks else ()
    taking = [
        (kind, name)
        for kind, given in (("detectors", names), ("segmenters", cutters))
        for name in _taking(kind, given)
    ]
    return Router.from_installed(
        names,
        segmenters=cutters,
        options=_sorted_out(options, taking),
        device=device,
        terms=terms,
    )


def _of(
    detector: Detector,
    segmenter: str | None,
    options: Mapping[str, object],
    *,
    device: str,
    terms: Terms,
) -> Router:
    if not callable(getattr(detector, "detect", None)):
        raise InputError(
            f"detector: expected the name of a plugin or an object with `vocabulary` and "
            f"`detect`, got {type(detector).__name__}"
        )
    cutters = _names(segmenter, "segmenter") if segmenter or terms.masks else ()
    if options and cutters == ():
        raise InputError(
            f"the detector {type(detector).__name__} is made already; leave out the option"
            f"{'' if len(options) == 1 else 's'} {listing(map(repr, options))}"
        )
    taking = [("segmenters", name) for name in _taking("segmenters", cutters)]
    made = installed("segmenters", cutters, options=_sorted_out(options, taking), device=device)
    return Router([Expert.of(detector)], segmenters=made, terms=terms)


def _names(given: str | None, kind: str) -> tuple[str, ...] | None:
    if given is None:
        return None
    names = [name.strip() for name in given.split(",")]
    if not all(names):
        raise InputError(f"{kind} {given!r}: expected a name, or several with commas between them")
    return tuple(dict.fromkeys(names))


def _taking(kind: str, names: tuple[str, ...] | None) -> tuple[str, ...]:
    if names is not None:
        return names
    return tuple(info.name for info in available(kind, read=False) if info.status != "disabled")


def _sorted_out(
    options: Mapping[str, object], taking: Sequence[tuple[str, str]]
) -> dict[str, dict[str, object]]:
    """Each expert's own options, by its name."""
    names = list(dict.fromkeys(name for _, name in taking))
    own: dict[str, dict[str, object]] = {}
    for key, value in options.items():
        head, dot, rest = key.partition(".")
        if dot and head not in names:
            raise InputError(
                f"option {key!r}: {head!r} does not take part; those that do: {listing(names)}."
                f"{did_you_mean(head, names)}"
            )
        owner, option = (head, rest) if dot else (_owner(key, names, taking), key)
        if option in own.setdefault(owner, {}):
            raise InputError(f"option {option!r} of {owner!r} is given twice")
        own[owner][option] = value
    return own


def _owner(key: str, names: Sequence[str], taking: Sequence[tuple[str, str]]) -> str:
    """Whose option a name without an expert is."""
    if len(names) == 1:
        return names[0]
    known: dict[str, list[str]] = {}
    for kind, name in taking:
        try:
            own = option_names(kind, name)
        except GroundplaneError:
            continue  # one that cannot be imported takes no option; its turn tells why
        for option in own:
            known.setdefault(option, []).append(name)
    owners = list(dict.fromkeys(known.get(key, ())))
    if not owners:
        raise InputError(
            f"there is no option {key!r} of any of {listing(names)}.{did_you_mean(key, known)}"
        )
    if len(owners) > 1:
        raise InputError(
            f"option {key!r} may be meant for {listing(owners)}; say for whom, such as "
            f"{owners[0]}.{key}"
        )
    return owners[0]
