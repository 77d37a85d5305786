"""Facts about a window that pooling over text would lose, and the signs of its lines. Pure functions of tensors.

Legend: B windows · L lines · V columns of evidence · S signs
"""

from __future__ import annotations

import torch
from torch import Tensor

from logwarden.model.head_shape import AGE_BITS, FULL_BITS, SIGN_COLUMNS, SIGNS


def signs_of(columns: Tensor) -> Tensor:
    """Returns the signs (…, S) of lines, from their evidence (…, V); zeros without evidence."""
    if not columns.shape[-1]:
        return columns.new_zeros(*columns.shape[:-1], SIGNS)
    return torch.stack([columns[..., places].amax(dim=-1) for places in SIGN_COLUMNS], dim=-1)


def summarise(
    scores: Tensor,
    surprise: Tensor,
    known: Tensor,
    distance: Tensor,
    log_count: Tensor,
    mask: Tensor,
    judged: Tensor,
) -> Tensor:
    """Returns (B, 14) facts about the window that pooling over text would lose."""
    batch = torch.arange(len(judged), device=judged.device)
    lines = mask.sum(dim=1).clamp_min(1)
    new = (surprise > 1.0) & mask
    never = (log_count == 0) & (known > 0) & mask  # apart from lines seen once, such as a weekly reload
    count = log_count[batch, judged]
    return torch.stack(
        [
            scores[batch, judged],
            surprise[batch, judged],
            known[batch, judged],
            distance[batch, judged],
            surprise.masked_fill(~mask, 0).amax(dim=1),
            surprise.masked_fill(~mask, 0).sum(dim=1) / lines,
            scores.sum(dim=1) / lines,
            scores.masked_fill(~mask, -1e4).amax(dim=1),
            new.sum(dim=1) / lines,
            never.sum(dim=1).clamp_max(8) / 8,
            never[batch, judged].float(),
            count / AGE_BITS,
            (count < 2).float(),  # seen at most twice
            torch.log2(lines.float()) / FULL_BITS,
        ],
        dim=-1,
    )


def sign_shares(signs: Tensor, surprise: Tensor, mask: Tensor, judged: Tensor) -> Tensor:
    """Returns (B, 3 S): signs of the judged line, their shares of the window, and of its surprising lines."""
    batch = torch.arange(len(judged), device=judged.device)
    signs = signs * mask[..., None]
    lines = mask.sum(dim=1, keepdim=True).clamp_min(1)
    new = ((surprise > 1.0) & mask)[..., None]
    return torch.cat([signs[batch, judged], signs.sum(dim=1) / lines, (signs * new).sum(dim=1) / lines], dim=-1)
