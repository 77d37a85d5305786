"""The configuration files of both Redis servers, as templates. Knows neither processes nor clients."""

# Verbose on purpose: a log of faults alone teaches nothing. The pauses between snapshots and rewrites and the time-outs
# of replication are short, so that minutes contain many of each. Redis opens its log file for every line, so that it
# can be rotated; errors of the configuration itself go to standard error.
_SERVER = """
bind 127.0.0.1
port {port}
dir {directory}
logfile {log}
loglevel verbose
timeout 5
tcp-keepalive 30
save {snapshot}
appendonly yes
appendfsync everysec
auto-aof-rewrite-percentage 100
auto-aof-rewrite-min-size 160kb
maxmemory 48mb
maxmemory-policy allkeys-lru
repl-timeout 8
repl-ping-replica-period 2
repl-diskless-sync-delay 1
client-output-buffer-limit replica 8mb 4mb 10
user default off
user {role} on >{password} ~* &* +@all -@dangerous +info +keys +sort +config|get
user {admin} on >{admin_password} ~* &* +@all
user {link} on >{link_password} +ping +psync +replconf
"""

PRIMARY = _SERVER

# The replica connects from an address of its own, so that the link can be cut and nothing else.
REPLICA = (
    _SERVER
    + """
replicaof 127.0.0.1 {primary}
bind-source-addr {link_address}
masteruser {link}
masterauth {link_secret}
"""
)
