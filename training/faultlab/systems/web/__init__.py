"""HAProxy, nginx and a shop in the fault lab."""
