"""Properties that hold for all inputs, searched by Hypothesis against naive oracles."""
