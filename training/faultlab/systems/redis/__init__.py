"""Redis in the fault lab."""
