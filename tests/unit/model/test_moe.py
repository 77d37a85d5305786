"""The mixture against a loop over inputs and experts that follows the paper's rule word by word."""

from __future__ import annotations

import math

import pytest
import torch
from logwarden.model.moe import TopPMixture, top_p_gates
from torch import Tensor
from torch.nn import functional

from tests.oracles import naive_gates


def naive_mixture(mixture: TopPMixture, x: Tensor) -> Tensor:
    """(B, D) → (B, C), one input and one expert at a time."""
    rows = []
    for one in x:
        probabilities = (mixture.router.weight @ one).softmax(dim=0)
        out = torch.zeros(mixture.outer.shape[1])
        for expert, share in enumerate(naive_gates(probabilities.tolist(), mixture.top_p)):
            hidden = functional.gelu(mixture.inner[expert] @ one + mixture.inner_bias[expert])
            out = out + share * (mixture.outer[expert] @ hidden)
        rows.append(out)
    return torch.stack(rows)


@pytest.fixture
def mixture() -> TopPMixture:
    torch.manual_seed(3)
    mixture = TopPMixture(6, 5, 2, experts=4, top_p=0.6)
    with torch.no_grad():
        mixture.outer.normal_()
        mixture.router.weight.normal_(std=1.0)
    return mixture


@pytest.mark.parametrize(
    ("top_p", "kept"), [(-1.0, 1), (0.0, 1), (0.2, 1), (0.25, 2), (0.3, 2), (0.6, 3), (0.75, 4), (0.8, 4), (1.0, 4)]
)
def test_an_undecided_router_buys_as_many_experts_as_the_sum_needs(top_p: float, kept: int) -> None:
    """At four equal shares the sum passes p at the first, second, third or fourth; one expert is always kept."""
    gates = top_p_gates(torch.full((1, 4), 0.25), top_p)
    assert int((gates > 0).sum()) == kept
    assert gates.sum().item() == pytest.approx(0.25 * kept)


def test_a_sure_router_buys_one_expert() -> None:
    """An easy input costs one expert, wherever it stands."""
    gates = top_p_gates(torch.tensor([[0.05, 0.1, 0.8, 0.05], [0.7, 0.1, 0.1, 0.1]]), 0.6)
    assert gates.tolist() == [[0.0, 0.0, pytest.approx(0.8), 0.0], [pytest.approx(0.7), 0.0, 0.0, 0.0]]


@pytest.mark.parametrize("top_p", [0.0, 0.3, 0.6, 0.9, 1.0])
def test_the_mixture_is_its_definition(mixture: TopPMixture, top_p: float) -> None:
    """Grouped by expert or one by one: the same sums of the same experts."""
    mixture.top_p = top_p
    x = torch.randn(40, 6)
    torch.testing.assert_close(mixture(x)[0], naive_mixture(mixture, x), atol=1e-5, rtol=1e-5)


def test_at_p_one_the_mixture_is_dense(mixture: TopPMixture) -> None:
    """With everything kept the output is the probability-weighted sum of all experts."""
    mixture.top_p = 1.0
    x = torch.randn(9, 6)
    out, routing = mixture(x)
    hidden = functional.gelu(torch.einsum("bd,ehd->beh", x, mixture.inner) + mixture.inner_bias)
    dense = torch.einsum("beh,ech,be->bc", hidden, mixture.outer, routing.probabilities)
    torch.testing.assert_close(out, dense, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(routing.gates, routing.probabilities, atol=1e-6, rtol=0)


def test_a_route_depends_on_the_input_alone(mixture: TopPMixture) -> None:
    """Batched with others or alone, an input meets the same experts and gets the same answer."""
    x = torch.randn(30, 6)
    x[7] = 0.0  # a tie between all experts
    out, routing = mixture(x)
    for place in range(30):
        alone, route = mixture(x[place : place + 1])
        torch.testing.assert_close(alone[0], out[place], atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(route.gates[0], routing.gates[place], atol=1e-7, rtol=1e-6)


def test_a_tie_goes_to_the_first_experts() -> None:
    """Which of two equal experts is bought is decided by their order, in a batch of any size."""
    gates = top_p_gates(torch.full((500, 64), 1 / 64), 0.5)
    assert (gates[:, :32] > 0).all()
    assert not gates[:, 33:].any()


def test_what_is_learned_reaches_experts_and_router(mixture: TopPMixture) -> None:
    """The loss pulls at every part that took part: router, and both matrices of an expert that was chosen."""
    out, routing = mixture(torch.randn(16, 6))
    (out.square().sum() + routing.balance_loss + routing.entropy_loss).backward()
    for name, weight in mixture.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.abs().sum() > 0, name


def test_an_untrained_mixture_says_nothing() -> None:
    """Training starts at the base score, so the first output is exactly zero."""
    out, _ = TopPMixture(6, 5, 2)(torch.randn(3, 6))
    assert not out.any()


def test_losses_have_their_known_values() -> None:
    """Flat router: entropy log E, balance as many as are bought. Sure and even: balance 1; all on one expert: E."""
    mixture = TopPMixture(4, 5, 2, experts=4, top_p=0.2)
    with torch.no_grad():
        mixture.router.weight.zero_()
    _, flat = mixture(torch.randn(8, 4))
    assert flat.balance_loss.item() == pytest.approx(1.0)
    assert flat.entropy_loss.item() == pytest.approx(math.log(4))
    mixture.top_p = 1.0
    assert mixture(torch.randn(8, 4))[1].balance_loss.item() == pytest.approx(4.0)
    mixture.top_p = 0.2
    with torch.no_grad():
        mixture.router.weight.copy_(torch.eye(4) * 100)
    balanced = mixture(torch.eye(4))[1]
    assert balanced.balance_loss.item() == pytest.approx(1.0)
    assert balanced.entropy_loss.item() == pytest.approx(0.0, abs=1e-5)
    collapsed = mixture(torch.eye(4)[[0, 0, 0, 0]])[1]
    assert collapsed.balance_loss.item() == pytest.approx(4.0)


def test_half_precision_inputs_are_routed_in_single_precision(mixture: TopPMixture) -> None:
    """Rounding of a bfloat16 model does not reach the router's sums, so it never buys an expert too many."""
    out, routing = mixture.bfloat16()(torch.randn(12, 6).bfloat16())
    assert (out.dtype, routing.probabilities.dtype) == (torch.bfloat16, torch.float32)
    assert routing.gates.tolist() == [naive_gates(row, 0.6) for row in routing.probabilities.tolist()]
