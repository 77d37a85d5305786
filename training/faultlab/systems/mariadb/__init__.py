"""MariaDB in the fault lab."""
