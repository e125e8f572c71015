"""Sightings of plain boxes, made without any of the code that lifts regions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from groundplane.spatial.boxes import Boxes3D
from groundplane.spatial.mapping.sightings import Sightings


@dataclass(frozen=True, kw_only=True)
class Crate:
    """A box on the ground: what stands for a thing."""

    label: str
    center: tuple[float, float, float]
    size: tuple[float, float, float]
    turn: float = 0.0
    score: float = 0.9

    @property
    def axes(self) -> np.ndarray:
        """Rows are the axes."""
        cos, sin = np.cos(self.turn), np.sin(self.turn)
        return np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1.0]])

    def seen_from(self, eye: Sequence[float], *, spacing: float = 0.02) -> np.ndarray:
        """Points on the faces that look towards a place; all where it is inside."""
        half = np.array(self.size) / 2
        local = self.axes @ (np.array(eye) - self.center)
        parts = []
        for axis in range(3):
            for sign in (-1.0, 1.0):
                if sign * local[axis] > half[axis]:
                    parts.append(self._face(axis, sign, spacing))
        return np.concatenate(parts) @ self.axes + self.center

    def _face(self, axis: int, sign: float, spacing: float) -> np.ndarray:
        half = np.array(self.size) / 2
        sides = [k for k in range(3) if k != axis]
        steps = [np.linspace(-half[k], half[k], int(self.size[k] / spacing) + 2) for k in sides]
        face = np.zeros((len(steps[0]), len(steps[1]), 3))
        face[..., sides[0]], face[..., sides[1]] = np.meshgrid(*steps, indexing="ij")
        face[..., axis] = sign * half[axis]
        return face.reshape(-1, 3)


def sighting(
    crates: Sequence[Crate],
    eye: Sequence[float] = (0.0, -3.0, 1.5),
    *,
    frame: int = 0,
    noise: float = 0.0,
    shift: Sequence[float] = (0.0, 0.0, 0.0),
    seed: int = 0,
    whole: bool = True,
    features: np.ndarray | None = None,
) -> Sightings:
    """What a camera sees of crates, each in whole, with noise and a bias of its pose."""
    draw = np.random.default_rng((seed, frame))
    clouds = [crate.seen_from(eye) for crate in crates]
    clouds = [cloud + draw.normal(0, noise, cloud.shape) + shift for cloud in clouds]
    return from_clouds(crates, clouds, frame=frame, whole=whole, features=features)


def from_clouds(
    crates: Sequence[Crate],
    clouds: Sequence[np.ndarray],
    *,
    frame: int = 0,
    whole: bool = True,
    features: np.ndarray | None = None,
) -> Sightings:
    """Sightings of given points; boxes along the world's axes, off by a centimetre."""
    n = len(crates)
    empty = np.zeros((0, 3))
    low = np.array([cloud.min(axis=0) for cloud in clouds]).reshape(n, 3)
    high = np.array([cloud.max(axis=0) for cloud in clouds]).reshape(n, 3)
    return Sightings(
        frame=frame,
        time=frame / 2,
        region_ids=tuple(f"{frame}:{k}" for k in range(n)),
        labels=tuple(crate.label for crate in crates),
        scores=torch.tensor([crate.score for crate in crates], dtype=torch.float32),
        points=torch.tensor(np.concatenate([empty, *clouds]), dtype=torch.float32),
        counts=torch.tensor([len(cloud) for cloud in clouds], dtype=torch.int64),
        pixels=torch.tensor([len(cloud) for cloud in clouds], dtype=torch.int64),
        boxes=Boxes3D(
            centers=torch.tensor((low + high) / 2, dtype=torch.float32),
            sizes=torch.tensor(high - low, dtype=torch.float32),
            axes=torch.eye(3).expand(n, 3, 3),
            covariance=(1e-4 * torch.eye(6)).expand(n, 6, 6),
        ),
        truncated=torch.full((n,), not whole),
        occluded=torch.zeros(n, dtype=torch.bool),
        features=None if features is None else torch.tensor(features, dtype=torch.float32),
    )
