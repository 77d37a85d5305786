"""BIND in the fault lab."""
