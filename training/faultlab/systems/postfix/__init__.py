"""Postfix in the fault lab."""
