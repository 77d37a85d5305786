"""The gate keeps the experts of the paper's loop, for any probabilities and any p."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from logwarden.model.moe import top_p_gates
from tests.oracles import naive_gates

# In 64ths, so that sums are exact and a tie with p is a tie for both.
SHARES = st.lists(st.integers(1, 40), min_size=1, max_size=8)


@given(SHARES, st.integers(-1, 64))
def test_the_gate_follows_the_rule(shares: list[int], p: int) -> None:
    """The gate keeps the likeliest experts up to the first that takes the sum past p, at least one."""
    row = [share / 64 for share in shares]
    gates = top_p_gates(torch.tensor([row, row]), p / 64)
    expected = naive_gates(row, p / 64)
    assert gates.tolist() == [expected, expected]
