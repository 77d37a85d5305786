"""Imports ONNX Runtime with its telemetry off.

Its official builds send usage data to Microsoft, and keep an identifier of the machine in the home folder, from the
import on. The variable that switches both off is read once, as the library is loaded. No other module may import
`onnxruntime`.
"""

from __future__ import annotations

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime  # after the variable

__all__ = ["onnxruntime"]
