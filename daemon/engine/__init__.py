"""Loads the model; the only importers of torch in the daemon."""
