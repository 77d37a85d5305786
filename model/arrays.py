"""Names of the array types that several files of the model share, by the kind of their elements."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
"""Slots, offsets, stable hashes, counts, ages, rows: whatever indexes or counts."""
Ids = npt.NDArray[np.int32]
"""Line ids, half as wide as `Ints`: the rings keep one for every line of every window."""
Bools = npt.NDArray[np.bool_]
"""Masks."""
Floats = npt.NDArray[np.float32]
"""Embeddings, logits, familiarity: whatever the head reads or computes."""
Doubles = npt.NDArray[np.float64]
"""Probabilities."""
Bytes = npt.NDArray[np.uint8]
"""Characters of a blob of raw lines."""
Texts = npt.NDArray[np.object_]
"""Raw lines, each a `bytes`."""
Column = npt.NDArray[Any]
"""One value per line, of any type."""
