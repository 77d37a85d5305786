"""The configuration and the first entries of OpenLDAP, as templates. Knows neither processes nor clients."""

SUFFIX = "dc=lab,dc=example"
CONFIG_ROOT = "cn=config"
REPLICATOR = f"cn=replicator,ou=services,{SUFFIX}"
PEOPLE, ASSETS = f"ou=people,{SUFFIX}", f"ou=assets,{SUFFIX}"
USERS, GROUPS = 40, 6
PASSWORD = "pear-lantern-{number}"
SERVICE_PASSWORD = "quiet-harbour-7"
SERVICE = f"cn=inventory,ou=services,{SUFFIX}"

_COMMON = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload syncprov
pidfile {home}/slapd.pid
argsfile {home}/slapd.args
threads 4
conn_max_pending 100
idletimeout {idle_s}
sizelimit 100
{mistake}
database config
rootpw quiet-harbour-7
database mdb
suffix "dc=lab,dc=example"
rootdn "cn=admin,dc=lab,dc=example"
rootpw quiet-harbour-7
directory {store}
maxsize {map_bytes}
index objectClass eq
index uid,cn,mail eq
index entryCSN,entryUUID eq
checkpoint 64 1
"""

# Every client may read all but secrets; only the inventory may write, and only assets; people change their own number.
_ACCESS = """
access to attrs=userPassword
    by dn.exact="cn=replicator,ou=services,dc=lab,dc=example" read
    by self write
    by anonymous auth
    by * none
access to dn.subtree="ou=assets,dc=lab,dc=example"
    by dn.exact="cn=inventory,ou=services,dc=lab,dc=example" write
    by * read
access to attrs=telephoneNumber
    by self write
    by * read
access to *
    by * read
"""

PROVIDER = (
    _COMMON
    + _ACCESS
    + """
limits dn.exact="cn=replicator,ou=services,dc=lab,dc=example" size=unlimited time=unlimited
overlay syncprov
syncprov-checkpoint 100 1
syncprov-sessionlog 200
"""
)

# Keepalive and time-outs of seconds, so that a lost link is noticed within the time of a fault.
REPLICA = (
    _COMMON
    + """
syncrepl rid=101
    provider=ldap://127.0.0.1:{link}
    type=refreshAndPersist
    retry="3 +"
    keepalive=3:2:2
    network-timeout=3
    timeout=5
    bindmethod=simple
    binddn="cn=replicator,ou=services,dc=lab,dc=example"
    credentials=quiet-harbour-7
    searchbase="dc=lab,dc=example"
    schemachecking=on
updateref ldap://127.0.0.1:{provider}
"""
    + _ACCESS
)


def first_entries() -> str:
    entries = [
        [f"dn: {SUFFIX}", "objectClass: dcObject", "objectClass: organization", "o: Lab", "dc: lab"],
        *([f"dn: ou={name},{SUFFIX}", "objectClass: organizationalUnit", f"ou: {name}"]
          for name in ("people", "groups", "assets", "services")),
        *(["dn: " + dn, "objectClass: organizationalRole", "objectClass: simpleSecurityObject",
           "cn: " + dn.partition(",")[0].removeprefix("cn="), f"userPassword: {SERVICE_PASSWORD}"]
          for dn in (REPLICATOR, SERVICE)),
        *(person(number) for number in range(1, USERS + 1)),
        *([f"dn: cn=team{number},ou=groups,{SUFFIX}", "objectClass: groupOfNames", f"cn: team{number}",
           *(f"member: uid=user{user},{PEOPLE}" for user in range(number, USERS + 1, GROUPS))]
          for number in range(1, GROUPS + 1)),
        asset(0, ""),
    ]  # fmt: skip
    return "\n\n".join("\n".join(entry) for entry in entries) + "\n"


def person(number: int) -> list[str]:
    return [
        f"dn: uid=user{number},{PEOPLE}",
        "objectClass: inetOrgPerson",
        f"uid: user{number}",
        f"cn: User {number}",
        f"sn: {number}",
        f"mail: user{number}@lab.example",
        f"telephoneNumber: +49 30 {number:04d}",
        f"userPassword: {PASSWORD.format(number=number)}",
    ]


def asset(number: int, note: str) -> list[str]:
    rows = [
        f"dn: cn=asset{number},{ASSETS}",
        "objectClass: device",
        f"cn: asset{number}",
        f"serialNumber: {number:06d}",
    ]
    return rows + ([f"description: {note}"] if note else [])
