"""BERT on ONNX Runtime: the embeddings of `logwarden.model.encoder`, on the CPU, without PyTorch.

Legend: N texts · T tokens · D width · H attention heads
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import numpy as np
from safetensors import SafetensorError
from tokenizers import Tokenizer

from logwarden.model.arrays import Column, Floats
from logwarden.model.encoder_files import (
    MAX_TOKENS,
    BertShape,
    LineTokens,
    batches_by_length,
    find_folder,
    fingerprint,
    one_line,
    read_config,
    read_tokenizer,
    read_weights,
)
from logwarden.model.errors import ModelMissing, ModelUnreadable
from logwarden.model.onnx_graph import CONTRIBUTED, Graph, Session, Value

_DAMAGE = (OSError, SafetensorError, RuntimeError, KeyError, TypeError, ValueError)
_ATTENTION = ("query", "key", "value")


class OnnxEncoder:
    """A BERT graph and its WordPiece tokenizer, ready to embed lines. Threads may share it."""

    def __init__(self, shape: BertShape, weights: Mapping[str, Column], tokenizer: Tokenizer) -> None:
        """Takes weights under BertModel's names. Raises ValueError if one is missing, unknown or of another shape."""
        _require(weights, shape)
        self.width = shape.hidden_size
        self.fingerprint = fingerprint(tokenizer, sorted(weights.items()), shape.num_attention_heads, shape.hidden_act)
        """See `LineEncoder.fingerprint`, which is the same for the same files."""
        self._tokens = LineTokens(tokenizer, shape.max_position_embeddings)
        self._session = _bert({name: value.astype(np.float32) for name, value in weights.items()}, shape)

    @classmethod
    def from_directory(cls, path: str | Path, *, allow_download: bool = False) -> Self:
        """Loads what `LineEncoder.from_directory` loads, with the same errors, apart from pytorch_model.bin."""
        folder = find_folder(path, allow_download=allow_download)
        try:
            return cls(BertShape.from_json(read_config(folder)), read_weights(folder), read_tokenizer(folder))
        except ModelMissing:
            raise
        except _DAMAGE as reason:
            raise ModelUnreadable(f"the line encoder in {folder} cannot be read: {one_line(reason)}") from reason

    def encode(self, texts: Sequence[str], *, max_tokens: int = MAX_TOKENS, batch_size: int = 64) -> Floats:
        """Returns (N, D), rows of length one, in the order of `texts`."""
        token_ids = self._tokens.tokenize(texts, max_tokens=max_tokens)
        embeddings = np.empty((len(texts), self.width), np.float32)
        for chosen in batches_by_length(token_ids, batch_size):
            embeddings[chosen] = self._embed([token_ids[n] for n in chosen])
        return embeddings

    def _embed(self, token_ids: Sequence[Sequence[int]]) -> Floats:
        longest = max(map(len, token_ids))
        ids, real = np.zeros((len(token_ids), longest), np.int64), np.zeros((len(token_ids), longest), np.float32)
        for row, found in enumerate(token_ids):  # 0 is [PAD] in every BERT vocabulary
            ids[row, : len(found)], real[row, : len(found)] = found, 1
        (rows,) = self._session.run(ids=ids, real=real)
        return np.asarray(rows)


def _shapes(shape: BertShape) -> dict[str, tuple[int, ...]]:
    """Returns the shape of each weight of a BERT without pooler."""
    width, wide = shape.hidden_size, shape.intermediate_size
    found: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (shape.vocab_size, width),
        "embeddings.position_embeddings.weight": (shape.max_position_embeddings, width),
        "embeddings.token_type_embeddings.weight": (shape.type_vocab_size, width),
    }
    norms = ["embeddings.LayerNorm"]
    dense: dict[str, tuple[int, int]] = {}
    for layer in range(shape.num_hidden_layers):
        base = f"encoder.layer.{layer}"
        norms += [f"{base}.attention.output.LayerNorm", f"{base}.output.LayerNorm"]
        dense |= {f"{base}.attention.self.{name}": (width, width) for name in _ATTENTION}
        dense |= {
            f"{base}.attention.output.dense": (width, width),
            f"{base}.intermediate.dense": (wide, width),
            f"{base}.output.dense": (width, wide),
        }
    for name, (out, into) in [*dense.items(), *((norm, (width, 0)) for norm in norms)]:
        found[f"{name}.weight"] = (out, into) if into else (out,)
        found[f"{name}.bias"] = (out,)
    return found


def _require(weights: Mapping[str, Column], shape: BertShape) -> None:
    wanted = _shapes(shape)
    given = {name: value.shape for name, value in weights.items()}
    for name in sorted(wanted.keys() | given.keys()):
        if wanted.get(name) != given.get(name):
            raise ValueError(f"its weight {name} is of shape {given.get(name)}, and not {wanted.get(name)}")


def _bert(weights: Mapping[str, Column], shape: BertShape) -> Session:
    g = Graph()
    ids, real = g.input("ids", np.int64, "N", "T"), g.input("real", np.float32, "N", "T")

    def normed(x: Value, name: str) -> Value:
        scale, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
        return g.op("LayerNormalization", x, scale, bias, axis=-1, epsilon=shape.layer_norm_eps)

    def dense(x: Value, name: str) -> Value:
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    # Every token is of type 0, so the places have its row in them.
    places = weights["embeddings.position_embeddings.weight"] + weights["embeddings.token_type_embeddings.weight"][0]
    tokens = g.op("Shape", ids, start=1, end=2)
    places_used = g.op("Slice", places, np.array([0]), tokens, np.array([0]))  # T, D
    words = g.op("Gather", weights["embeddings.word_embeddings.weight"], ids)  # N, T, D
    hidden = normed(words + places_used, "embeddings.LayerNorm")
    # Two lengths of every text: all tokens are a prefix.
    lengths = g.op("ReduceSum", real, np.array([1]), keepdims=0)  # N
    prefix = g.op("Cast", lengths, to=6)  # int32
    for layer in range(shape.num_hidden_layers):
        base = f"encoder.layer.{layer}"
        joined = np.concatenate([weights[f"{base}.attention.self.{name}.weight"].T for name in _ATTENTION], axis=1)
        biases = np.concatenate([weights[f"{base}.attention.self.{name}.bias"] for name in _ATTENTION])
        heads = shape.num_attention_heads
        context = g.op("Attention", hidden, joined, biases, prefix, num_heads=heads, domain=CONTRIBUTED)
        hidden = normed(dense(context, f"{base}.attention.output.dense") + hidden, f"{base}.attention.output.LayerNorm")
        inner = g.op(shape.hidden_act.capitalize(), dense(hidden, f"{base}.intermediate.dense"))
        hidden = normed(dense(inner, f"{base}.output.dense") + hidden, f"{base}.output.LayerNorm")
    summed = g.op("Squeeze", g.op("Unsqueeze", real, np.array([1])) @ hidden, np.array([1]))  # N, D
    mean = summed / g.op("Unsqueeze", lengths, np.array([1]))
    return g.session({"rows": g.op("LpNormalization", mean, axis=-1, p=2)})
