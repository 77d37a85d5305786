"""Serves probes and metrics over HTTP."""
