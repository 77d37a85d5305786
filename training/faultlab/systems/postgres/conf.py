"""The configuration files of PostgreSQL and pgbouncer, as templates. Knows neither processes nor clients."""

# Talkative on purpose: a log with nothing but faults in it teaches nothing. The pauses between checkpoints and
# vacuums and the time-outs of replication are cut to fit many of each into some minutes.
SERVER = """
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = ''
logging_collector = off
log_timezone = 'UTC'
log_line_prefix = '%m [%p] %q%u@%d/%a '
log_connections = on
log_disconnections = on
log_checkpoints = on
log_lock_waits = on
log_replication_commands = on
log_min_duration_statement = 150
log_autovacuum_min_duration = 0
log_temp_files = 0
shared_buffers = 32MB
work_mem = {work_mem}
max_connections = 40
checkpoint_timeout = 30s
min_wal_size = 32MB
max_wal_size = 64MB
wal_keep_size = 48MB
wal_sender_timeout = 10s
wal_receiver_timeout = 10s
wal_retrieve_retry_interval = 3s
hot_standby_feedback = on
autovacuum_naptime = 10s
autovacuum_vacuum_scale_factor = 0.02
autovacuum_analyze_scale_factor = 0.02
"""

ACCESS = """
host all postgres 127.0.0.1/32 trust
host replication postgres 127.0.0.1/32 trust
host all all 127.0.0.1/32 scram-sha-256
"""

POOLER = """
[databases]
{database} = host=127.0.0.1 port={primary}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {pooler}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {users}
admin_users = {role}
pool_mode = transaction
default_pool_size = 8
max_client_conn = 80
log_connections = 1
log_disconnections = 1
log_stats = 1
stats_period = 15
server_idle_timeout = 10
server_lifetime = 90
server_connect_timeout = 5
server_login_retry = 3
query_wait_timeout = 10
"""
