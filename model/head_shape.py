"""The shape of a head, read from its config.json, and the constants of every head. Needs no PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from logwarden.model import evidence

LOG_COUNT, LOG_AGE, DISTANCE = 0, 1, 2
FAMILIARITY_WIDTH = 3
"""Columns of the familiarity input: log2(1 + times seen), log2(1 + age), distance to the nearest known line."""
SURPRISE_UNIT_BITS = 4.0
"""Bits of surprise that are 1, so that 0…14 bits are 0…3.5, the range in which the logit moves."""
BUCKETS = 12
"""Distances into the past that the attention distinguishes."""
MAX_TEXT_SCORE = 0.75
"""Most that text alone may add to the score of a line of a service with a history."""
TOP = 4
"""Number of greatest line scores that are averaged; a shorter window has zeros in their place."""
NEWER = 1e-6
"""Share by which a place further on ranks higher among equal line scores: a few units of their last digit."""
SUMMARY = 14
"""Facts about a window that the head reads beside the pooled text."""
SIGN_COLUMNS = (
    evidence.SEVERE,
    *(
        [evidence.NAMES.index(name) for name in names]
        for names in (("level_warning", "trouble", "status_4xx"), ("health", "planned"))
    ),
)
SIGNS = len(SIGN_COLUMNS)
"""Signs of a line that are summed over its window: it is severe, it warns, it reports health."""
AGE_BITS = 14.0
FULL_BITS = 5.0  # log2 of the 32 lines of a usual window: the fill of a window must not depend on its padding
EVIDENCE_SCALE = 10.0  # so that the weights of evidence learn as fast as those of layers with many inputs
SHARPNESS = 20.0  # of the softplus that gives the weights of evidence one sign each
DIRECTIONS = [
    0.0 if name == "level_stated" else -1.0 if place in SIGN_COLUMNS[2] else 1.0
    for place, name in enumerate(evidence.NAMES)
]
"""Whether a column of evidence may raise a line's score, 1, or lower it, -1."""


@dataclass(frozen=True, slots=True)
class HeadShape:
    """The values of a config.json that scoring needs. `LogWindowConfig` has them under the same names."""

    encoder_width: int = 384
    evidence_width: int = 0
    encoder_revision: str = ""
    hidden_size: int = 128
    attention_heads: int = 4
    experts: int = 4
    expert_hidden_size: int = 256
    gate_top_p: float = 0.6
    dropout: float = 0.1
    learning_lines: int = 200

    @classmethod
    def from_json(cls, values: object) -> HeadShape:
        """Takes the fields that are given. Raises ValueError for values of no possible head."""
        if not isinstance(values, Mapping):
            raise ValueError(f"config.json contains a {type(values).__name__}, not named values")
        shape = cls(**{field.name: values[field.name] for field in fields(cls) if field.name in values})
        for field in fields(cls):
            value, wanted = getattr(shape, field.name), type(field.default)
            if not isinstance(value, (int, float) if wanted is float else wanted) or isinstance(value, bool):
                raise ValueError(f"its {field.name} is {value!r}")
        require_heads(shape.hidden_size, shape.attention_heads)
        return shape


def require_heads(width: int, heads: int) -> None:
    """Raises ValueError for a width that is no multiple of the number of heads."""
    if heads < 1 or width % heads:
        raise ValueError(f"hidden_size {width} is not a multiple of attention_heads {heads}")


def mixture_limit(evidence_width: int) -> float:
    """Returns the most that each logit of the mixture may add to the score."""
    return 0.4 if evidence_width else 0.75
