"""Chooses how many new lines one step of the ingest thread embeds, so that no step takes long. Pure."""

from __future__ import annotations

STEP_S = 0.15
"""Seconds that a step should take: known lines of other services wait for the running step."""
FEWEST, MOST = 32, 8_192
"""New lines of a step: with fewer, decoding would be most of a step; with more, the encoder would take gigabytes."""
_FIRST = 64
_LEAST_EVIDENCE = 4
"""New lines of a step from which its time is evidence of the encoder's speed."""


class EmbeddingPace:
    """A budget of new lines per step, from the time that the steps before took."""

    def __init__(self) -> None:
        self.new_lines = _FIRST

    def learn(self, new_lines: int, seconds: float) -> None:
        """Adapts the budget to a step that embedded `new_lines` in `seconds`, by a factor of two at most."""
        if new_lines < _LEAST_EVIDENCE:
            return
        fitting = self.new_lines * 2 if seconds <= 0 else int(new_lines * STEP_S / seconds)
        self.new_lines = max(FEWEST, self.new_lines // 2, min(MOST, self.new_lines * 2, fitting))
