"""The configuration files of both brokers, as templates. Knows neither processes nor clients."""

# Talkative on purpose: a log with nothing but faults in it teaches nothing. Only debug is left out, which writes
# several lines for every packet. What is wrong before the log is open goes to standard error.
_BROKER = """
listener {port} 127.0.0.1
allow_anonymous false
password_file {directory}/passwords
acl_file {directory}/access
persistence true
persistence_location {store}/
autosave_interval {autosave}
log_dest file {log}
log_type error
log_type warning
log_type notice
log_type information
log_type subscribe
log_type unsubscribe
connection_messages true
log_timestamp_format %Y-%m-%dT%H:%M:%S
persistent_client_expiration 1h
sys_interval 10
"""

BROKER = (
    _BROKER
    + """
listener {port} {link_address}

listener {tls_port} 127.0.0.1
cafile {directory}/ca.crt
certfile {directory}/server.crt
keyfile {directory}/server.key
"""
)

# The broker serves the edge at an address of its own, so that the bridge can be cut and nothing else. The edge cannot
# ask from one: this version forgets bridge_bind_address when it connects without blocking.
EDGE = (
    _BROKER
    + """
connection {link}
address {link_address}:{broker_port}
remote_clientid {link}
remote_username {link}
remote_password {link_password}
topic plant/# out 1
topic control/# in 1
keepalive_interval 6
restart_timeout 2
cleansession false
"""
)

ACCESS = """
user {role}
topic readwrite plant/#
topic readwrite control/#
topic read $SYS/broker/connection/#

user {link}
topic readwrite plant/#
topic readwrite control/#
topic readwrite $SYS/broker/connection/#
"""
