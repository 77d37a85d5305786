"""Judges a whole session, such as a block, a job or a test run, by the kinds of its lines and by how often each occurs.

That a line is missing, or that it came once too often, shows in no line but in the session alone. So this judge is for
sessions that have ended. It is learned from labels, by `logwarden train --sessions`. Each kind of line is a vector of
its text and its count. Attention and a sum join them, and a mixture of experts decides. The order of the lines has no
effect. Several members are trained from different starts, and their answers are averaged.

Legend: n pairs of a session and a kind · k kinds · s sessions · V width of a line's vector · H hidden width
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from logwarden.model.arrays import Doubles, Ids, Ints
from logwarden.model.encoder import LineEncoder
from logwarden.model.evidence import WIDTH, line_vectors
from logwarden.model.moe import Routing, TopPMixture

MEMBERS = 3
HIDDEN = 64
_HEADS = 4
_STEPS = 8
"""Greatest count that is an input of its own; greater ones differ by their logarithm alone."""
_SCALE = 8.0
_MOST_ATTENTION = 20.0


class SessionPairs(NamedTuple):
    """Kinds of lines of s sessions, each pair of a session and a kind once."""

    session: Ints
    """(n,) ascending."""
    kind: Ints
    """(n,) a row of the vectors."""
    lines: Ints
    """(n,) lines of the kind in the session."""
    sessions: int


def vectors_of(encoder: LineEncoder, texts: Sequence[str]) -> Tensor:
    """Returns vectors (k, V) of k canonical texts: embeddings, and what they state of levels, codes and failures."""
    return torch.from_numpy(line_vectors(encoder.encode(texts).float().cpu().numpy(), texts, WIDTH))


def pairs_of(session: Ints | Ids, kind: Ints | Ids, sessions: int) -> SessionPairs:
    """Counts the kinds of lines of each session. `session`, `kind`: of each line, numbers from 0 on."""
    # session [0, 0, 1, 0], kind [5, 5, 5, 7]   ->   pairs (0, 5) twice, (0, 7) once, (1, 5) once
    both = np.stack([session.astype(np.int64), kind.astype(np.int64)])
    (owners, kinds), counts = np.unique(both, axis=1, return_counts=True)
    return SessionPairs(owners, kinds, counts.astype(np.int64), sessions)


class SessionMember(nn.Module):
    """One network of the judge."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.line = nn.Linear(width + _STEPS + 1, HIDDEN)
        self.attention = nn.Linear(HIDDEN, _HEADS)
        self.norm = nn.LayerNorm(2 * HIDDEN + 1)
        self.mixture = TopPMixture(2 * HIDDEN + 1, HIDDEN, 2)

    def forward(self, vectors: Tensor, pairs: SessionPairs) -> tuple[Tensor, Routing]:
        """Returns logits (s, 2), normal and anomaly, for vectors of kinds (k, V)."""
        session, count = torch.from_numpy(pairs.session), torch.from_numpy(pairs.lines).float()
        exact = (count[:, None] >= torch.arange(1, _STEPS + 1)).float()  # n, steps
        # The head of a line is its text; behind it its count, by steps and as a logarithm.
        words = torch.cat([vectors[torch.from_numpy(pairs.kind)], exact, torch.log2(1 + count)[:, None] / 4], dim=1)
        lines = F.gelu(self.line(words))  # n, H
        # Attention within each session: every head shares out 1 among the kinds of the session.
        strength = self.attention(lines).clamp(-_MOST_ATTENTION, _MOST_ATTENTION).exp()  # n, heads
        whole = strength.new_zeros(pairs.sessions, _HEADS).index_add(0, session, strength)
        share = (strength / whole[session])[:, :, None]
        parts = (share * lines.view(len(lines), _HEADS, HIDDEN // _HEADS)).flatten(1)
        attended, summed = (lines.new_zeros(pairs.sessions, HIDDEN).index_add(0, session, x) for x in (parts, lines))
        length = torch.log2(1 + count.new_zeros(pairs.sessions).index_add(0, session, count))[:, None]
        logits, routing = self.mixture(self.norm(torch.cat([attended, summed / _SCALE, length / _SCALE], dim=1)))
        return logits, routing


class SessionJudge(nn.Module):
    """The members together."""

    def __init__(self, width: int, members: int = MEMBERS) -> None:
        super().__init__()
        self.width = width
        self.members = nn.ModuleList(SessionMember(width) for _ in range(members))

    @classmethod
    def of_shape(cls, inputs: int, members: int) -> SessionJudge:
        """Returns an untrained judge. `inputs`: those of a line in each member, its count among them."""
        return cls(inputs - _STEPS - 1, members)

    @torch.inference_mode()
    def log_odds(self, vectors: Tensor, pairs: SessionPairs) -> Doubles:
        """Returns (s,) the log-odds of an anomaly, for vectors of kinds (k, V). A session without lines has -inf."""
        answers = torch.stack([member(vectors, pairs)[0] for member in self.members]).mean(dim=0)
        found = (answers[:, 1] - answers[:, 0]).double().numpy()
        found[np.bincount(pairs.session, minlength=pairs.sessions) == 0] = -np.inf
        return np.asarray(found)
