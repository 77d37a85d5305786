"""Plays a recording of the fault lab through the real daemon; knows both storeys, and neither knows it."""
