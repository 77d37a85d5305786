"""Distils the line encoder and collects the texts that it learns from."""
