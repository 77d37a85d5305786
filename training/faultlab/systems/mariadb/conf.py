"""The configuration of the MariaDB servers and the tables of the shop, as templates. Knows neither processes nor
clients.

The audit log has every login, the log of SQL errors every failed statement, the slow log every slow one. The error log
alone is almost empty without a fault.
"""

# Binary logs do not lie on the small disk: a server that cannot write one waits a whole minute before it looks again,
# which no fault here can be held for. The time-outs of replication are cut to fit into some seconds; the lock wait is
# longer than any queue for a hot account that the load makes, and there is room for five lanes of all clients.
SERVER = """
[mariadbd]
server_id = {number}
datadir = {data}
tmpdir = {temporary}
bind-address = 127.0.0.1
port = {port}
socket = {data}/server.sock
pid-file = {data}/server.pid
log_warnings = 4
log_bin = {binlog}/binlog
relay_log = {binlog}/relay
slave_net_timeout = {slave_net_timeout}
skip-name-resolve
max_connections = 64
character_set_server = utf8mb4
innodb_buffer_pool_size = {buffer_pool}
innodb_log_file_size = 8M
innodb_flush_log_at_trx_commit = 2
innodb_lock_wait_timeout = 9
innodb_print_all_deadlocks = 1
sort_buffer_size = 64K
aria_pagecache_buffer_size = 4M
key_buffer_size = 1M
slow_query_log = 1
slow_query_log_file = {logs}/slow.log
long_query_time = 0.08
log_slow_slave_statements = OFF
plugin_load_add = server_audit
plugin_load_add = sql_errlog
server_audit_logging = ON
server_audit_events = CONNECT,QUERY_DDL
server_audit_file_path = {logs}/audit.log
sql_error_log_filename = {logs}/sql_errors.log
"""

# `ops` is the operator and what watches for him, `app` the shop.
ACCOUNTS = (
    "CREATE USER '{app}'@'127.0.0.1' IDENTIFIED BY '{app_password}'",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON {database}.* TO '{app}'@'127.0.0.1'",
    "CREATE USER '{ops}'@'127.0.0.1' IDENTIFIED BY '{ops_password}'",
    "GRANT ALL ON *.* TO '{ops}'@'127.0.0.1'",
    "CREATE USER 'replicator'@'127.0.0.1'",
    "GRANT REPLICATION SLAVE ON *.* TO 'replicator'@'127.0.0.1'",
)

FOLLOW = (
    "CHANGE MASTER TO master_host = '127.0.0.1', master_port = {primary}, master_user = 'replicator',"
    " master_connect_retry = 2, master_use_gtid = slave_pos",
    "START SLAVE",
)

TABLES = (
    "CREATE TABLE accounts (id INT PRIMARY KEY, balance INT NOT NULL) ENGINE = InnoDB",
    "INSERT INTO accounts SELECT seq, 100 FROM seq_1_to_5000",
    "CREATE TABLE orders (id INT AUTO_INCREMENT PRIMARY KEY, account INT NOT NULL, note VARCHAR(400)) ENGINE = InnoDB",
    "CREATE TABLE catalog (id INT PRIMARY KEY, title VARCHAR(300) NOT NULL, price INT) ENGINE = InnoDB",
    "INSERT INTO catalog SELECT seq, REPEAT(MD5(seq), 6), seq % 97 FROM seq_1_to_4000",
)
