"""The geometry experts of a map, one after another: what each fills in, and what is lacking."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from groundplane.core.camera import Frame
from groundplane.core.errors import GroundplaneError, InputError, listing
from groundplane.core.geometry import GeometryCapabilities, GeometryExpert, Known
from groundplane.core.host import available, load, option_names
from groundplane.mapping.guarding import GuardedExpert

__all__ = ["GeometryChain", "known_of", "split_options"]

_NEEDED: tuple[Known, ...] = ("depth", "intrinsics", "pose")
_ADVICE: Mapping[frozenset[Known], str] = {
    frozenset(): "",
    frozenset({"pose"}): "--geometry odometry finds poses of frames with depth",
    frozenset({"intrinsics"}): "--intrinsics fx,fy,cx,cy says what the lens is",
    frozenset({"depth"}): "--geometry depth-pro (or depth-anything, zoedepth) estimates depth",
    frozenset({"intrinsics", "pose"}): (
        "--intrinsics fx,fy,cx,cy says what the lens is, and --geometry odometry finds poses"
    ),
    frozenset({"depth", "intrinsics"}): "--geometry depth-pro estimates depth and intrinsics",
    frozenset({"depth", "pose"}): (
        "--geometry depth-pro,odometry estimates depth, then poses from it"
    ),
    frozenset({"depth", "intrinsics", "pose"}): (
        "--geometry depth-pro,odometry estimates depth and intrinsics, then poses from them "
        "(with --option depth-pro.weights=FOLDER)"
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GeometryChain:
    """Geometry experts in the order in which they are asked.

    Attributes:
        names: What each is called.
        experts: The experts.
    """

    names: tuple[str, ...] = ()
    experts: tuple[GeometryExpert, ...] = ()

    @classmethod
    def of(
        cls,
        given: str | GeometryExpert | Sequence[GeometryExpert] | None,
        *,
        options: Mapping[str, Mapping[str, object]],
        device: str,
        deadline: float,
    ) -> GeometryChain:
        """The experts that a user names, with commas between them, or gives.

        Args:
            given: Names, or experts.
            options: Options of each by name.
            device: Where they run.
            deadline: Seconds that each may take for a frame.

        Raises:
            InputError: If a name is empty, or an option is unknown or malformed.
            PluginNotFoundError, PluginBrokenError: If an expert cannot be had.
        """
        if given is None:
            return cls()
        if isinstance(given, str):
            names = names_of(given)
            made = [
                load("geometry", name, device=device, **options.get(name, {})) for name in names
            ]
            return cls._guarded(names, made, deadline)
        experts: list[Any] = list(given) if isinstance(given, Sequence) else [given]
        for expert in experts:
            if not isinstance(expert, GeometryExpert):
                raise InputError(
                    "geometry: expected names of plugins, or objects with `capabilities`, `begin` "
                    f"and `estimate`, got {type(expert).__name__}"
                )
        return cls._guarded([type(expert).__name__ for expert in experts], experts, deadline)

    @classmethod
    def _guarded(
        cls, names: Sequence[str], experts: Sequence[GeometryExpert], deadline: float
    ) -> GeometryChain:
        pairs = zip(names, experts, strict=True)
        guarded = [GuardedExpert(name, expert, seconds=deadline) for name, expert in pairs]
        return cls(names=tuple(names), experts=tuple(guarded))

    def alone(self, known: Iterable[Known]) -> GeometryChain:
        """For a single picture: where nobody tells its pose, the world begins at the camera."""
        told = set(known).union(*(expert.capabilities.gives for expert in self.experts))
        if "pose" in told:
            return self
        return GeometryChain(
            names=(*self.names, "one picture"), experts=(*self.experts, _OnePicture())
        )

    def check(self, known: Iterable[Known], *, source: str) -> None:
        """Before any work: with this known of the frames, the experts can fill in the rest.

        Raises:
            InputError: If one lacks what it needs, or something stays unknown; it says who could
                fill it in.
        """
        have: set[Known] = set(known)
        for name, expert in zip(self.names, self.experts, strict=True):
            able = expert.capabilities
            lacking = [part for part in _NEEDED if part in able.needs - have]
            # That a picture has a place of its own is no expert that somebody named.
            if lacking and not isinstance(expert, _OnePicture):
                raise InputError(
                    f"geometry {name!r} needs {listing(lacking)}, which nothing before it tells "
                    f"of {source}. Try: {_advice(lacking)}"
                )
            have |= able.gives
        if missing := [part for part in _NEEDED if part not in have]:
            alone = any(isinstance(expert, _OnePicture) for expert in self.experts)
            given = sorted(have - {"pose"} if alone else have)
            told = f"; it is known: {listing(given)}" if given else ""
            raise InputError(
                f"{source}: to map it, {listing(missing)} must be known of its frames{told}. "
                f"Try: {_advice(missing)}. Installed: {listing(_installed())}"
            )

    def split(self, known: Iterable[Known]) -> tuple[GeometryChain, GeometryChain]:
        """Who must see every frame, and who sees keyframes alone.

        Keyframes are chosen by where the camera is, so whoever tells that, and whoever carries
        over something from frame to frame, comes before; so do those before them.
        """
        early = 0
        for i, expert in enumerate(self.experts):
            able = expert.capabilities
            if able.sequential or ("pose" in able.gives and "pose" not in set(known)):
                early = i + 1
        return (
            GeometryChain(names=self.names[:early], experts=self.experts[:early]),
            GeometryChain(names=self.names[early:], experts=self.experts[early:]),
        )

    def begin(self) -> None:
        """A new capture begins."""
        for expert in self.experts:
            expert.begin()

    def estimate(self, frames: list[Frame]) -> list[Frame]:
        """Let each expert fill in what it gives.

        Raises:
            InputError: If a frame lacks what an expert needs.
            DetectorError: If an expert fails, is late, or gives other frames than it was given.
        """
        for expert in self.experts:
            frames = expert.estimate(frames)
        return frames


class _OnePicture:
    """The world of a single picture is that of its camera."""

    capabilities = GeometryCapabilities(
        gives=frozenset({"pose"}), needs=frozenset({"intrinsics"}), cost=0.0
    )

    def begin(self) -> None:
        """Nothing is carried over."""

    def estimate(self, frames: Sequence[Frame]) -> list[Frame]:
        """Put the camera where the world begins."""
        return [
            frame
            if frame.camera is None or frame.camera.T_world_cam is not None
            else replace(frame, camera=replace(frame.camera, T_world_cam=np.eye(4)))
            for frame in frames
        ]


def known_of(frame: Frame) -> frozenset[Known]:
    """What is known of a frame."""
    camera = frame.camera
    known: set[Known] = set()
    if frame.depth is not None:
        known.add("depth")
    if camera is not None:
        known.add("intrinsics")
        if camera.T_world_cam is not None:
            known.add("pose")
    return frozenset(known)


def names_of(given: str) -> tuple[str, ...]:
    """Names with commas between them.

    Raises:
        InputError: If one is empty or there twice.
    """
    names = tuple(name.strip() for name in given.split(","))
    if not all(names) or len(set(names)) < len(names):
        raise InputError(
            f"geometry {given!r}: expected a name, or several, each once, with commas between them"
        )
    return names


def split_options(
    options: Mapping[str, object],
    geometry: object,
    *,
    others: Mapping[str, str | None],
) -> tuple[dict[str, dict[str, object]], dict[str, object]]:
    """Part the options of geometry experts from those of all others.

    Args:
        options: `NAME.key`, or `key` alone where only one expert has it; `geometry.NAME.key` where
            a detector has the same name.
        geometry: The names of the geometry experts, if they are given by name.
        others: Names of the other experts by kind (`detectors`, `segmenters`), with commas
            between them; None for all that are installed.

    Returns:
        Options of each geometry expert by name, and all other options as they were.

    Raises:
        InputError: If an option may be meant for several experts.
    """
    names = names_of(geometry) if isinstance(geometry, str) else ()
    own: dict[str, dict[str, object]] = {name: {} for name in names}
    rest: dict[str, object] = {}
    for key, value in options.items():
        head, dot, tail = key.removeprefix("geometry.").partition(".")
        if dot and head in own and (key.startswith("geometry.") or not _named(head, others)):
            own[head][tail] = value
            continue
        owners = [] if dot else [name for name in names if key in option_names("geometry", name)]
        rivals = _owners(key, others) if owners else []
        if len(owners) + len(rivals) > 1:
            raise InputError(
                f"option {key!r} may be meant for {listing([*owners, *rivals])}; say for whom, "
                f"such as {owners[0]}.{key}"
            )
        if owners:
            own[owners[0]][key] = value
        else:
            rest[key] = value
    return own, rest


def _named(name: str, others: Mapping[str, str | None]) -> bool:
    return any(
        name in (part.strip() for part in given.split(",")) for given in others.values() if given
    )


def _owners(key: str, others: Mapping[str, str | None]) -> list[str]:
    """Which other experts that take part have an option of this name."""
    found = []
    for kind, given in others.items():
        names = [name.strip() for name in (given or "").split(",") if name.strip()]
        if given is None:
            names = [info.name for info in available(kind, read=False) if info.status != "disabled"]
        for name in names:
            try:
                known = option_names(kind, name)
            except GroundplaneError:
                continue  # one that cannot be imported takes no option; its turn tells why
            if key in known:
                found.append(name)
    return found


def _advice(missing: Iterable[Known]) -> str:
    return _ADVICE[frozenset(missing)]


def _installed() -> list[str]:
    return sorted(
        info.name for info in available("geometry", read=False) if info.status != "disabled"
    )
