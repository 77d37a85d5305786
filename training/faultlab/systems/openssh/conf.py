"""The configuration files of OpenSSH's server and client and of the accounts, as templates. Knows no process.

The accounts exist in the mount namespace of the servers alone; those of the machine do not change.
"""

# Verbose on purpose: the default level logs little more than logins. A client that is silent for six to nine seconds is
# disconnected, so that a cut of fifteen seconds is noticed; a login prompt may wait for twenty.
SERVER = """
Port {port}
ListenAddress 127.0.0.1
HostKey {host_key}
PidFile none
LogLevel VERBOSE
UsePAM no
UseDNS no
PermitRootLogin no
StrictModes yes
AuthorizedKeysFile .ssh/authorized_keys
KbdInteractiveAuthentication no
PasswordAuthentication yes
X11Forwarding no
PrintMotd no
PrintLastLog no
LoginGraceTime 20
MaxStartups 24:60:34
MaxSessions {max_sessions}
ClientAliveInterval 2
ClientAliveCountMax 2
Subsystem sftp /usr/lib/openssh/sftp-server -e -l VERBOSE 2>>{sftp_log}
"""

# One exchange of keys is as good as another here, and this one costs half as much time as the default.
CLIENT = """
Host front
  HostName 127.0.0.1
  Port {front}
  HostKeyAlias front
Host vault
  HostName 127.0.0.1
  Port {vault}
  HostKeyAlias vault
Host *
  UserKnownHostsFile {known_hosts}
  GlobalKnownHostsFile /dev/null
  StrictHostKeyChecking yes
  UpdateHostKeys no
  IdentitiesOnly yes
  KexAlgorithms curve25519-sha256
  IdentityAgent none
  NumberOfPasswordPrompts 1
  ConnectTimeout 20
  ServerAliveInterval 5
  ServerAliveCountMax 3
  LogLevel ERROR
"""

# SHA-512 of `clients.PASSWORD`, cheap enough for a guess or two a second.
_SHADOW = "$6$lanternfruit$R7cnx7vdezpQVhM.DKV6fqBjlBSsFWLFWTkz6CVwr7fj0lfm1tCkyQ9O6avz3HdLTd1uKmmt3/dHxsHB5F6L//"

# Runs a server with its own accounts, its own /run (where Debian's sshd wants a directory) and its own /var/log (where
# failed logins would be noted). The pairs of paths come first, then two dashes, then the server.
PRIVATELY = 'while [ "$1" != -- ]; do mount --bind "$1" "$2" || exit; shift 2; done; shift; exec "$@"'


def passwd(homes: str, uids: dict[str, int]) -> str:
    """Returns the accounts: root and sshd as everywhere, and users with a home below `homes`."""
    system = ["root:x:0:0:root:/root:/bin/sh", "sshd:x:65533:65534::/run/sshd:/usr/sbin/nologin"]
    people = [f"{name}:x:{uid}:{uid}:{name}:{homes}/{name}:/bin/sh" for name, uid in uids.items()]
    return "\n".join(system + people) + "\n"


def shadow(people: list[str]) -> str:
    system = ["root:*:20000:0:99999:7:::", "sshd:*:20000:0:99999:7:::"]
    return "\n".join(system + [f"{name}:{_SHADOW}:20000:0:99999:7:::" for name in people]) + "\n"
