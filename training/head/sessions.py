"""Trains the judge of whole sessions on labels. Sessions whose kinds and counts are equal are one example.

Legend: n pairs of a session and a kind · k kinds · s sessions · V width of a line's vector
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from logwarden.model.sessions import MEMBERS, SessionJudge, SessionPairs

Bools = npt.NDArray[np.bool_]
Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

STEPS = 400
_RATE = 3e-3
_WARM_STEPS = 20
_BALANCE, _ENTROPY = 1e-2, 1e-3
_DECAY = 1e-2


def train_sessions(
    vectors: Tensor,
    pairs: SessionPairs,
    labels: Bools,
    chosen: Bools,
    *,
    seed: int,
    advance: Callable[[], None] = lambda: None,
) -> SessionJudge:
    """Trains on the chosen sessions (s,). `vectors` (k, V); `labels` (s,). `advance` is called after each member.

    Both labels must occur among the chosen sessions.
    """
    examples, share, weight = _examples(pairs, labels, chosen)
    judge = SessionJudge(vectors.shape[1])
    judge.members.requires_grad_(True)
    anomalous, normal = (torch.from_numpy(weight * part).float() for part in (share, 1 - share))
    sides = torch.stack([normal / normal.sum(), anomalous / anomalous.sum()], dim=1)  # each label weighs the same
    for number in range(MEMBERS):
        torch.manual_seed(seed * MEMBERS + number)
        member = judge.members[number] = type(judge.members[number])(vectors.shape[1])
        optimiser = torch.optim.AdamW(member.parameters(), lr=_RATE, weight_decay=_DECAY)
        for step in range(STEPS):
            for group in optimiser.param_groups:
                group["lr"] = _RATE * min(1.0, (step + 1) / _WARM_STEPS) * (1 - step / STEPS)
            logits, routing = member(vectors, examples)
            loss = -(sides * F.log_softmax(logits, dim=1)).sum()
            loss = loss + _BALANCE * routing.balance_loss + _ENTROPY * routing.entropy_loss
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        advance()
    return judge.eval().requires_grad_(False)


def _examples(pairs: SessionPairs, labels: Bools, chosen: Bools) -> tuple[SessionPairs, Doubles, Doubles]:
    """Returns the distinct sessions among the chosen, the share of them that is anomalous, and √ of their number."""
    # Sessions 0 and 2 have the same kinds and counts, and session 0 alone is anomalous:
    #   number    [0, 1, 0]     of the example of each session
    #   share     [.5, 0]
    #   weight    [√2, 1]
    begins = np.searchsorted(pairs.session, np.arange(pairs.sessions + 1))
    numbers: dict[bytes, int] = {}
    firsts: list[int] = []
    counted: list[list[int]] = []
    for place in np.flatnonzero(chosen & (np.diff(begins) > 0)).tolist():
        part = slice(begins[place], begins[place + 1])
        key = pairs.kind[part].tobytes() + pairs.lines[part].tobytes()
        number = numbers.setdefault(key, len(firsts))
        if number == len(firsts):
            firsts.append(place)
            counted.append([0, 0])
        counted[number][int(labels[place])] += 1
    totals = np.array(counted, np.float64)  # examples, 2
    places = np.concatenate([np.arange(begins[first], begins[first + 1]) for first in firsts])
    owners = np.repeat(np.arange(len(firsts)), [begins[first + 1] - begins[first] for first in firsts])
    found = SessionPairs(owners, pairs.kind[places], pairs.lines[places], len(firsts))
    return found, totals[:, 1] / totals.sum(axis=1), np.sqrt(totals.sum(axis=1))
