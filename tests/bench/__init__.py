"""Measurements. They print ratios between peers of one run and never fail a build."""
