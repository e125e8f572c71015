"""How often a step makes the host wait for a device; the meta device stands in for a card."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["HostWaits"]


class HostWaits(TorchDispatchMode):
    """Counts copies to the host, and what makes the host wait for a number of the device."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        on_device = any(isinstance(a, Tensor) and a.device.type != "cpu" for a in args)
        if on_device and name == "_to_copy" and str(kwargs.get("device")) == "cpu":
            self.count += 1
            if args[0].is_meta:  # holds no data that could be copied
                return torch.zeros(args[0].shape, dtype=args[0].dtype)
        self.count += on_device and name in ("_local_scalar_dense", "nonzero", "masked_select")
        return func(*args, **kwargs)
