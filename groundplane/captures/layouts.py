"""The layouts that captures come in, by name; importing this loads nothing else."""

from __future__ import annotations

from typing import Literal, get_args

__all__ = ["LAYOUTS", "Layout"]

Layout = Literal["rgbd", "tum", "scannet", "arkitscenes", "colmap", "nerfstudio", "frames", "video"]
LAYOUTS: tuple[Layout, ...] = get_args(Layout)
