"""The head: what its untrained logit is, what may never lower it, and that neither padding nor batch mates reach it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from logwarden.model import evidence
from logwarden.model.classifier import LogWindowClassifier, LogWindowConfig, LogWindowOutput
from logwarden.model.summary import sign_shares, signs_of
from tests.models import WIDTH, tiny_classifier

Windows = tuple[Tensor, Tensor, Tensor]  # embeddings (B, L, E), familiarity (B, L, 3), mask (B, L)


def windows(batch: int, size: int, *, seed: int = 1, lines: list[int] | None = None) -> Windows:
    """Random windows of a service that is past its learning phase; `lines` of each are real, the rest padding."""
    source = torch.Generator().manual_seed(seed)
    embeddings = functional.normalize(torch.randn(batch, size, WIDTH, generator=source), dim=-1)
    age = 9 + 3 * torch.rand(batch, 1, generator=source).expand(batch, size)
    familiarity = torch.stack([age * torch.rand(batch, size, generator=source), age, age * 0.05], dim=-1)
    filled = torch.tensor(lines if lines is not None else [size] * batch)
    mask = (torch.arange(size) >= size - filled[:, None]).long()
    return embeddings * mask[..., None], familiarity * mask[..., None], mask


def margin(output: LogWindowOutput) -> Tensor:
    assert output.logits is not None
    return output.logits[:, 1] - output.logits[:, 0]


@pytest.fixture
def trained() -> LogWindowClassifier:
    return tiny_classifier()


def test_untrained_windows_are_ordered_by_the_newest_lines_surprise() -> None:
    """Before training the head is the label-free baseline: the rarer the newest line, the higher the logit."""
    head = tiny_classifier(untrained=True)
    embeddings, familiarity, mask = windows(1, 32)
    familiarity[..., 2] = 0.0
    embeddings, mask = embeddings.expand(40, -1, -1), mask.expand(40, -1)
    familiarity = familiarity.expand(40, -1, -1).clone()
    familiarity[:, -1, 0] = torch.randperm(40) / 4.0  # log2 of how often the newest line was seen
    ranked = margin(head(embeddings, familiarity, mask)).argsort()
    surprise = (familiarity[:, -1, 1] - familiarity[:, -1, 0]).clamp_min(0)
    assert (surprise[ranked].diff() >= 0).all()
    assert torch.unique(surprise).numel() > 20


def test_an_untrained_head_reads_no_text() -> None:
    """Before training, windows of the same familiarity have the same logit whatever they say."""
    head = tiny_classifier(untrained=True)
    embeddings, familiarity, mask = windows(2, 32)
    familiarity[1] = familiarity[0]
    first, second = margin(head(embeddings, familiarity, mask)).tolist()
    assert first == pytest.approx(second, abs=1e-6)


@pytest.mark.parametrize("untrained", [True, False])
@pytest.mark.parametrize("place", [0, 5, 7])
def test_more_surprise_never_lowers_the_base_score(untrained: bool, place: int) -> None:
    """Whatever text was learned to mean, a line that was seen less often speaks no less for an anomaly."""
    head = tiny_classifier(untrained=untrained, seed=3)
    torch.nn.init.zeros_(head.mixture.outer)  # the base part alone: the mixture may weigh the evidence against it
    embeddings, familiarity, mask = windows(1, 8, seed=5)
    familiarity = familiarity.expand(30, -1, -1).clone()
    familiarity[:, place, 0] = torch.linspace(12, 0, 30)  # seen ever less often
    margins = margin(head(embeddings.expand(30, -1, -1), familiarity, mask.expand(30, -1)))
    assert (margins.diff() >= -1e-5).all()
    assert place != 7 or margins[-1] > margins[0]  # of the judged line, every bit counts


@pytest.mark.parametrize("size", [1, 2, 3, 32, 512])
def test_a_head_serves_windows_of_any_size(trained: LogWindowClassifier, size: int) -> None:
    """Positions are bucketed, so nothing is bound to the window size that it was trained on."""
    output = trained(*windows(3, size))
    assert output.logits.shape == (3, 2)
    assert output.line_weights.shape == (3, size)
    assert torch.isfinite(output.logits).all()


def test_a_window_alone_scores_as_in_a_batch(trained: LogWindowClassifier) -> None:
    """Batch mates reach neither the logits nor the weights nor the route."""
    lines = [1, 2, 3, 7, 16, 31, 32, 32]
    batch = windows(8, 32, lines=lines)
    together = trained(*batch)
    for place in range(8):
        alone = trained(*(part[place : place + 1] for part in batch))
        torch.testing.assert_close(alone.logits[0], together.logits[place], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(alone.line_weights[0], together.line_weights[place], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(alone.gates[0], together.gates[place], atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("lines", [1, 2, 3, 5, 16])
def test_how_far_a_window_is_padded_changes_nothing(trained: LogWindowClassifier, lines: int) -> None:
    """The same lines score alike in a window that they fill and in one of 16, 32 or 64 places."""
    embeddings, familiarity, mask = windows(2, lines, seed=lines)
    reference = trained(embeddings, familiarity, mask)
    for size in (16, 32, 64):
        room = (0, 0, size - lines, 0)
        padded = trained(
            functional.pad(embeddings, room), functional.pad(familiarity, room), functional.pad(mask, room[2:])
        )
        torch.testing.assert_close(padded.logits, reference.logits, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(padded.line_weights[:, size - lines :], reference.line_weights, atol=1e-5, rtol=1e-4)
        assert not padded.line_weights[:, : size - lines].any()


def test_what_lies_in_a_padded_place_is_never_read(trained: LogWindowClassifier) -> None:
    """Rubbish where the mask says there is no line changes nothing."""
    embeddings, familiarity, mask = windows(4, 32, lines=[1, 4, 20, 31])
    reference = trained(embeddings, familiarity, mask)
    rubbish = (1 - mask)[..., None]
    dirty = trained(embeddings + 9.0 * rubbish, familiarity + 5.0 * rubbish, mask)
    torch.testing.assert_close(dirty.logits, reference.logits, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(dirty.line_weights, reference.line_weights, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("seed", range(5))
def test_line_weights_are_shares(seed: int) -> None:
    """A window's weights are not negative and sum to 1, or are all 0 when nothing speaks for an anomaly."""
    output = tiny_classifier(seed=seed)(*windows(64, 16, seed=seed, lines=[1 + i % 16 for i in range(64)]))
    sums = output.line_weights.sum(dim=-1)
    assert (output.line_weights >= 0).all()
    assert (((sums - 1).abs() < 1e-4) | (sums == 0)).all()


def test_a_quiet_window_has_no_guilty_line() -> None:
    """Nothing new and nothing learned: no line carries anything."""
    embeddings, familiarity, mask = windows(2, 8)
    familiarity[..., 0] = familiarity[..., 1]
    assert not tiny_classifier(untrained=True)(embeddings, familiarity, mask).line_weights.any()


def test_of_equal_lines_the_newest_carries_the_score() -> None:
    """Six equal surprises, of which four count: the newest four, on every device and in every size of batch."""
    embeddings, familiarity, mask = windows(3, 8)
    familiarity[..., 0] = familiarity[..., 1]
    familiarity[..., :6, 0] -= 4.0
    weights = tiny_classifier(untrained=True)(embeddings, familiarity, mask).line_weights
    assert (weights > 0).tolist() == [[False, False, True, True, True, True, False, False]] * 3
    assert (weights.argmax(dim=-1) == 5).all()


def test_a_faint_score_is_shared_out_too() -> None:
    """However little a window's lines carry, the shares of it still sum to 1."""
    embeddings, familiarity, mask = windows(1, 8)
    familiarity[..., 0] = familiarity[..., 1]
    familiarity[:, 3, 0] -= 1e-5
    head = tiny_classifier(untrained=True)
    torch.nn.init.constant_(head.base, -12.0)
    weights = head(embeddings, familiarity, mask).line_weights
    assert weights.sum().item() == pytest.approx(1.0, abs=1e-3)
    assert weights.argmax() == 3


def test_without_history_a_window_is_judged_by_its_text(trained: LogWindowClassifier) -> None:
    """For a service that never spoke, being far from what it said means nothing; the words still mean something."""
    embeddings, familiarity, mask = windows(2, 8)
    unheard, far = torch.zeros_like(familiarity), torch.zeros_like(familiarity)
    far[..., 2] = 1.0
    logits = trained(embeddings, unheard, mask).logits
    torch.testing.assert_close(trained(embeddings, far, mask).logits, logits)
    assert (logits[0] - logits[1]).abs().max() > 1e-4


def test_in_a_services_first_lines_counts_do_not_move_the_base_score(trained: LogWindowClassifier) -> None:
    """Twelve lines are no history: seen never or seen often, the base score is that of the text."""
    torch.nn.init.zeros_(trained.mixture.outer)
    embeddings, familiarity, mask = windows(2, 8)
    familiarity[..., 1] = 3.6
    often, never = familiarity.clone(), familiarity.clone()
    often[..., 0], never[..., 0] = 3.6, 0.0
    torch.testing.assert_close(trained(embeddings, often, mask).logits, trained(embeddings, never, mask).logits)
    familiarity[..., 1] = 9.0  # five hundred are one
    assert (trained(embeddings, familiarity, mask).logits - trained(embeddings, never, mask).logits).abs().max() > 0.1


def test_the_judged_line_may_stand_anywhere(trained: LogWindowClassifier) -> None:
    """Asking about the last line by name is asking as usual; asking about another is another question."""
    batch = windows(3, 8)
    usual = trained(*batch)
    torch.testing.assert_close(trained(*batch, judged=torch.tensor([7, 7, 7])).logits, usual.logits)
    assert (trained(*batch, judged=torch.tensor([2, 2, 2])).logits - usual.logits).abs().max() > 1e-4


def test_the_loss_is_the_sum_of_its_named_parts(trained: LogWindowClassifier) -> None:
    """What the optimiser sees is the classification loss plus the two weighted losses of the router."""
    output = trained(*windows(6, 8), labels=torch.tensor([0, 1, 0, 1, 1, 0]))
    expected = functional.cross_entropy(output.logits, torch.tensor([0, 1, 0, 1, 1, 0]))
    torch.testing.assert_close(output.classification_loss, expected)
    total = expected + 1e-2 * output.balance_loss + 1e-3 * output.entropy_loss
    torch.testing.assert_close(output.loss, total)
    assert trained(*windows(6, 8)).loss is None


def test_learning_reaches_every_weight() -> None:
    """No part of the head is cut off from the loss."""
    head = tiny_classifier().train()
    head(*windows(32, 8), labels=torch.arange(32) % 2).loss.backward()
    for name, weight in head.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.abs().sum() > 0, name


def test_saving_and_loading_keeps_weights_and_configuration(trained: LogWindowClassifier, tmp_path: Path) -> None:
    """The head is an ordinary transformers model: save_pretrained, from_pretrained, the same answers."""
    trained.save_pretrained(tmp_path)
    loaded = LogWindowClassifier.from_pretrained(tmp_path).eval()
    torch.testing.assert_close(loaded(*windows(3, 8)).logits, trained(*windows(3, 8)).logits)
    assert loaded.config.id2label == {0: "normal", 1: "anomaly"}
    assert loaded.config.label2id == {"normal": 0, "anomaly": 1}
    assert loaded.config.model_type == "logwarden"


def test_a_configuration_survives_its_file(tmp_path: Path) -> None:
    """Every figure that shapes the head or its training is in config.json and comes back as it was."""
    figures: dict[str, Any] = {
        "encoder_width": 48,
        "encoder_revision": "abc",
        "hidden_size": 24,
        "attention_heads": 3,
        "experts": 5,
        "expert_hidden_size": 7,
        "gate_top_p": 0.4,
        "balance_weight": 0.5,
        "entropy_weight": 0.25,
        "dropout": 0.0,
        "learning_lines": 99,
    }
    LogWindowConfig(**figures).save_pretrained(tmp_path)
    loaded = LogWindowConfig.from_pretrained(tmp_path)
    assert {name: getattr(loaded, name) for name in figures} == figures


@pytest.mark.parametrize(("hidden", "heads"), [(10, 4), (8, 0), (8, -2)])
def test_heads_must_divide_the_width(hidden: int, heads: int) -> None:
    """A width that attention cannot share out is refused when it is configured, not when it is computed."""
    with pytest.raises(ValueError, match="attention_heads"):
        LogWindowConfig(hidden_size=hidden, attention_heads=heads)


def test_evidence_of_a_failure_raises_a_line_and_health_lowers_it() -> None:
    """The gates of evidence have one sign each, and learning reaches them."""
    torch.manual_seed(1)
    head = LogWindowClassifier(LogWindowConfig(encoder_width=8, evidence_width=evidence.WIDTH, hidden_size=16)).eval()
    assert head.evidence_gates is not None
    with torch.no_grad():
        head.evidence_gates.fill_(1.0)
    plain = torch.zeros(8 + evidence.WIDTH)
    gates = head.project(plain).gates
    for column, name in enumerate(evidence.NAMES):
        stated = plain.clone()
        stated[8 + column] = 1.0
        change = (head.project(stated).gates - gates).sign().tolist()
        expected = {"level_stated": 0.0, "health": -1.0, "planned": -1.0}.get(name, 1.0)
        assert set(change) == {expected}, name
    vectors = torch.rand(4, 6, 8 + evidence.WIDTH)
    head = LogWindowClassifier(head.config).train()
    head(vectors, *windows(4, 6)[1:], labels=torch.arange(4) % 2).loss.backward()
    assert head.evidence_gates is not None
    assert head.evidence_gates.grad is not None
    assert head.evidence_gates.grad.abs().sum() > 0


def test_signs_are_summed_over_the_lines_of_a_window() -> None:
    """Shares of severe lines are facts about a window, padding aside, and zeros for a head without evidence."""
    columns = torch.zeros(1, 3, evidence.WIDTH)
    columns[0, 1:, evidence.NAMES.index("status_5xx")] = 1.0
    signs = signs_of(columns)
    assert signs[0, :, 0].tolist() == [0.0, 1.0, 1.0]
    mask = torch.tensor([[False, True, True]])
    shares = sign_shares(signs, torch.tensor([[0.0, 0.0, 2.0]]), mask, torch.tensor([2]))
    assert shares[0].tolist() == [1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.5, 0.0, 0.0]
    assert signs_of(torch.zeros(1, 3, 0)).tolist() == [[[0.0] * 3] * 3]
