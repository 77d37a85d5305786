"""Prometheus in the fault lab."""
