"""The schema registry: its client, over HTTP."""
