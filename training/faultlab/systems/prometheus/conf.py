"""The configuration files of all servers, as templates. Knows neither processes nor clients."""

# Scrapes and evaluations come every few seconds, so that minutes contain many of each.
PROMETHEUS = """
global:
  scrape_interval: 3s
  scrape_timeout: 2900ms
  evaluation_interval: {evaluation_s}s
  query_log_file: {root}/logs/queries.log
rule_files:
  - {root}/rules.yml
alerting:
  alertmanagers:
    - timeout: 3s
      static_configs:
        - targets: ["127.0.0.1:{alertmanager}"]
scrape_configs:
  - job_name: prometheus
    static_configs:
      - targets: ["127.0.0.1:{prometheus}"]
  - job_name: alertmanager
    static_configs:
      - targets: ["127.0.0.1:{alertmanager}"]
  - job_name: shop
    basic_auth:
      username: scraper
      password: {password}
    static_configs:
      - targets: ["127.0.0.1:{exporter}"]
"""

RULES = """
groups:
  - name: shop
    rules:
      - record: shop:queue:average
        expr: avg_over_time(shop_queue_length[30s])
      - alert: QueueLong
        expr: shop_queue_length > 80
        labels: {{severity: warning}}
      - alert: OrdersSlow
        expr: shop_order_seconds > 2
        for: 3s
        labels: {{severity: page}}
{more}
"""

MORE_RULES = """
      - record: shop:queue:{number}
        expr: max_over_time(shop_queue_length[{number}s])
"""

# A rule file, and the same with a mistake.
MISTAKES = (
    ("avg_over_time(", "avg_over_tme("),
    ("for: 3s", "for: 3sec"),
    ("expr: shop_queue_length", "exp: shop_queue_length"),
    ("[30s]", "[30s"),
)

ALERTMANAGER = """
route:
  receiver: shop
  group_by: [alertname]
  group_wait: 1s
  group_interval: {group_s}s
  repeat_interval: 20s
receivers:
  - name: shop
    webhook_configs:
      - url: http://127.0.0.1:{receiver}/notify
"""

EXPORTER = """
basic_auth_users:
  scraper: {digest}
"""

RECEIVER = """
daemon off;
worker_processes 1;
pid {root}/receiver.pid;
error_log stderr crit;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {root}/receiver/body;
    proxy_temp_path {root}/receiver/proxy;
    fastcgi_temp_path {root}/receiver/fastcgi;
    uwsgi_temp_path {root}/receiver/uwsgi;
    scgi_temp_path {root}/receiver/scgi;
    server {{
        listen 127.0.0.1:{receiver};
        location / {{ return {status}; }}
    }}
}}
"""
