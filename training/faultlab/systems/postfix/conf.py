"""The configuration files of both mail servers, as templates. Knows neither processes nor clients."""

DOMAIN = "office.example"

# Time-outs and pauses between attempts are short, so that minutes contain many of each.
_COMMON = """
compatibility_level = 3.6
queue_directory = {spool}
data_directory = {data}
maillog_file = {log}
maillog_file_prefixes = {logs}
mail_owner = postfix
setgid_group = postdrop
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.9/32
myhostname = {name}
mydestination =
local_recipient_maps =
alias_maps =
alias_database =
local_transport = discard:administrator
default_transport = discard:outside
parent_domain_matches_subdomains =
smtp_dns_support_level = disabled
smtp_host_lookup = native
smtpd_peername_lookup = no
message_size_limit = 2000000
queue_run_delay = 4s
minimal_backoff_time = 4s
maximal_backoff_time = 8s
service_throttle_time = 4s
max_idle = {idle}s
smtpd_timeout = 20s
smtp_connect_timeout = 5s
smtp_helo_timeout = 6s
smtp_mail_timeout = 6s
smtp_rcpt_timeout = 6s
smtp_data_init_timeout = 6s
smtp_data_xfer_timeout = 6s
smtp_data_done_timeout = 6s
"""

# Takes the mail of the office's people, by password, and mail from outside for them.
RELAY = (
    _COMMON
    + """
relay_domains = {domain}
relay_recipient_maps = hash:{etc}/recipients
transport_maps = hash:{etc}/transport
smtpd_recipient_restrictions = permit_sasl_authenticated, reject_unauth_destination
smtpd_helo_required = yes
smtpd_sasl_auth_enable = yes
smtpd_sasl_path = smtpd
smtpd_sasl_local_domain = {domain}
cyrus_sasl_config_path = {etc}/sasl
smtpd_tls_security_level = may
smtpd_tls_auth_only = yes
smtpd_tls_cert_file = {etc}/server.crt
smtpd_tls_key_file = {etc}/server.key
smtpd_tls_loglevel = 1
smtpd_client_connection_rate_limit = 0
smtpd_client_connection_count_limit = 16
"""
)

# Keeps the mailboxes.
STORE = (
    _COMMON
    + """
virtual_mailbox_domains = {domain}
virtual_mailbox_base = {boxes}
virtual_mailbox_maps = hash:{etc}/mailboxes
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
virtual_minimum_uid = 100
virtual_transport = virtual
smtpd_recipient_restrictions = reject_unauth_destination
"""
)

# Setting, and the setting with a mistake, of the server that takes the mail.
MISTAKES = (
    ("reject_unauth_destination", "reject_unauth_destinations"),
    ("relay_recipient_maps = hash:", "relay_recipient_maps = hsh:"),
    ("server.crt", "server.cert"),
)

# Debian's services, less those for other protocols, without chroot.
MASTER = """
127.0.0.1:{port} inet n - n - 40 smtpd
pickup    unix  n       -       n       60      1       pickup
cleanup   unix  n       -       n       -       0       cleanup
qmgr      unix  n       -       n       300     1       qmgr
tlsmgr    unix  -       -       n       1000?   1       tlsmgr
rewrite   unix  -       -       n       -       -       trivial-rewrite
bounce    unix  -       -       n       -       0       bounce
defer     unix  -       -       n       -       0       bounce
trace     unix  -       -       n       -       0       bounce
verify    unix  -       -       n       -       1       verify
flush     unix  n       -       n       1000?   0       flush
proxymap  unix  -       -       n       -       -       proxymap
proxywrite unix -       -       n       -       1       proxymap
smtp      unix  -       -       n       -       -       smtp
relay     unix  -       -       n       -       -       smtp
showq     unix  n       -       n       -       -       showq
error     unix  -       -       n       -       -       error
retry     unix  -       -       n       -       -       error
discard   unix  -       -       n       -       -       discard
virtual   unix  -       n       n       -       -       virtual
anvil     unix  -       -       n       -       1       anvil
scache    unix  -       -       n       -       1       scache
postlog   unix-dgram n  -       n       -       1       postlogd
"""

SASL = """
pwcheck_method: auxprop
auxprop_plugin: sasldb
sasldb_path: {path}
mech_list: PLAIN LOGIN
"""
