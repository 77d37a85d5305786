"""The shape of a head, read from its config.json without PyTorch and transformers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields


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
