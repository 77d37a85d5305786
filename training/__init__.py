"""Teaches and judges the model: corpora, distillation, baselines. Stands on `model`, never on `daemon`."""
