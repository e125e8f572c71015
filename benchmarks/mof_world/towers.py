"""Two small towers of one shape, trained on the same pictures: one contrastive, one self-distilled.

The contrastive one is a CLIP: pictures against their captions. The self-distilled one sees no
caption: a student follows a teacher that is its own moving average, across two crops of a picture
(as DINO: Caron et al., 2021) and for cells that are hidden from it (as iBOT: Zhou et al., 2022).
Where those keep the teacher's outputs apart by centring and prototypes, here the student regresses
the teacher's features after they are whitened over the batch, which does it at this size.
"""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from mof_world.pictures import NAMED, SIDE, Pictures, captions
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import CLIPConfig, CLIPModel, Dinov2Config, Dinov2Model

__all__ = ["save_contrastive", "save_self_distilled", "save_untrained"]

WIDTH, DEPTH, HEADS, PATCH = 32, 4, 4, 14
MEAN, STD = 0.45, 0.27
# Special tokens of captions; words come after them.
_BEGIN, _END, _FILL = 0, 1, 2
_PROJECTED = 32
_RATE, _DECAY = 1e-3, 0.05
# Of the self-distilled tower: pictures a step, share of hidden cells in the half of the crops that
# has any, how slowly the teacher follows at first.
_BATCH, _HIDDEN, _MOMENTUM = 64, 0.4, 0.98


def save_contrastive(pictures: Pictures, folder: Path, *, steps: int, seed: int) -> float:
    """Train on pictures and captions, and save a checkpoint of transformers.

    The captions of a batch are all different ones, so that no picture is pushed off its own.

    Args:
        pictures: To train on.
        folder: Where the checkpoint goes.
        steps: Of the optimiser.
        seed: Of weights and batches.

    Returns:
        Share of the last batches' pictures that are matched with their caption.
    """
    torch.manual_seed(seed)
    draws = np.random.default_rng(seed)
    table = _vocabulary(pictures)
    model = CLIPModel(_clip_config(len(table) + 3)).train()
    groups = _alike(pictures)
    optimiser = torch.optim.AdamW(model.parameters(), lr=_RATE, weight_decay=_DECAY)
    right: list[float] = []
    for step in range(steps):
        chosen = np.array([draws.choice(group) for group in groups])
        chosen = chosen[draws.permutation(len(chosen))[: 2 * len(chosen) // 3]]
        texts = [[table[word] for word in one.split()] for one in captions(pictures, chosen, draws)]
        ids = _filled(texts)
        result = model(
            input_ids=ids,
            attention_mask=(ids != _FILL).long(),
            pixel_values=_normalised(_shares(pictures.pixels[chosen])),
            return_loss=True,
        )
        _step(optimiser, result.loss, step / steps, step)
        matched = result.logits_per_image.argmax(1) == torch.arange(len(chosen))
        right.append(float(matched.float().mean()))
    _save(model.eval(), folder)
    return float(np.mean(right[-20:]))


def save_self_distilled(pictures: Pictures, folder: Path, *, steps: int, seed: int) -> float:
    """Train on pictures alone, and save the teacher as a checkpoint of transformers.

    Args:
        pictures: To train on.
        folder: Where the checkpoint goes.
        steps: Of the optimiser.
        seed: Of weights, batches and crops.

    Returns:
        Mean loss of the last steps; 2 is what a student without a clue has.
    """
    torch.manual_seed(seed)
    student = Dinov2Model(_dino_config()).train()
    teacher = copy.deepcopy(student).requires_grad_(False)
    whole, part = _predictor(), _predictor()
    learning = nn.ModuleList([student, whole, part])
    optimiser = torch.optim.AdamW(learning.parameters(), lr=_RATE, weight_decay=_DECAY)
    draws = np.random.default_rng(seed)
    losses: list[float] = []
    for step in range(steps):
        chosen = draws.integers(len(pictures), size=_BATCH)
        shares = _shares(pictures.pixels[chosen])
        views = torch.cat([_view(shares), _view(shares)])
        hidden = torch.rand(2 * _BATCH, (SIDE // PATCH) ** 2) < _HIDDEN
        hidden &= torch.rand(2 * _BATCH, 1) < 0.5
        with torch.no_grad():
            told = teacher(views).last_hidden_state
            target = _whitened(told[:, 0]).roll(_BATCH, 0)  # of the other crop
            cells = _whitened(told[:, 1:].flatten(0, 1)).view_as(told[:, 1:])
        seen = student(views, bool_masked_pos=hidden).last_hidden_state
        loss = nn.functional.mse_loss(whole(seen[:, 0]), target)
        loss = loss + nn.functional.mse_loss(part(seen[:, 1:][hidden]), cells[hidden])
        _step(optimiser, loss, step / steps, step)
        _follow(teacher, student, 1 - (1 - _MOMENTUM) * _fall(step / steps))
        losses.append(loss.item())
    _save(teacher.eval(), folder)
    return float(np.mean(losses[-20:]))


def save_untrained(folder: Path, *, seed: int) -> None:
    """Save a tower as it begins, for comparison."""
    torch.manual_seed(seed)
    _save(Dinov2Model(_dino_config()).eval(), folder)


def _clip_config(words: int) -> CLIPConfig:
    vision = {"num_hidden_layers": DEPTH, "image_size": SIDE, "patch_size": PATCH}
    text = {"num_hidden_layers": 2, "vocab_size": words, "max_position_embeddings": 16}
    shape = {"hidden_size": WIDTH, "num_attention_heads": HEADS, "projection_dim": _PROJECTED}
    special = {"bos_token_id": _BEGIN, "eos_token_id": _END, "pad_token_id": _FILL}
    return CLIPConfig(
        vision_config={**vision, **shape, "intermediate_size": 4 * WIDTH},
        text_config={**text, **shape, **special, "intermediate_size": 2 * WIDTH},
        projection_dim=_PROJECTED,
    )


def _dino_config() -> Dinov2Config:
    return Dinov2Config(
        hidden_size=WIDTH,
        num_hidden_layers=DEPTH,
        num_attention_heads=HEADS,
        image_size=SIDE,
        patch_size=PATCH,
        use_mask_token=True,
    )


def _predictor() -> nn.Module:
    return nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH))


def _vocabulary(pictures: Pictures) -> dict[str, int]:
    said = captions(pictures, np.arange(len(pictures)), np.random.default_rng(0))
    words = sorted({word for caption in said for word in caption.split()})
    return {word: index + 3 for index, word in enumerate(words)}


def _alike(pictures: Pictures) -> list[NDArray[np.int64]]:
    """Groups of pictures whose captions say the same."""
    codes = np.stack([pictures.truth[name] for name in NAMED], axis=1)
    _, which = np.unique(codes, axis=0, return_inverse=True)
    return [np.flatnonzero(which == group) for group in range(which.max() + 1)]


def _filled(texts: list[list[int]]) -> Tensor:
    longest = max(map(len, texts)) + 2
    rows = [[_BEGIN, *text, _END] + [_FILL] * (longest - 2 - len(text)) for text in texts]
    return torch.tensor(rows)


def _shares(pixels: NDArray[np.uint8]) -> Float[Tensor, "b 3 s s"]:
    """Pixels in shares of full brightness."""
    grey: UInt8[Tensor, "b s s 3"] = torch.from_numpy(pixels)
    return grey.permute(0, 3, 1, 2).float() / 255


def _normalised(shares: Float[Tensor, "b 3 s s"]) -> Float[Tensor, "b 3 s s"]:
    return (shares - MEAN) / STD


def _view(shares: Float[Tensor, "b 3 s s"]) -> Float[Tensor, "b 3 s s"]:
    """A crop of each picture in other colours; never mirrored, for ways are to be told apart."""
    count = len(shares)
    extent = torch.empty(count).uniform_(0.75, 1).sqrt()
    frame = torch.zeros(count, 2, 3)
    frame[:, 0, 0] = frame[:, 1, 1] = extent
    frame[:, :, 2] = (2 * torch.rand(count, 2) - 1) * (1 - extent)[:, None]
    grid = nn.functional.affine_grid(frame, list(shares.shape), align_corners=False)
    crop = nn.functional.grid_sample(shares, grid, padding_mode="border", align_corners=False)
    order = torch.stack([torch.randperm(3) for _ in range(count)])
    crop = crop.gather(1, order.view(count, 3, 1, 1).expand_as(crop))
    crop = torch.where(torch.rand(count, 1, 1, 1) < 0.3, 1 - crop, crop)
    contrast = torch.empty(count, 1, 1, 1).uniform_(0.5, 1.5)
    tint = torch.empty(count, 3, 1, 1).uniform_(0.5, 1.5)
    crop = ((crop - MEAN) * contrast + MEAN) * tint
    grey = torch.rand(count, 1, 1, 1) < 0.3
    crop = torch.where(grey, crop.mean(1, keepdim=True), crop)
    return _normalised(crop.clamp(0, 1))


def _whitened(rows: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    """Rows of mean 0 whose numbers do not go together: one answer for all is the worst one."""
    centred = (rows - rows.mean(0)).double()
    values, axes = torch.linalg.eigh(centred.mT @ centred / len(rows))
    scale = (values.clamp(min=0) + 1e-3 * values.mean()).rsqrt()
    white: Tensor = centred @ (axes * scale) @ axes.mT
    return white.float()


def _fall(share: float) -> float:
    """From 1 to 0 along a cosine."""
    return 0.5 + 0.5 * math.cos(math.pi * share)


def _step(optimiser: torch.optim.Optimizer, loss: Tensor, share: float, step: int) -> None:
    """A step of the optimiser; the rate rises for 50 steps, then falls to 0."""
    weights = [weight for group in optimiser.param_groups for weight in group["params"]]
    for group in optimiser.param_groups:
        group["lr"] = _RATE * min(1.0, (step + 1) / 50) * _fall(share)
    optimiser.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(weights, 1.0)
    optimiser.step()


@torch.no_grad()
def _follow(teacher: nn.Module, student: nn.Module, momentum: float) -> None:
    for old, new in zip(teacher.parameters(), student.parameters(), strict=True):
        old.lerp_(new, 1 - momentum)


def _save(model: nn.Module, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(str(folder))
    told = {"image_mean": [MEAN] * 3, "image_std": [STD] * 3, "resample": 3}
    told |= {"size": {"shortest_edge": SIDE}, "crop_size": {"height": SIDE, "width": SIDE}}
    (folder / "preprocessor_config.json").write_text(json.dumps(told))
