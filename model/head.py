"""The head: embeddings and familiarity of a window's lines → logits of its judged line, normal and anomaly.

Decisions, each measured against what it replaced (training/LOG.md):
- Every line has a score r = (½ + σ(b(e))) · surprise · (1 + w · distance) + a(e). Text decides how much a surprise
  matters, and r never falls when surprise rises. With a, b and the mixture at their initial values the logit is the
  newest line's surprise: training starts at the best label-free baseline and must beat it.
- The query of the attention pooling is the judged line. Keys and values depend on text alone, so they are computed once
  per distinct line and kept in the line table. Familiarity enters as a bias on the attention and through r.
- The distance into the past is bucketed logarithmically: a head trained on windows of 32 lines serves 2 … 512.
- The share of text is bounded beside a history. Unbounded it fitted the systems trained on, and on other systems it
  ranked worse than no training at all.
- Without a history (age 0) the input `known` is 0 and familiarity has no weight: the window is judged by its text.

Legend: B windows · L lines · D width · E width of the line encoder · H attention heads · K classes
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from logwarden.model.head_shape import (
    BUCKETS,
    DIRECTIONS,
    DISTANCE,
    EVIDENCE_SCALE,
    LOG_AGE,
    LOG_COUNT,
    MAX_TEXT_SCORE,
    NEWER,
    SHARPNESS,
    SIGNS,
    SUMMARY,
    SURPRISE_UNIT_BITS,
    TOP,
    HeadShape,
    mixture_limit,
)
from logwarden.model.moe import Routing, TopPMixture
from logwarden.model.summary import sign_shares, signs_of, summarise


class LineRows(NamedTuple):
    """Projections of a line's text, computed once per distinct line and kept in the line table."""

    query: Tensor  # (…, D)
    key: Tensor  # (…, D)
    value: Tensor  # (…, D)
    gates: Tensor  # (…, 2) a(e) and b(e)
    signs: Tensor  # (…, S) what of the evidence is summed over a window; zeros without evidence


class WindowHead(nn.Module):
    """The head as it serves. The line encoder is not part of it, because it runs once per distinct line."""

    config: Any
    """A `HeadShape`, or a `LogWindowConfig` with the same names."""

    def __init__(self, config: HeadShape) -> None:
        super().__init__()
        self._build(config)

    def _build(self, config: Any) -> None:
        """Makes the layers, whose weights are random until a state is loaded."""
        self.config = config
        width = config.hidden_size
        inputs = config.encoder_width + config.evidence_width
        self.projection = nn.Linear(inputs, 3 * width)
        # Beside evidence, an embedding of words never trained on must not outweigh what the line states plainly.
        self.embedding_dropout = 0.4 if config.evidence_width else config.dropout
        self.text_gates = nn.Sequential(nn.Identity(), nn.Linear(inputs, 64), nn.GELU(), nn.Linear(64, 2))
        # Of weights next to 0: untrained, evidence has next to no effect.
        width_of_evidence = (2, config.evidence_width)
        self.evidence_gates = nn.Parameter(torch.full(width_of_evidence, -0.1)) if config.evidence_width else None
        self.max_mixture_logit = mixture_limit(config.evidence_width)
        self.learned_query = nn.Parameter(torch.zeros(width))
        self.position_bias = nn.Parameter(torch.zeros(config.attention_heads, BUCKETS))
        self.surprise_bias = nn.Parameter(torch.full((config.attention_heads,), 0.5))
        self.distance_weight = nn.Parameter(torch.tensor(-1.0))
        # logit = softplus · r of the judged line, of the greatest, of the mean of the four greatest; then the offset
        self.base = nn.Parameter(torch.tensor([1.0, -3.0, -3.0]))
        self.base_offset = nn.Parameter(torch.tensor(-3.0))
        self.summary = nn.Linear(SUMMARY + (3 * SIGNS if config.evidence_width else 0), 32)
        self.norm = nn.LayerNorm(2 * width + 32)
        self.dropout = nn.Dropout(config.dropout)
        self.mixture = TopPMixture(
            2 * width + 32, config.expert_hidden_size, 2, experts=config.experts, top_p=config.gate_top_p
        )

    def project(self, vectors: Tensor) -> LineRows:
        """Returns the rows of the line table for (…, E + V) vectors of lines: embeddings of length 1, then evidence."""
        query, key, value = self.projection(vectors).chunk(3, dim=-1)
        embeddings, signs = torch.split(vectors, [self.config.encoder_width, self.config.evidence_width], dim=-1)
        embeddings = F.dropout(embeddings, self.embedding_dropout, self.training)
        gates = self.text_gates(torch.cat([embeddings, signs], dim=-1))
        if self.evidence_gates is not None:
            # Weights of one sign each: whatever the layers above make of it, here a failure only raises the score.
            weights = EVIDENCE_SCALE * F.softplus(self.evidence_gates, beta=SHARPNESS)
            gates = gates + F.linear(signs * signs.new_tensor(DIRECTIONS), weights)
        return LineRows(query, key, value, gates, signs_of(signs))

    def score_vectors(
        self, vectors: Tensor, familiarity: Tensor, attention_mask: Tensor, judged: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Routing]:
        """Returns logits (B, K), line weights (B, L) and routing for windows of line vectors.

        `vectors` (B, L, E + V), see `project`; `familiarity` (B, L, 3) float32 (see `FAMILIARITY_WIDTH`);
        `attention_mask` (B, L), 1 where there is a line, oldest first, padded on the left; `judged` (B,) the place of
        the judged line, default the last.
        """
        rows = self.project(vectors)
        place = judged if judged is not None else torch.full((len(vectors),), vectors.shape[1] - 1).to(rows.key.device)
        query = rows.query[torch.arange(len(place), device=place.device), place]  # B, D
        return self.score(query, rows.key, rows.value, rows.gates, rows.signs, familiarity, attention_mask, place)

    def score(
        self,
        query: Tensor,  # B, D
        key: Tensor,  # B, L, D
        value: Tensor,  # B, L, D
        gates: Tensor,  # B, L, 2
        signs: Tensor,  # B, L, S
        familiarity: Tensor,  # B, L, 3
        mask: Tensor,  # B, L
        judged: Tensor,  # B
    ) -> tuple[Tensor, Tensor, Routing]:
        """Returns logits (B, K), line weights (B, L) and routing for rows of the line table."""
        mask = mask.bool()
        batch = torch.arange(len(judged), device=judged.device)
        surprise, known, distance = _unpack(familiarity, self.config.learning_lines)  # B, L each
        scores = (0.5 + gates[..., 1].sigmoid()) * surprise * (1 + F.softplus(self.distance_weight) * distance)
        scores = (scores + _text_score(gates[..., 0], known)).masked_fill(~mask, 0.0)  # B, L: r
        attention = self._attend(query, key, surprise, mask, judged)  # B, H, L
        heads = _split_heads(value, self.config.attention_heads)  # B, L, H, D/H
        pooled = torch.einsum("bhl,blhd->bhd", attention, heads).flatten(1)  # B, D
        base, shares = self._base(scores, mask, judged)
        summary = summarise(scores, surprise, known, distance, familiarity[..., LOG_COUNT], mask, judged)
        if self.config.evidence_width:
            summary = torch.cat([summary, sign_shares(signs, surprise, mask, judged)], dim=-1)
        context = self.norm(torch.cat([pooled, value[batch, judged], self.summary(summary)], dim=-1))
        mixed, routing = self.mixture(self.dropout(context))  # B, K
        mixed = self.max_mixture_logit * (mixed / self.max_mixture_logit).tanh()
        logits = mixed + torch.stack([-base / 2, base / 2], dim=-1)
        weights = _line_weights(shares, attention.mean(dim=1), mixed[:, 1] - mixed[:, 0])
        return logits, weights, routing

    def _attend(self, query: Tensor, key: Tensor, surprise: Tensor, mask: Tensor, judged: Tensor) -> Tensor:
        heads = self.config.attention_heads
        q = _split_heads(query + self.learned_query, heads)  # B, H, D/H
        k = _split_heads(key, heads)  # B, L, H, D/H
        past = (judged[:, None] - torch.arange(key.shape[1], device=key.device)).abs()  # B, L lines back
        bucket = (2 * torch.log2(past + 1.0)).long().clamp_max(BUCKETS - 1)  # 0, 2, 3, 4, 4, 5, 5, 6, …
        logits = torch.einsum("bhd,blhd->bhl", q, k) / math.sqrt(q.shape[-1])
        logits = logits + self.position_bias[:, bucket].transpose(0, 1)
        logits = logits + self.surprise_bias[:, None] * surprise[:, None]
        return logits.masked_fill(~mask[:, None], -1e9).softmax(dim=-1)

    def _base(self, scores: Tensor, mask: Tensor, judged: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the monotone part of the logit (B,), and each line's share of it (B, L)."""
        batch = torch.arange(len(judged), device=judged.device)
        weight = F.softplus(self.base)
        # Of equal lines the newest counts. Without the slope each device and each size of batch would choose its own.
        ranked = scores * (1 + NEWER * torch.arange(scores.shape[1], device=scores.device))
        at = ranked.masked_fill(~mask, -1e4).topk(min(TOP, scores.shape[1]), dim=-1).indices  # B, 4
        top = scores.gather(1, at).clamp_min(
            0.0
        )  # padding adds nothing, nor does a line whose text is a sign of health
        newest = scores[batch, judged]
        base = weight[0] * newest + weight[1] * top[:, 0] + weight[2] * top.sum(dim=-1) / TOP + self.base_offset
        shares = torch.zeros_like(scores)
        shares[batch, judged] = weight[0] * newest
        shares = shares.scatter_add(1, at[:, :1], weight[1] * top[:, :1])
        return base, shares.scatter_add(1, at, weight[2] * top / TOP)


def _text_score(a: Tensor, known: Tensor) -> Tensor:
    """(B, L) part of a line's score that its text alone brings: unbounded without a history, bounded beside one."""
    return a * (1 - known) + MAX_TEXT_SCORE * a.tanh() * known


def _split_heads(x: Tensor, heads: int) -> Tensor:
    """(…, D) → (…, H, D/H)"""
    return x.view(*x.shape[:-1], heads, -1)


def _unpack(familiarity: Tensor, learning_lines: int) -> tuple[Tensor, Tensor, Tensor]:
    """Returns surprise in units of 4 bits, trust in the history (0…1) and distance, each (B, L)."""
    log_count, log_age = familiarity[..., LOG_COUNT], familiarity[..., LOG_AGE]
    # From a sixteenth of the learning phase to its end, trust grows from 0 to 1.
    full = math.log2(1 + learning_lines)
    known = ((log_age - (full - 4)) / 4).clamp(0.0, 1.0)
    surprise = (log_age - log_count).clamp_min(0.0) / SURPRISE_UNIT_BITS * known
    return surprise, known, familiarity[..., DISTANCE] * known


def _line_weights(shares: Tensor, attention: Tensor, mixed: Tensor) -> Tensor:
    """Returns each line's share of the score (B, L), summing to 1, or to 0 if no line raises the score.

    The base is a sum over lines and splits exactly. The mixture is not; attention splits its part.
    """
    carried = shares.clamp_min(0.0) + attention * mixed.clamp_min(0.0)[:, None]
    total = carried.sum(dim=-1, keepdim=True)
    # The least normal number, so that however faint the score is, its shares still sum to 1.
    return torch.where(total > 0, carried / total.clamp_min(torch.finfo(total.dtype).tiny), torch.zeros_like(carried))
