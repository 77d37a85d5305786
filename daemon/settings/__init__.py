"""The settings: what they are, how they are read, how they are described."""
