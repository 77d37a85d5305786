"""The configuration files of a ZooKeeper node, as templates. Knows neither processes nor clients."""

from collections.abc import Sequence
from pathlib import Path

# Time-outs are short, so that an election takes seconds, and snapshots come every half minute and not every day. The
# audit log is on because without it a healthy server logs almost nothing. One address may hold 30 connections: three
# times what the load spike opens. The log is allocated in steps of 64 kB, so that a full disk is noticed at once.
# Transactions have a directory of their own, as the manual wants it: with everything on a full disk a node cannot even
# note the epoch, and tries to join forty times a second.
SERVER = """
tickTime=1000
initLimit=12
syncLimit=6
dataDir={data}
dataLogDir={journal}
clientPort={client}
clientPortAddress=127.0.0.1
admin.enableServer=false
4lw.commands.whitelist=srvr,mntr,ruok,stat
maxClientCnxns={connections}
maxSessionTimeout=20000
snapCount=250
preAllocSize=64
audit.enable=true
"""

# Debian's own level and layout of a line. Of a stack trace the first three lines: peers that cannot reach each other
# write dozens a minute, and a fault would be a matter of counting lines.
LOGGING = """
log4j.rootLogger=INFO, CONSOLE
log4j.appender.CONSOLE=org.apache.log4j.ConsoleAppender
log4j.appender.CONSOLE.layout=org.apache.log4j.EnhancedPatternLayout
log4j.appender.CONSOLE.layout.ConversionPattern=%d{ISO8601} - %-5p [%t:%C{1}@%L] - %m%n%throwable{3}
"""

# What an operator gets wrong by hand: a unit where only a number may stand, a peer without its election port.
MISTAKES = (("tickTime=1000", "tickTime=1s"), (":{election}\n", "\n"))


def server(data: Path, journal: Path, client: int, connections: int, peers: Sequence[tuple[int, int]]) -> str:
    """zoo.cfg of one node; `peers` are the quorum and election ports of all nodes, the first called 1."""
    lines = [f"server.{number}=127.0.0.1:{quorum}:{election}\n" for number, (quorum, election) in enumerate(peers, 1)]
    text = SERVER.format(data=data, journal=journal, client=client, connections=connections).lstrip()
    return text + "".join(lines)
