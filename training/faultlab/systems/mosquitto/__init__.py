"""Mosquitto in the fault lab."""
