"""The configuration files of nginx and HAProxy, as templates, and the certificates. Knows no server and no client."""

from pathlib import Path

from logwarden.training.faultlab.process import Workshop

# Uploads larger than the buffer go through a file on the small disk. Time-outs are cut to fit a run of minutes.
NGINX = """
daemon off;
worker_processes 2;
pid {root}/nginx.pid;
error_log {root}/logs/nginx-error.log info;
events {{
    worker_connections 128;
}}
http {{
    access_log {root}/logs/nginx-access.log combined;
    log_not_found off;
    keepalive_timeout {keepalive_s}s;
    client_body_temp_path {disk}/body;
    client_body_buffer_size 16k;
    client_max_body_size 1m;
    proxy_temp_path {root}/nginx/proxy;
    fastcgi_temp_path {root}/nginx/fastcgi;
    uwsgi_temp_path {root}/nginx/uwsgi;
    scgi_temp_path {root}/nginx/scgi;
    server {{
        listen 127.0.0.1:{nginx} ssl;
        ssl_certificate {root}/tls/server.crt;
        ssl_certificate_key {root}/tls/server.key;
        location / {{
            proxy_pass http://127.0.0.1:{haproxy};
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_connect_timeout 4s;
            proxy_read_timeout 12s;
        }}
        location /static/ {{
            root {root};
        }}
    }}
}}
"""

# What an operator mistypes: a directive, a missing semicolon, the name of a file.
NGINX_MISTAKES = (
    ("proxy_read_timeout", "proxy_read_timout"),
    ("client_max_body_size 1m;", "client_max_body_size 1m"),
    ("worker_connections 128;", "worker_connection 128;"),
    ("tls/server.crt", "tls/server.cert"),
)

HAPROXY = """
global
    log stdout format iso local0 info
    stats socket {root}/haproxy.sock mode 600 level admin
    maxconn 200
defaults
    mode http
    log global
    option httplog
    option log-health-checks
    option redispatch
    retries 2
    timeout connect 2s
    timeout client 15s
    timeout server 8s
    timeout queue 5s
    timeout check 3s
frontend web
    bind 127.0.0.1:{haproxy}
    default_backend shop
backend shop
    balance roundrobin
    option httpchk GET /health
    default-server inter 2s fall 2 rise 2
    server shop-a 127.0.0.1:{a} check
    server shop-b 127.0.0.1:{b} check
"""


def certify(workshop: Workshop, tls: Path) -> None:
    """Writes into `tls` an authority that the clients trust and two certificates of it, one valid, one expired."""
    elliptic = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    authority, key, request, names = tls / "ca.crt", tls / "ca.key", tls / "server.csr", tls / "names"
    names.write_text("subjectAltName=IP:127.0.0.1\n")

    def openssl(*arguments: str | Path) -> None:
        workshop.must(["openssl", *map(str, arguments)])

    openssl("req", "-x509", *elliptic, "-keyout", key, "-out", authority, "-days", "30", "-subj", "/CN=Shop CA")
    openssl("req", *elliptic, "-keyout", tls / "server.key", "-out", request, "-subj", "/CN=shop")
    for name, days in (("valid", "20"), ("expired", "-1")):
        openssl(
            *("x509", "-req", "-in", request, "-CA", authority, "-CAkey", key, "-set_serial", "7"),
            *("-days", days, "-extfile", names, "-out", tls / f"{name}.crt"),
        )
