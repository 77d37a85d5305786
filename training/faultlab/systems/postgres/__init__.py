"""PostgreSQL behind PgBouncer in the fault lab."""
