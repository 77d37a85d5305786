"""Numbers that the daemon's settings, the Python API and the evaluation take unless a caller sets others.

One place, so that an evaluation measures the product that is delivered. Imports nothing: `logwarden config` reads these
numbers without loading numpy.
"""

WINDOW_SIZE = 32
"""Lines in a window."""
LEARNING_LINES = 1_000
"""Lines of a service that are counted before its newest line may raise an alert."""
BUDGET_PER_DAY = 3
"""Episodes of alerts of a service within a day from which another needs a high score."""
PLANNED_TAIL_MS = 10_000
"""Time after the end of a maintenance in which alerts still count as planned: peers report it late."""
SETTLING_TAIL_MS = 15_000
"""The same for lines that state no failure: members join again, and caches fill."""
MAX_HISTORY_LINES = 1_024
"""Distinct masked lines that are counted for a service."""
MAX_LINE_CHARS = 8_192
"""Characters of a line that are read; the rest is truncated."""
