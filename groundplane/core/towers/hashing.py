"""What a module's numbers are, as one hash: to prove that a frozen one was not trained."""

from __future__ import annotations

import hashlib

import torch
from torch import nn

__all__ = ["frozen_hash"]


def frozen_hash(module: nn.Module) -> str:
    """SHA-256 over names, number types, shapes and bytes of parameters and buffers.

    Copies each tensor to the host, one at a time.

    Examples:
        >>> layer = nn.Linear(1, 1)
        >>> before = frozen_hash(layer)
        >>> frozen_hash(layer) == before
        True
        >>> _ = torch.nn.init.zeros_(layer.weight)
        >>> frozen_hash(layer) == before
        False
        >>> len(frozen_hash(nn.Identity()))
        64
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        whole = tensor.detach().contiguous().cpu().flatten()
        digest.update(whole.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
