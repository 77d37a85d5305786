"""Checks what deploys the daemon, each part by its real tool: `make deploy-test`."""
