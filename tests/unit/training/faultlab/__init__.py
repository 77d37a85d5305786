"""Tests of the fault lab and of the recordings that ship."""
