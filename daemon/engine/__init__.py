"""Loads the model, on PyTorch or on ONNX Runtime; the only importer of torch in the daemon."""
