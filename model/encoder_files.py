"""Reads an encoder directory without PyTorch: its shape, its tokenizer, the names of its weights.

`logwarden.model.encoder` and `logwarden.model.onnx_encoder` make of it an encoder that computes. Knows no tensors.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file
from tokenizers import Tokenizer
from tokenizers.implementations import BertWordPieceTokenizer

from logwarden.model.arrays import Column
from logwarden.model.errors import ModelMissing, ModelUnreadable
from logwarden.model.evidence import glossed

MAX_TOKENS = 64
"""A canonical line of 240 characters rarely has more tokens; the tail of a longer one is dumps and stack frames."""
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
"""Files of weights, of which the first that exists is read."""
ACTIVATIONS = ("gelu", "relu")
"""Functions between the two layers of a block that the encoders compute."""
# Heads of the pre-training tasks and buffers that are rebuilt: no part of an encoder without pooler.
_IGNORED = ("pooler.", "cls.", "embeddings.position_ids", "embeddings.token_type_ids")


@dataclass(frozen=True, slots=True)
class BertShape:
    """The numbers in the config.json of a BERT that its forward pass needs. Defaults are those of bert-base-uncased."""

    vocab_size: int = 30_522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3_072
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    layer_norm_eps: float = 1e-12
    hidden_act: str = "gelu"

    @classmethod
    def from_json(cls, values: object) -> BertShape:
        """Takes the fields that are given. Raises ValueError for a model that is not BERT or of no possible shape."""
        if not isinstance(values, Mapping):
            raise ValueError(f"config.json contains a {type(values).__name__}, not named values")
        if values.get("model_type", "bert") != "bert":
            raise ValueError(f"it is a {values['model_type']} model, not BERT")
        shape = cls(**{field.name: values[field.name] for field in fields(cls) if field.name in values})
        for field in fields(cls):
            value: Any = getattr(shape, field.name)
            if type(value) is not type(field.default) or value in (0, "") or str(value).startswith("-"):
                raise ValueError(f"its {field.name} is {value!r}")
        if shape.hidden_size % shape.num_attention_heads:
            raise ValueError(f"a width of {shape.hidden_size} cannot be divided by {shape.num_attention_heads} heads")
        if shape.hidden_act not in ACTIVATIONS:
            raise ValueError(f"its activation {shape.hidden_act} is none of {', '.join(ACTIVATIONS)}")
        if values.get("position_embedding_type", "absolute") != "absolute":
            raise ValueError("its position embeddings are not absolute")
        return shape


class BertFile:
    """The config.json of a BERT: its numbers as attributes, and all of its values to be written again."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = dict(values)
        shape = BertShape.from_json(values)
        self.shape = shape
        self.hidden_size, self.num_attention_heads = shape.hidden_size, shape.num_attention_heads
        self.max_position_embeddings, self.hidden_act = shape.max_position_embeddings, shape.hidden_act

    def to_dict(self) -> dict[str, Any]:
        """Returns all values, also those of no use here."""
        return dict(self._values)

    def to_json_file(self, path: Path) -> None:
        """Writes config.json."""
        path.write_text(json.dumps(self._values, indent=2, sort_keys=True) + "\n", encoding="utf-8")


class LineTokens:
    """A WordPiece tokenizer for lines. Threads may share it."""

    def __init__(self, tokenizer: Tokenizer, positions: int) -> None:
        """Takes a tokenizer that puts its own [CLS] and [SEP] around a text, and the most tokens that fit a text."""
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self.tokenizer = tokenizer
        self._positions = positions
        self._unknown = tokenizer.token_to_id("[UNK]")

    def tokenize(self, texts: Sequence[str], *, max_tokens: int = MAX_TOKENS) -> list[list[int]]:
        """Returns at most `max_tokens` token ids of each text, [CLS] and [SEP] included; both stay.

        A longer text keeps its begin and its last third, where messages and exceptions stand. A text with characters
        that the vocabulary cannot spell is read by its glosses (`logwarden.model.evidence.glossed`).
        """
        limit = min(max_tokens, self._positions)
        assert limit >= 2, "a text needs at least its [CLS] and [SEP]"
        found = [encoding.ids for encoding in self.tokenizer.encode_batch(list(texts))]
        for place, text in enumerate(texts):
            if not text.isascii() and self._unknown in found[place]:
                found[place] = self.tokenizer.encode(glossed(text)).ids
        tail = max(1, limit // 3)
        return [ids if len(ids) <= limit else ids[: limit - tail] + ids[-tail:] for ids in found]


def batches_by_length(token_ids: Sequence[Sequence[int]], batch_size: int) -> Iterator[list[int]]:
    """Yields the places of texts of similar length, so that little of a batch is padding."""
    order = sorted(range(len(token_ids)), key=lambda n: len(token_ids[n]))
    for at in range(0, len(order), batch_size):
        yield order[at : at + batch_size]


def find_folder(path: str | Path, *, allow_download: bool) -> Path:
    """Returns the directory of an encoder. With `allow_download` a `path` that is none is taken for a model hub id.

    Raises ModelMissing if there is none.
    """
    folder = Path(path)
    if not _is_folder(folder) and allow_download:
        folder = _downloaded(str(path))
    if not _is_folder(folder):
        raise ModelMissing(
            f"no line encoder at {path}: name a directory with config.json, model.safetensors and tokenizer.json, "
            "such as a clone of bert-base-uncased, or allow the download of a model hub id"
        )
    return folder


def read_config(folder: Path) -> dict[str, Any]:
    """Returns config.json. Raises ValueError for what is no JSON object."""
    values = json.loads(_existing(folder, "config.json").read_text(encoding="utf-8"))
    if not isinstance(values, dict):
        raise ValueError(f"config.json contains a {type(values).__name__}, not named values")
    return values


def weights_file(folder: Path) -> Path:
    """Returns the file of the weights. Raises ModelMissing if there is none."""
    for name in WEIGHTS:
        if (folder / name).is_file():
            return folder / name
    raise ModelMissing(f"the line encoder in {folder} lacks its weights: {' or '.join(WEIGHTS)}")


def weight_name(old: str) -> str | None:
    """Returns BertModel's name of a weight of any BERT checkpoint; None for what is no part of the encoder."""
    # The oldest checkpoints call the two weights of a normalisation gamma and beta.
    name = old.removeprefix("bert.").replace("LayerNorm.gamma", "LayerNorm.weight")
    name = name.replace("LayerNorm.beta", "LayerNorm.bias")
    return None if name.startswith(_IGNORED) else name


def read_weights(folder: Path) -> dict[str, Column]:
    """Returns the weights under BertModel's names, without PyTorch. Raises ValueError for its own format."""
    path = weights_file(folder)
    if path.suffix != ".safetensors":
        raise ValueError(f"{path.name} is a format of PyTorch alone; convert it to {WEIGHTS[0]}, or install torch")
    found = {weight_name(old): value for old, value in load_file(path).items()}
    return {name: value for name, value in found.items() if name is not None}


def read_tokenizer(folder: Path) -> Tokenizer:
    """Returns the tokenizer of tokenizer.json, or else of vocab.txt."""
    if (folder / "tokenizer.json").is_file():
        try:
            return Tokenizer.from_file(str(folder / "tokenizer.json"))
        except Exception as reason:  # the library raises nothing narrower for a damaged file
            raise ValueError(f"tokenizer.json: {one_line(reason)}") from reason
    pieces = _existing(folder, "vocab.txt").read_text(encoding="utf-8").splitlines()
    settings = folder / "tokenizer_config.json"
    found = json.loads(settings.read_text(encoding="utf-8")) if settings.is_file() else {}
    return word_piece_tokenizer(pieces, lower_case=bool(found.get("do_lower_case", True)))


def word_piece_tokenizer(pieces: Sequence[str], *, lower_case: bool = True) -> Tokenizer:
    """Returns a BERT tokenizer over `pieces`, whose positions are the token ids."""
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    tokenizer: Any = BertWordPieceTokenizer(vocabulary, lowercase=lower_case)
    return Tokenizer.from_str(tokenizer.to_str())


def fingerprint(tokenizer: Tokenizer, weights: Iterable[tuple[str, Column]], heads: int, activation: str) -> str:
    """Returns twelve hexadecimal digits that name vocabulary, weights (in order of their names) and configuration."""
    digest = hashlib.blake2b(digest_size=6)
    digest.update(tokenizer.to_str().encode())
    for name, value in weights:
        digest.update(f"{name}{tuple(value.shape)}".encode())
        # As stored, so that saving and loading again does not change the name.
        digest.update(np.ascontiguousarray(value, np.float16).tobytes())
    digest.update(f"{heads} {activation}".encode())
    return digest.hexdigest()


def one_line(reason: Exception) -> str:
    """Returns an error of a library as one line of bounded length."""
    return " ".join(str(reason).split())[:300]


def _downloaded(hub_id: str) -> Path:
    """Downloads the encoder's files. Called only with the caller's leave: nothing else here uses the network."""
    from huggingface_hub import snapshot_download

    wanted = ["config.json", "tokenizer.json", "vocab.txt", *WEIGHTS]
    try:
        return Path(snapshot_download(hub_id, allow_patterns=wanted))
    except (OSError, ValueError) as reason:  # no network, no such repository; and names that cannot be one
        raise ModelMissing(f"the line encoder {hub_id} cannot be downloaded: {one_line(reason)}") from reason


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
