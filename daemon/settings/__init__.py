"""The settings: their definitions, their reader, and their description for people."""
