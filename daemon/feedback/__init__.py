"""Feedback of people: their judgements of alerts, and the maintenance that they announce."""
