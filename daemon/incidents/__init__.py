"""Defines an alert; pure."""
