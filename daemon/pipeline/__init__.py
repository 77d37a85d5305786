"""The data path: intake, decoding, windows, scores, alerts, acknowledgements, commits."""
