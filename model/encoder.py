"""Turns canonical masked lines into embeddings with BERT: mean over the tokens of the last layer, length one.

Owns loading and saving of an encoder directory, tokenising, and batching by length. Knows nothing of services, windows
or the line table that keeps its results. The cold path: a line is embedded once, at first sight.

Any BERT checkpoint fits: the compact one in the package, a clone of `bert-base-uncased`, the operator's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch.nn import functional

from logwarden.model.bert import Bert
from logwarden.model.encoder_files import (
    MAX_TOKENS,
    BertFile,
    LineTokens,
    batches_by_length,
    find_folder,
    fingerprint,
    one_line,
    read_config,
    read_tokenizer,
    weight_name,
    weights_file,
)
from logwarden.model.errors import ModelMissing, ModelUnreadable

# N texts · T tokens · D width

Model = Any
"""A `Bert`, or a BertModel of transformers without pooler, whose type is not imported here."""

_DAMAGE = (OSError, SafetensorError, RuntimeError, KeyError, TypeError, ValueError)
"""Errors of the libraries for files that are truncated, empty, of another shape or of another format."""


class LineEncoder:
    """A BERT model and its WordPiece tokenizer, ready to embed lines.

    `encode` changes nothing, so threads may share an encoder. `to` is for set-up.
    """

    def __init__(self, model: Model, tokenizer: Tokenizer) -> None:
        """Takes a model without pooler, and a tokenizer that puts its own [CLS] and [SEP] around a text."""
        self._model = model.eval().requires_grad_(False)
        self._tokens = LineTokens(tokenizer, int(model.config.max_position_embeddings))
        self._fingerprint = ""

    @classmethod
    def from_directory(cls, path: str | Path, *, allow_download: bool = False) -> Self:
        """Loads config.json, model.safetensors (or pytorch_model.bin), tokenizer.json (or vocab.txt) as float32.

        With `allow_download` a `path` that is no directory is taken for a model hub id. Raises ModelMissing if the
        directory or one of its files is missing, and ModelUnreadable if a file is damaged or is not BERT.
        """
        folder = find_folder(path, allow_download=allow_download)
        try:
            return cls(_load_model(folder), read_tokenizer(folder))
        except ModelMissing:
            raise
        except _DAMAGE as reason:
            raise ModelUnreadable(f"the line encoder in {folder} cannot be read: {one_line(reason)}") from reason

    @property
    def width(self) -> int:
        """Length of an embedding: 384 for the shipped encoder, 768 for BERT-base."""
        return int(self._model.config.hidden_size)

    @property
    def device(self) -> torch.device:
        """Device of the weights and of what `encode` returns."""
        device: torch.device = self._model.device
        return device

    @property
    def fingerprint(self) -> str:
        """Twelve hexadecimal digits that name configuration, vocabulary and weights.

        The same before `save` and after loading again. Encoders with different embeddings have different ones, so they
        may key stored embeddings. Computed at first use (30 ms for the shipped encoder).
        """
        if not self._fingerprint:
            state, config = self._model.state_dict(), self._model.config
            weights = ((name, value.detach().half().cpu().numpy()) for name, value in sorted(state.items()))
            self._fingerprint = fingerprint(
                self.tokenizer, weights, int(config.num_attention_heads), str(config.hidden_act)
            )
        return self._fingerprint

    @property
    def model(self) -> Model:
        """The wrapped model, for training."""
        return self._model

    @property
    def tokenizer(self) -> Tokenizer:
        """The wrapped tokenizer; shared, so copy it before changing it."""
        return self._tokens.tokenizer

    def to(self, device: str | torch.device, *, dtype: torch.dtype | None = None) -> Self:
        """Moves the weights; `dtype` bfloat16 halves the cost of `encode` and costs 1e-2 of exactness."""
        self._model.to(device=device, dtype=dtype)
        return self

    def tokenize(self, texts: Sequence[str], *, max_tokens: int = MAX_TOKENS) -> list[list[int]]:
        """Returns at most `max_tokens` token ids of each text; see `LineTokens`."""
        return self._tokens.tokenize(texts, max_tokens=max_tokens)

    def encode(self, texts: Sequence[str], *, max_tokens: int = MAX_TOKENS, batch_size: int = 64) -> torch.Tensor:
        """Returns (N, D) float32 on `device`, rows of length one, in the order of `texts`.

        A row does not depend on the other texts of the call beyond 1e-5 (float32). An empty text is embedded like any
        other; no texts give (0, D).
        """
        token_ids = self.tokenize(texts, max_tokens=max_tokens)
        embeddings = torch.empty(len(texts), self.width, dtype=torch.float32, device=self.device)  # (N, D)
        with torch.inference_mode():
            for chosen in batches_by_length(token_ids, batch_size):
                embeddings[chosen] = embed_tokens(self._model, [token_ids[n] for n in chosen])
        return embeddings

    def save(self, path: str | Path) -> None:
        """Writes config.json, model.safetensors (float16: half the size, 1e-3 of exactness) and tokenizer.json."""
        folder = Path(path)
        folder.mkdir(parents=True, exist_ok=True)
        self._model.config.to_json_file(folder / "config.json")
        halves = {name: value.detach().half().cpu().contiguous() for name, value in self._model.state_dict().items()}
        save_file(halves, folder / "model.safetensors", metadata={"format": "pt"})
        (folder / "model.safetensors").chmod(
            0o644
        )  # the library makes it private, which an installed model must not be
        self.tokenizer.save(str(folder / "tokenizer.json"))


def embed_tokens(model: Model, token_ids: Sequence[Sequence[int]]) -> torch.Tensor:
    """Returns (N, D) float32, rows of length one: the mean over a text's own tokens. Keeps gradients, for training."""
    lengths = torch.tensor([len(ids) for ids in token_ids])  # (N,)
    longest = int(lengths.max())
    padded = torch.zeros(len(token_ids), longest, dtype=torch.long)  # (N, T); 0 is [PAD] in every BERT vocabulary
    for row, ids in zip(padded, token_ids, strict=True):
        row[: len(ids)] = torch.tensor(ids, dtype=torch.long)
    real = (torch.arange(longest) < lengths[:, None]).to(model.device)  # (N, T)
    # Without padding there is nothing to mask, and attention without a mask is faster.
    mask = None if bool((lengths == longest).all()) else real.long()
    hidden = model(input_ids=padded.to(model.device), attention_mask=mask).last_hidden_state.float()  # (N, T, D)
    summed = (hidden * real[..., None]).sum(1)  # (N, D)
    return functional.normalize(summed / lengths.to(model.device)[:, None], dim=-1)  # (N, D)


def _load_model(folder: Path) -> Bert:
    model = Bert(BertFile(read_config(folder)))
    model.load_state_dict(_renamed(_load_weights(weights_file(folder))), assign=True)
    return model


def _load_weights(path: Path) -> Mapping[str, torch.Tensor]:
    if path.suffix == ".safetensors":
        loaded: Mapping[str, torch.Tensor] = load_file(path)
        return loaded
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as reason:  # the library raises nothing narrower for a damaged file
        raise ValueError(f"{path.name}: {one_line(reason)}") from reason
    if not isinstance(weights, Mapping):
        raise ValueError(f"{path.name} contains a {type(weights).__name__}, not weights by name")
    return weights


def _renamed(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    names = {old: weight_name(old) for old in weights}
    return {name: weights[old].float() for old, name in names.items() if name is not None}
