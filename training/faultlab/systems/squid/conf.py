"""The configuration files of squid and apache, as templates. Knows neither processes nor clients."""

# Credentials expire soon and objects go to the disk soon, so that minutes contain both. A quarter
# of the descriptors is squid's own reserve. Small buffers, as on a real line: those of the loopback would take a whole
# download at once.
SQUID = """
http_port 127.0.0.1:{squid}
pid_filename {root}/squid/squid.pid
coredump_dir {root}/squid
visible_hostname proxy.example
cache_log {root}/logs/squid-cache.log
access_log stdio:{root}/logs/squid-access.log combined
logfile_rotate 0
hosts_file {root}/squid/hosts
dns_nameservers 127.0.0.1
pinger_enable off
netdb_filename none
cache_mem 2 MB
maximum_object_size_in_memory 8 KB
cache_dir ufs {disk}/cache 16 4 16
max_filedescriptors 80
tcp_recv_bufsize 32 KB
shutdown_lifetime 2 seconds
auth_param basic program /usr/lib/squid/basic_ncsa_auth {root}/squid/users
auth_param basic children 3 startup=1 idle=1
auth_param basic realm proxy
auth_param basic credentialsttl 10 seconds
acl staff proxy_auth REQUIRED
acl advertising dstdomain ads.example
acl removal method PURGE
http_access deny advertising
http_access allow removal staff
http_access allow staff
http_access deny all
cache_peer 127.0.0.1 parent {apache} 0 no-query originserver no-digest no-netdb-exchange login=PASSTHRU name=intranet
cache_peer_access intranet allow all
never_direct allow all
peer_connect_timeout 3 seconds
connect_timeout {connect_s} seconds
read_timeout 6 seconds
forward_timeout 8 seconds
"""

# What an operator mistypes. Squid ends at a list or a type that it does not know; a peer of no known kind it takes for
# a sibling, and then has none to ask.
SQUID_MISTAKES = (
    ("deny advertising", "deny advertisng"),
    ("advertising dstdomain", "advertising dst_domain"),
    ("parent {apache}", "parnet {apache}"),
)

APACHE = """
ServerRoot {root}/apache
ServerName intranet.example
PidFile {root}/apache/httpd.pid
DefaultRuntimeDir {root}/apache
Listen 127.0.0.1:{apache}
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authn_core_module {modules}/mod_authn_core.so
LoadModule authn_file_module {modules}/mod_authn_file.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule authz_user_module {modules}/mod_authz_user.so
LoadModule auth_basic_module {modules}/mod_auth_basic.so
LoadModule mime_module {modules}/mod_mime.so
LoadModule headers_module {modules}/mod_headers.so
LoadModule dir_module {modules}/mod_dir.so
TypesConfig {root}/apache/mime.types
StartServers 1
ServerLimit 2
ThreadsPerChild 12
MaxRequestWorkers 24
MinSpareThreads 2
MaxSpareThreads 24
KeepAliveTimeout {keepalive_s}
Timeout 15
LogLevel info
ErrorLog {root}/logs/apache-error.log
LogFormat "%h %l %u %t \\"%r\\" %>s %b \\"%{{Referer}}i\\" \\"%{{User-Agent}}i\\"" combined
CustomLog {root}/logs/apache-access.log combined
DocumentRoot {root}/site
<Directory {root}/site>
    Require all granted
</Directory>
<Location /news>
    Header set Cache-Control "max-age=3"
</Location>
<Location /reports>
    AuthType Basic
    AuthName reports
    AuthUserFile {root}/apache/users
    Require valid-user
</Location>
"""
