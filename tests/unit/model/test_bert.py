"""Our forward pass of BERT: the answers of transformers' BertModel, from the same files."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertConfig, BertModel

from logwarden.model.bert import Bert
from logwarden.model.checkpoint import SHIPPED
from logwarden.model.encoder import LineEncoder, embed_tokens
from logwarden.model.encoder_files import BertShape, word_piece_tokenizer
from tests.models import PIECES, save_tiny

TEXTS = ["* disk full on node", "* connection to * refused: timeout after * ms", "", "x" * 90]
SHAPES: dict[str, dict[str, Any]] = {
    "MiniLM": {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536},
    "bert-base": {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072},
    "another activation": {"hidden_size": 32, "num_attention_heads": 4, "hidden_act": "relu", "layer_norm_eps": 1e-6},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_served_bert_answers_as_transformers_does(shape: str, tmp_path: Path) -> None:
    """Embeddings of the files of a BertModel agree with its own to 1e-5, alone and padded."""
    torch.manual_seed(3)
    own = BertModel(BertConfig(vocab_size=len(PIECES), **SHAPES[shape]), add_pooling_layer=False)
    with torch.no_grad():
        for weight in own.parameters():  # as after training: biases and weights of normalisations are no constants
            weight.copy_((weight + 0.02 * torch.randn_like(weight)).half().float())
    theirs = LineEncoder(own, word_piece_tokenizer(PIECES))
    theirs.save(tmp_path)
    ours = LineEncoder.from_directory(tmp_path)
    assert isinstance(ours.model, Bert)
    assert ours.fingerprint == theirs.fingerprint
    torch.testing.assert_close(ours.encode(TEXTS), theirs.encode(TEXTS), atol=1e-5, rtol=0)
    for text in TEXTS:
        torch.testing.assert_close(ours.encode([text]), theirs.encode([text]), atol=1e-5, rtol=0)


def test_the_shipped_encoder_answers_as_transformers_does() -> None:
    """The weights in the package give the same embeddings in both."""
    ours = LineEncoder.from_directory(SHIPPED / "encoder")
    theirs = BertModel(BertConfig(**ours.model.config.to_dict()), add_pooling_layer=False).eval()
    theirs.load_state_dict(ours.model.state_dict())
    tokens = ours.tokenize(TEXTS)
    torch.testing.assert_close(embed_tokens(ours.model, tokens), embed_tokens(theirs, tokens), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"hidden_act": "silu"}, "its activation silu is none of gelu, relu"),
        ({"hidden_size": 100}, "100 cannot be divided by 12 heads"),
        ({"vocab_size": "many"}, "vocab_size is 'many'"),
        ({"num_hidden_layers": 0}, "num_hidden_layers is 0"),
        ({"position_embedding_type": "relative_key"}, "not absolute"),
        ({"model_type": "roberta"}, "roberta model, not BERT"),
        (["a list"], "contains a list"),
    ],
)
def test_a_shape_that_would_be_computed_wrongly_is_refused(values: object, sentence: str) -> None:
    """A config.json that asks for another forward pass is an error and no silent approximation."""
    with pytest.raises(ValueError, match=sentence):
        BertShape.from_json(values)


def test_a_saved_encoder_keeps_every_value_of_its_configuration(tmp_path: Path) -> None:
    """Values that serving does not read are in the file for the libraries that do."""
    save_tiny(tmp_path / "one")
    LineEncoder.from_directory(tmp_path / "one" / "encoder").save(tmp_path / "two")
    first, second = (json.loads((tmp_path / name / "config.json").read_text()) for name in ("one/encoder", "two"))
    assert first == second
    assert second["model_type"] == "bert"


def test_serving_with_torch_imports_no_transformers(tmp_path: Path) -> None:
    """A model is loaded, embeds and scores without the library that costs seconds to import."""
    code = (
        "import sys; from logwarden.model.detector import LogAnomalyDetector; "
        "print(LogAnomalyDetector(sys.argv[1], device='cpu').predict('disk full')['prediction']); "
        "assert not {'transformers', 'torch._dynamo', 'sklearn'} & set(sys.modules), sorted(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(save_tiny(tmp_path))], capture_output=True, text=True, timeout=100, check=False
    )
    assert (done.returncode, done.stdout.strip() in ("normal", "anomaly")) == (0, True), done.stderr
