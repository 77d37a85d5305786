"""Alerts: their fields, ids and bytes; pure."""
