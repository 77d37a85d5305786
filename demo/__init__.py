"""Plays a recording of the fault lab through the real daemon. Imports both storeys, and neither imports it."""
