"""Tomcat in the fault lab."""
