"""Mixture of experts with a top-p gate.

Rule (Huang et al., "Harder Tasks Need More Experts", ACL 2024, arXiv 2403.07652): P = softmax(W x) without bias;
experts in order of falling P are kept up to and including the first at which the sum passes p; the output is the sum
of P_i · E_i(x) over the kept. An easy input buys one expert, a hard one more.

- The router runs in fp32: rounding in fp16 can leave the cumulative sum below p, and then every expert is kept.
- An expert maps straight to the classes, so the classifier is its second matrix and costs nothing of its own.
- Experts run grouped: each sees only the inputs that chose it. An input's route depends on that input alone.

Legend: B inputs · D input width · H hidden width · E experts · C classes
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Routing(NamedTuple):
    """Decisions of the gate, for losses and logs."""

    gates: Tensor  # (B, E) P where kept, else 0
    probabilities: Tensor  # (B, E) P before the gate
    balance_loss: Tensor  # () E · Σ f_i Q_i; 1 at a uniform load with one expert each
    entropy_loss: Tensor  # () mean of −Σ P log P, in nats


def top_p_gates(probabilities: Tensor, top_p: float) -> Tensor:
    """Keeps the likeliest experts up to the first that takes the sum past `top_p`; at least one. (B, E) → (B, E)"""
    # top_p 0.6     probabilities 0.2 0.5 0.3
    #   ordered     0.5 0.3 0.2
    #   before      0.0 0.5 0.8       sum of the likelier experts
    #   keep        yes yes no        0.5 + 0.3 is the first sum past 0.6
    #   gates       0.0 0.5 0.3       in the order of the experts again
    ordered, order = probabilities.sort(dim=-1, descending=True, stable=True)  # of equal ones the first, in any batch
    before = ordered.cumsum(dim=-1) - ordered
    keep = before <= top_p
    keep[..., 0] = True  # at any top_p, however small
    return torch.zeros_like(probabilities).scatter(-1, order, ordered * keep)


class TopPMixture(nn.Module):
    """E experts of one hidden layer each, D → H → C, behind a top-p router. The untrained output is zero."""

    def __init__(self, width: int, hidden: int, classes: int, *, experts: int = 4, top_p: float = 0.6) -> None:
        super().__init__()
        self.top_p = top_p
        self.router = nn.Linear(width, experts, bias=False)
        self.inner = nn.Parameter(torch.empty(experts, hidden, width))
        self.inner_bias = nn.Parameter(torch.zeros(experts, hidden))
        self.outer = nn.Parameter(torch.zeros(experts, classes, hidden))  # zero: training starts at the base score
        nn.init.normal_(self.inner, std=width**-0.5)

    def forward(self, x: Tensor) -> tuple[Tensor, Routing]:
        """Returns (B, C) for (B, D), and the routing."""
        probabilities = F.linear(x.float(), self.router.weight.float()).softmax(dim=-1)  # B, E in fp32
        gates = top_p_gates(probabilities, self.top_p)
        out = x.new_zeros(len(x), self.outer.shape[1])
        for expert in range(len(self.inner)):
            chosen = gates[:, expert].nonzero().squeeze(1)
            if len(chosen):
                hidden = F.gelu(F.linear(x[chosen], self.inner[expert], self.inner_bias[expert]))  # b, H
                share = gates[chosen, expert, None].to(x.dtype)
                out = out.index_add(0, chosen, F.linear(hidden, self.outer[expert]) * share)
        return out, Routing(gates, probabilities, _balance(gates, probabilities), _entropy(probabilities))


def _balance(gates: Tensor, probabilities: Tensor) -> Tensor:
    load = (gates > 0).float().mean(dim=0)  # E, f_i: the share of inputs that bought expert i
    return len(load) * (load * probabilities.mean(dim=0)).sum()


def _entropy(probabilities: Tensor) -> Tensor:
    return -(probabilities * probabilities.clamp_min(1e-9).log()).sum(dim=-1).mean()
