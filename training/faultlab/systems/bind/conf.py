"""The configuration and zone files of BIND, as templates. Knows neither processes nor clients.

Every server has a port of its own on 127.0.0.1. Traffic between primary and secondary uses two further addresses of the
loopback, so that the link between them can be cut while both keep their clients.
"""

# Where the primary's announcements and the secondary's requests come from.
LINK = ("127.0.0.2", "127.0.0.3")
STATIC, DYNAMIC, REVERSE = "corp.example", "lease.example", "20.10.in-addr.arpa"
ZONES = (STATIC, DYNAMIC, REVERSE)
OUTSIDE = ("example.net", "example.org")
HOSTS = 60

TRANSFER_KEY, UPDATE_KEY, CONTROL_KEY = "transfer", "dhcp", "control"
ALGORITHM = "hmac-sha256"

KEY = 'key "{name}" {{ algorithm hmac-sha256; secret "{secret}"; }};\n'

_LOGGING = """
logging {{
    channel lab {{
        file "{log}";
        severity info;
        print-time yes;
        print-category yes;
        print-severity yes;
    }};
    category default {{ lab; }};
}};
"""

_OPTIONS = """
options {{
    directory "{directory}";
    listen-on port {port} {{ 127.0.0.1; }};
    listen-on-v6 {{ none; }};
    pid-file none;
    lock-file none;
    session-keyfile none;
    geoip-directory none;
    dnssec-validation no;
    empty-zones-enable no;
    querylog yes;
    max-cache-size 8m;
    {options}
}};
"""

# Zones are announced as soon as they change: the pause of five seconds is made for thousands of zones.
PRIMARY = (
    _LOGGING
    + "{keys}"
    + _OPTIONS
    + """
controls {{ inet 127.0.0.1 port {control} allow {{ 127.0.0.1; }} keys {{ "control"; }}; }};
zone "corp.example" {{ type primary; file "corp.example.zone"; }};
zone "20.10.in-addr.arpa" {{ type primary; file "20.10.in-addr.arpa.zone"; }};
zone "lease.example" {{
    type primary;
    file "lease.example.zone";
    allow-update {{ key "dhcp"; }};
    max-journal-size 256k;
}};
"""
)
PRIMARY_OPTIONS = """
    recursion no;
    minimal-responses {minimal};
    allow-transfer {{ key "transfer"; }};
    notify explicit;
    notify-delay 1;
    notify-source 127.0.0.2;
    also-notify {{ 127.0.0.1 port {secondary}; }};
"""

SECONDARY = (
    _LOGGING
    + "{keys}"
    + _OPTIONS
    + """
controls {{ inet 127.0.0.1 port {control} allow {{ 127.0.0.1; }} keys {{ "control"; }}; }};
primaries "office" {{ 127.0.0.1 port {primary} key "transfer"; }};
zone "corp.example" {{ type secondary; file "corp.example.copy"; primaries {{ "office"; }}; }};
zone "20.10.in-addr.arpa" {{ type secondary; file "20.10.in-addr.arpa.copy"; primaries {{ "office"; }}; }};
zone "lease.example" {{ type secondary; file "lease.example.copy"; primaries {{ "office"; }}; }};
"""
)
# The limits on the timers are made for days, and a cache that keeps nothing long keeps asking the forwarder.
SECONDARY_OPTIONS = """
    recursion yes;
    allow-recursion {{ 127.0.0.1; }};
    forward only;
    forwarders {{ 127.0.0.1 port {upstream}; }};
    max-cache-ttl {cache_s};
    max-ncache-ttl {cache_s};
    transfer-source 127.0.0.3;
    allow-notify {{ 127.0.0.2; }};
    min-refresh-time 2;
    min-retry-time 1;
    max-retry-time 20;
    notify no;
"""

UPSTREAM = (
    _LOGGING
    + _OPTIONS
    + """
controls {{ }};
zone "example.net" {{ type primary; file "outside.zone"; }};
zone "example.org" {{ type primary; file "outside.zone"; }};
"""
)
UPSTREAM_OPTIONS = "recursion no; notify no;"

# An expiry of seconds, so that a secondary that is cut off gives the zone up within the time of a fault; it is longer
# than three refreshes in a row can fail when the primary is only restarted.
_HEAD = """$TTL 300
@ IN SOA ns1.corp.example. hostmaster.corp.example. ( {serial} {timers} 60 )
@ IN NS ns1.corp.example.
@ IN NS ns2.corp.example.
"""
_SLOW, _FAST = "9 3 600", "5 2 14"


def static_zone(serial: int) -> str:
    head = _HEAD.format(serial=serial, timers=_SLOW)
    rows = ["@ IN MX 10 mail", "ns1 IN A 10.20.0.1", "ns2 IN A 10.20.0.2", "mail IN A 10.20.0.3", "www IN CNAME host7"]
    rows += [f"host{n} IN A 10.20.1.{n}" for n in range(1, HOSTS + 1)]
    return head + "\n".join(rows) + "\n"


def reverse_zone(serial: int) -> str:
    rows = [f"{n}.1 IN PTR host{n}.corp.example." for n in range(1, HOSTS + 1)]
    return _HEAD.format(serial=serial, timers=_SLOW) + "\n".join(rows) + "\n"


def dynamic_zone(serial: int) -> str:
    return _HEAD.format(serial=serial, timers=_FAST)


def outside_zone() -> str:
    rows = ["@ 4 IN MX 10 mail", "mail 4 IN A 192.0.2.25", "* 4 IN A 192.0.2.80"]
    return _HEAD.format(serial=1, timers=_SLOW) + "\n".join(rows) + "\n"
