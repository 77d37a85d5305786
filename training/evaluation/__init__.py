"""Measures a model on systems it was not trained on: `logwarden evaluate`."""
