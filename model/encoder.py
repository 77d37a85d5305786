"""Turns canonical masked lines into embeddings with BERT: mean over the tokens of the last layer, length one.

Owns loading and saving of an encoder directory, tokenising, and batching by length. Knows nothing of services, windows
or the line table that keeps its results. The cold path: a line is embedded once, at first sight.

Any BERT checkpoint fits: the compact one in the package, a clone of `bert-base-uncased`, the operator's own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from tokenizers.implementations import BertWordPieceTokenizer
from torch.nn import functional
from transformers import BertConfig, BertModel

from logwarden.model.errors import ModelMissing, ModelUnreadable
from logwarden.model.evidence import glossed

# N texts · T tokens · D width

MAX_TOKENS = 64
"""A canonical line of 240 characters rarely has more tokens; the tail of a longer one is dumps and stack frames."""

_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_DAMAGE = (OSError, SafetensorError, RuntimeError, KeyError, TypeError, ValueError)
"""Errors of the libraries for files that are truncated, empty, of another shape or of another format."""
# Heads of the pre-training tasks and buffers that BertModel rebuilds: no part of an encoder without pooler.
_IGNORED = ("pooler.", "cls.", "embeddings.position_ids", "embeddings.token_type_ids")


class LineEncoder:
    """A BERT model and its WordPiece tokenizer, ready to embed lines.

    `encode` changes nothing, so threads may share an encoder. `to` is for set-up.
    """

    def __init__(self, model: BertModel, tokenizer: Tokenizer) -> None:
        """Takes a model without pooler, and a tokenizer that puts its own [CLS] and [SEP] around a text."""
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._model = model.eval().requires_grad_(False)
        self._tokenizer = tokenizer
        self._fingerprint = ""
        self._unknown = tokenizer.token_to_id("[UNK]")

    @classmethod
    def from_directory(cls, path: str | Path, *, allow_download: bool = False) -> Self:
        """Loads config.json, model.safetensors (or pytorch_model.bin), tokenizer.json (or vocab.txt) as float32.

        With `allow_download` a `path` that is no directory is taken for a model hub id. Raises ModelMissing if the
        directory or one of its files is missing, and ModelUnreadable if a file is damaged or is not BERT.
        """
        folder = Path(path)
        if not _is_folder(folder) and allow_download:
            folder = _downloaded(str(path))
        if not _is_folder(folder):
            raise ModelMissing(
                f"no line encoder at {path}: name a directory with config.json, model.safetensors and tokenizer.json, "
                "such as a clone of bert-base-uncased, or allow the download of a model hub id"
            )
        try:
            return cls(_load_model(folder), _load_tokenizer(folder))
        except ModelMissing:
            raise
        except _DAMAGE as reason:
            raise ModelUnreadable(f"the line encoder in {folder} cannot be read: {_one_line(reason)}") from reason

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
            self._fingerprint = _fingerprint(self._model, self._tokenizer)
        return self._fingerprint

    @property
    def model(self) -> BertModel:
        """The wrapped model, for training."""
        return self._model

    @property
    def tokenizer(self) -> Tokenizer:
        """The wrapped tokenizer; shared, so copy it before changing it."""
        return self._tokenizer

    def to(self, device: str | torch.device, *, dtype: torch.dtype | None = None) -> Self:
        """Moves the weights; `dtype` bfloat16 halves the cost of `encode` and costs 1e-2 of exactness."""
        self._model.to(device=device, dtype=dtype)
        return self

    def tokenize(self, texts: Sequence[str], *, max_tokens: int = MAX_TOKENS) -> list[list[int]]:
        """Returns at most `max_tokens` token ids of each text, [CLS] and [SEP] included; both stay.

        A longer text keeps its begin and its last third, where messages and exceptions stand. A text with characters
        that the vocabulary cannot spell is read by its glosses (`logwarden.model.evidence.glossed`).
        """
        limit = min(max_tokens, int(self._model.config.max_position_embeddings))
        assert limit >= 2, "a text needs at least its [CLS] and [SEP]"
        found = [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]
        for place, text in enumerate(texts):
            if not text.isascii() and self._unknown in found[place]:
                found[place] = self._tokenizer.encode(glossed(text)).ids
        tail = max(1, limit // 3)
        return [ids if len(ids) <= limit else ids[: limit - tail] + ids[-tail:] for ids in found]

    def encode(self, texts: Sequence[str], *, max_tokens: int = MAX_TOKENS, batch_size: int = 64) -> torch.Tensor:
        """Returns (N, D) float32 on `device`, rows of length one, in the order of `texts`.

        A row does not depend on the other texts of the call beyond 1e-5 (float32). An empty text is embedded like any
        other; no texts give (0, D).
        """
        token_ids = self.tokenize(texts, max_tokens=max_tokens)
        # Texts of similar length share a batch, so that little of it is padding.
        order = sorted(range(len(token_ids)), key=lambda n: len(token_ids[n]))
        embeddings = torch.empty(len(texts), self.width, dtype=torch.float32, device=self.device)  # (N, D)
        with torch.inference_mode():
            for at in range(0, len(order), batch_size):
                chosen = order[at : at + batch_size]
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
        self._tokenizer.save(str(folder / "tokenizer.json"))


def embed_tokens(model: BertModel, token_ids: Sequence[Sequence[int]]) -> torch.Tensor:
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


def _load_model(folder: Path) -> BertModel:
    config = BertConfig.from_json_file(_existing(folder, "config.json"))
    if config.model_type != "bert":
        raise ValueError(f"it is a {config.model_type} model, not BERT")
    model = BertModel(config, add_pooling_layer=False)
    model.load_state_dict(_renamed(_load_weights(folder)))
    return model.float()


def _load_weights(folder: Path) -> Mapping[str, torch.Tensor]:
    for name in _WEIGHTS:
        path = folder / name
        if path.is_file() and path.suffix == ".safetensors":
            loaded: Mapping[str, torch.Tensor] = load_file(path)
            return loaded
        if path.is_file():
            return _load_pickled(path)
    raise ModelMissing(f"the line encoder in {folder} lacks its weights: {' or '.join(_WEIGHTS)}")


def _load_pickled(path: Path) -> Mapping[str, torch.Tensor]:
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as reason:  # the library raises nothing narrower for a damaged file
        raise ValueError(f"{path.name}: {_one_line(reason)}") from reason
    if not isinstance(weights, Mapping):
        raise ValueError(f"{path.name} contains a {type(weights).__name__}, not weights by name")
    return weights


def _renamed(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Returns the weights of any BERT checkpoint under BertModel's names. The oldest ones are called gamma and beta."""
    renamed = {}
    for old, value in weights.items():
        name = old.removeprefix("bert.").replace("LayerNorm.gamma", "LayerNorm.weight")
        name = name.replace("LayerNorm.beta", "LayerNorm.bias")
        if not name.startswith(_IGNORED):
            renamed[name] = value.float()
    return renamed


def _load_tokenizer(folder: Path) -> Tokenizer:
    if (folder / "tokenizer.json").is_file():
        try:
            return Tokenizer.from_file(str(folder / "tokenizer.json"))
        except Exception as reason:  # the library raises nothing narrower for a damaged file
            raise ValueError(f"tokenizer.json: {_one_line(reason)}") from reason
    pieces = _existing(folder, "vocab.txt").read_text(encoding="utf-8").splitlines()
    settings = folder / "tokenizer_config.json"
    found = json.loads(settings.read_text(encoding="utf-8")) if settings.is_file() else {}
    return word_piece_tokenizer(pieces, lower_case=bool(found.get("do_lower_case", True)))


def word_piece_tokenizer(pieces: Sequence[str], *, lower_case: bool = True) -> Tokenizer:
    """Returns a BERT tokenizer over `pieces`, whose positions are the token ids."""
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    tokenizer: Any = BertWordPieceTokenizer(vocabulary, lowercase=lower_case)
    return Tokenizer.from_str(tokenizer.to_str())


def _downloaded(hub_id: str) -> Path:
    """Downloads the encoder's files. Called only with the caller's leave: nothing else here uses the network."""
    from huggingface_hub import snapshot_download

    wanted = ["config.json", "tokenizer.json", "vocab.txt", *_WEIGHTS]
    try:
        return Path(snapshot_download(hub_id, allow_patterns=wanted))
    except (OSError, ValueError) as reason:  # no network, no such repository; and names that cannot be one
        raise ModelMissing(f"the line encoder {hub_id} cannot be downloaded: {_one_line(reason)}") from reason


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError as reason:  # a folder that this user may not open, a path longer than the system takes
        raise ModelUnreadable(f"the line encoder in {path} cannot be read: {reason.strerror}") from reason


def _existing(folder: Path, name: str) -> Path:
    path = folder / name
    if not path.is_file():
        raise ModelMissing(f"the line encoder in {folder} lacks {name}")
    return path


def _one_line(reason: Exception) -> str:
    return " ".join(str(reason).split())[:300]


def _fingerprint(model: BertModel, tokenizer: Tokenizer) -> str:
    digest = hashlib.blake2b(digest_size=6)
    digest.update(tokenizer.to_str().encode())
    for name, value in sorted(model.state_dict().items()):
        digest.update(f"{name}{tuple(value.shape)}".encode())
        # As stored, so that saving and loading again does not change the name.
        digest.update(value.detach().half().cpu().contiguous().numpy().tobytes())
    digest.update(f"{model.config.num_attention_heads} {model.config.hidden_act}".encode())
    return digest.hexdigest()
