"""Two encoders that are named on the command line, each with its own options."""

from __future__ import annotations

from collections.abc import Sequence

from groundplane.apps.given import expert_options
from groundplane.core.errors import InputError, did_you_mean, listing
from groundplane.core.features import Encoder
from groundplane.core.host import load

__all__ = ["load_pair", "split_options"]

_PLACES = ("first", "second")


def load_pair(
    names: Sequence[str], options: Sequence[str], *, device: str = "auto"
) -> tuple[Encoder, Encoder]:
    """Make two encoders.

    Args:
        names: Two names of plugins, which may be alike.
        options: See `split_options`.
        device: Where both run.

    Raises:
        InputError: If an option is malformed or unknown, or there are not two names.
        PluginNotFoundError, PluginBrokenError, WeightsError: If an encoder cannot be had.
    """
    own = split_options(names, options)
    first, second = (
        load("encoders", name, device=device, **given)
        for name, given in zip(names, own, strict=True)
    )
    return first, second


def split_options(names: Sequence[str], options: Sequence[str]) -> tuple[dict[str, str], ...]:
    """Each encoder's own options.

    Args:
        names: Of the two encoders.
        options: `NAME.key=value`, or `first.key=value` and `second.key=value`, which tell two
            encoders of one name apart.

    Raises:
        InputError: If there are not two names, or an option is not of this form, given twice, or
            for neither.

    Examples:
        >>> split_options(["clip", "dinov2"], ["clip.weights=a/b", "second.layer=-2"])
        ({'weights': 'a/b'}, {'layer': '-2'})
        >>> split_options(["clip", "clip"], [])
        ({}, {})
    """
    if len(names) != 2:
        raise InputError(f"expected two encoders, such as clip and dinov2, got {listing(names)}")
    own: tuple[dict[str, str], ...] = ({}, {})
    known = (*_PLACES, *(names if names[0] != names[1] else ()))
    for key, value in expert_options(options).items():
        owner, dot, option = key.partition(".")
        if not dot or owner not in known:
            raise InputError(
                f"--option {key!r}: say for which encoder it is, as in "
                f"{known[-1]}.{option or key}=VALUE; they are {listing(known)}."
                f"{did_you_mean(owner, known)}"
            )
        place = _PLACES.index(owner) if owner in _PLACES else list(names).index(owner)
        if option in own[place]:
            raise InputError(f"--option {key!r}: {option!r} of {names[place]!r} is given twice")
        own[place][option] = value
    return own
