"""OpenSSH in the fault lab."""
