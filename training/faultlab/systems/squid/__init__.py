"""Squid in the fault lab."""
