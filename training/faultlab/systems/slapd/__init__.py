"""OpenLDAP in the fault lab."""
