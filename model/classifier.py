"""LogWindowClassifier: the head of `logwarden.model.head` as a model of transformers, for training and the hub's form.

Serving loads the same files without this module, because the import of transformers takes seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.utils import ModelOutput

from logwarden.model.head import WindowHead
from logwarden.model.head_shape import require_heads
from logwarden.model.moe import Routing
from logwarden.model.schema import LABELS


class LogWindowConfig(PreTrainedConfig):  # type: ignore[misc]
    """Shape of the head. `encoder_width` is that of the line encoder it was trained on.

    `evidence_width` is 0 for a head from before `logwarden.model.evidence`, else the number of its columns.
    """

    model_type = "logwarden"

    def __init__(
        self,
        encoder_width: int = 384,
        evidence_width: int = 0,
        encoder_revision: str = "",
        hidden_size: int = 128,
        attention_heads: int = 4,
        experts: int = 4,
        expert_hidden_size: int = 256,
        gate_top_p: float = 0.6,
        balance_weight: float = 1e-2,
        entropy_weight: float = 1e-3,
        dropout: float = 0.1,
        learning_lines: int = 200,
        **kwargs: Any,
    ) -> None:
        require_heads(hidden_size, attention_heads)
        self.encoder_width = encoder_width
        self.evidence_width = evidence_width
        self.encoder_revision = encoder_revision
        self.hidden_size = hidden_size
        self.attention_heads = attention_heads
        self.experts = experts
        self.expert_hidden_size = expert_hidden_size
        self.gate_top_p = gate_top_p  # not "top_p", which transformers takes for a generation setting
        self.balance_weight = balance_weight
        self.entropy_weight = entropy_weight
        self.dropout = dropout
        self.learning_lines = learning_lines
        kwargs.setdefault("id2label", dict(enumerate(LABELS["en"])))
        kwargs.setdefault("label2id", {label: i for i, label in enumerate(LABELS["en"])})
        super().__init__(**kwargs)


@dataclass
class LogWindowOutput(ModelOutput):  # type: ignore[misc]
    """Output of one forward pass. `loss` is the total for the optimiser; its parts are for the log."""

    loss: Tensor | None = None
    logits: Tensor | None = None  # (B, K)
    line_weights: Tensor | None = None  # (B, L) share of the score that each line carries
    classification_loss: Tensor | None = None
    balance_loss: Tensor | None = None
    entropy_loss: Tensor | None = None
    gates: Tensor | None = None  # (B, E experts)


class LogWindowClassifier(WindowHead, PreTrainedModel):  # type: ignore[misc]
    """The head, untrained, with its losses."""

    config_class = LogWindowConfig

    if TYPE_CHECKING:  # transformers ships no types; without this, mypy takes its methods for tensors of a module

        def __getattr__(self, name: str) -> Any: ...

    def __init__(self, config: LogWindowConfig) -> None:
        PreTrainedModel.__init__(self, config)
        self._build(config)
        self.post_init()
        # After post_init, which would overwrite it: untrained, text has no effect (a = 0, ½ + σ(b) = 1).
        last = cast(nn.Linear, self.text_gates[-1])
        nn.init.zeros_(last.weight)
        with torch.no_grad():
            last.bias.zero_()

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=module.in_features**-0.5)
            if module.bias is not None:
                nn.init.zeros_(module.bias)

    def forward(
        self,
        embeddings: Tensor,
        familiarity: Tensor,
        attention_mask: Tensor,
        judged: Tensor | None = None,
        labels: Tensor | None = None,
        **_: Any,
    ) -> LogWindowOutput:
        """Returns logits and losses for windows of line vectors.

        `embeddings` (B, L, E + V) and the others: see `WindowHead.score_vectors`.
        `labels` (B,) 0 or 1, or a float share of 1.
        """
        logits, weights, routing = self.score_vectors(embeddings, familiarity, attention_mask, judged)
        return self._with_losses(logits, weights, routing, labels)

    def _with_losses(self, logits: Tensor, weights: Tensor, routing: Routing, labels: Tensor | None) -> LogWindowOutput:
        loss = classification = None
        if labels is not None:
            margin = (logits[:, 1] - logits[:, 0]).float()
            classification = F.binary_cross_entropy_with_logits(margin, labels.float())
            loss = (
                classification
                + self.config.balance_weight * routing.balance_loss
                + self.config.entropy_weight * routing.entropy_loss
            )
        return LogWindowOutput(
            loss=loss,
            logits=logits,
            line_weights=weights,
            classification_loss=classification,
            balance_loss=routing.balance_loss,
            entropy_loss=routing.entropy_loss,
            gates=routing.gates,
        )
