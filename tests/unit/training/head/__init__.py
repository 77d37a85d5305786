"""Tests of the training of the head."""
