"""BERT's forward pass in PyTorch, for encoders that serve: the weights and the answers of transformers' BertModel.

Serving needs a forward pass of sixty lines, while an import of transformers takes seconds and hundreds of megabytes.
The weights have BertModel's names, so the files are the same. Training may use either; this one has no dropout.

Legend: N texts · T tokens · D width · H attention heads
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from logwarden.model.encoder_files import BertFile, BertShape


class BertOutput(NamedTuple):
    """Output of the last layer, under transformers' name."""

    last_hidden_state: Tensor  # (N, T, D)


class Bert(nn.Module):
    """BERT without pooler. The untrained weights are random: load a state."""

    def __init__(self, config: BertFile) -> None:
        super().__init__()
        shape = config.shape
        self.config = config
        self.embeddings = _Embeddings(shape)
        # Modules without a forward pass of their own: their names are those of the weights.
        self.encoder = nn.Module()
        self.encoder.layer = nn.ModuleList(_Layer(shape) for _ in range(shape.num_hidden_layers))

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return self.embeddings.word_embeddings.weight.device

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> BertOutput:
        """Returns the last layer for token ids (N, T); `attention_mask` (N, T) is 1 where there is a token."""
        mask = None if attention_mask is None else attention_mask.bool()[:, None, None, :]  # N, 1, 1, T
        hidden = self.embeddings(input_ids)
        layers: Any = self.encoder.layer
        for layer in layers:
            hidden = layer(hidden, mask)
        return BertOutput(hidden)


class _Embeddings(nn.Module):
    def __init__(self, shape: BertShape) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(shape.vocab_size, shape.hidden_size)
        self.position_embeddings = nn.Embedding(shape.max_position_embeddings, shape.hidden_size)
        self.token_type_embeddings = nn.Embedding(shape.type_vocab_size, shape.hidden_size)
        self.LayerNorm = nn.LayerNorm(shape.hidden_size, eps=shape.layer_norm_eps)

    def forward(self, input_ids: Tensor) -> Tensor:
        # In the order of BertModel, as sums of floats depend on it: every token is of type 0.
        summed = self.word_embeddings(input_ids) + self.token_type_embeddings.weight[0]  # N, T, D
        summed = summed + self.position_embeddings.weight[: input_ids.shape[1]]
        normed: Tensor = self.LayerNorm(summed)
        return normed


class _Layer(nn.Module):
    def __init__(self, shape: BertShape) -> None:
        super().__init__()
        self._heads = shape.num_attention_heads
        activations: dict[str, Callable[[Tensor], Tensor]] = {"gelu": functional.gelu, "relu": functional.relu}
        self._activation = activations[shape.hidden_act]
        width, wide, eps = shape.hidden_size, shape.intermediate_size, shape.layer_norm_eps
        self.attention = nn.ModuleDict(
            {
                "self": nn.ModuleDict({name: nn.Linear(width, width) for name in ("query", "key", "value")}),
                "output": _joined(width, width, eps),
            }
        )
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(width, wide)})
        self.output = _joined(wide, width, eps)

    def forward(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        attention: Any = self.attention
        q, k, v = (self._split(attention["self"][name](hidden)) for name in ("query", "key", "value"))
        context = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)  # N, H, T, D/H
        hidden = _residual(attention["output"], context.transpose(1, 2).flatten(2), hidden)
        return _residual(self.output, self._activation(self.intermediate["dense"](hidden)), hidden)

    def _split(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], self._heads, -1).transpose(1, 2)  # N, H, T, D/H


def _joined(width: int, out: int, eps: float) -> nn.ModuleDict:
    return nn.ModuleDict({"dense": nn.Linear(width, out), "LayerNorm": nn.LayerNorm(out, eps=eps)})


def _residual(output: nn.ModuleDict, x: Tensor, hidden: Tensor) -> Tensor:
    normed: Tensor = output["LayerNorm"](output["dense"](x) + hidden)
    return normed
