"""The model on a GPU: tests that are left out where there is none."""
