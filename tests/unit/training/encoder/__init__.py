"""Tests of the training of the encoder."""
