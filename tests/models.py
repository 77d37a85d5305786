"""A model of a few kilobytes for tests: a random BERT of one layer, a small vocabulary, a head with random weights.

Its verdicts are meaningless, but it computes as a real model does: text, familiarity, order and padding all reach the
logits, because no weight keeps the zero of its initialisation.
"""

from __future__ import annotations

import string
from pathlib import Path

import torch
from transformers import BertConfig, BertModel

from logwarden.model.calibration import Calibration
from logwarden.model.checkpoint import save_checkpoint
from logwarden.model.classifier import LogWindowClassifier, LogWindowConfig
from logwarden.model.encoder import LineEncoder
from logwarden.model.encoder_files import word_piece_tokenizer

WIDTH = 32
_WORDS = [
    *("error", "warning", "info", "connection", "refused", "closed", "opened", "disk"),
    *("full", "on", "node", "user", "session", "block", "received", "path"),
]
PIECES = [
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
    *string.punctuation,
    *string.ascii_lowercase,
    *("##" + letter for letter in string.ascii_lowercase),
    *_WORDS,
]


def tiny_encoder(*, seed: int = 7, width: int = WIDTH) -> LineEncoder:
    """Returns a random BERT of one layer whose vocabulary covers every ASCII word, at least letter by letter."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = BertConfig(
            vocab_size=len(PIECES),
            hidden_size=width,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=2 * width,
            max_position_embeddings=64,
        )
        return LineEncoder(BertModel(config, add_pooling_layer=False), word_piece_tokenizer(PIECES))


def tiny_classifier(*, seed: int = 7, width: int = WIDTH, untrained: bool = False) -> LogWindowClassifier:
    """Returns a small head. Unless `untrained`, noise on every weight stands for training."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        classifier = LogWindowClassifier(
            LogWindowConfig(encoder_width=width, hidden_size=16, attention_heads=2, expert_hidden_size=24)
        )
        if not untrained:
            with torch.no_grad():
                for weight in classifier.parameters():
                    weight.add_(torch.randn_like(weight) * 0.2)
    classifier.eval()
    return classifier


def save_tiny(directory: Path, *, seed: int = 7, width: int = WIDTH) -> Path:
    """Writes a complete model directory and returns its path."""
    save_checkpoint(
        directory,
        tiny_classifier(seed=seed, width=width),
        tiny_encoder(seed=seed, width=width),
        Calibration(scale=1.5, shift=-0.25, threshold=0.6, fitted_on="nothing: random weights"),
    )
    return directory
