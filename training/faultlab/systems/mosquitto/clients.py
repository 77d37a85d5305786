"""The client programs of load, probes and attacks on mosquitto. Knows no server process and no fault.

Clean load and faults both use this module, so that no request betrays a fault: the same
mosquitto_pub and mosquitto_sub, one role, the same devices and topics.
"""

import random
import subprocess
from dataclasses import dataclass
from pathlib import Path

from logwarden.training.faultlab.process import Finished, Workshop

ROLE, PASSWORD = "plant", "elder-bridge-35"
LINK = "edge-link"
_CLIENT_DEADLINE_S = 25.0
# What mosquitto_sub ends with when nothing more came in its time.
_NOTHING_CAME = 27


@dataclass(frozen=True, slots=True, kw_only=True)
class MosquittoPorts:
    broker: int
    tls: int
    edge: int


class MosquittoClients:
    """The requests of load, probes and attacks: all that reach the system during a recording."""

    def __init__(self, workshop: Workshop, ports: MosquittoPorts, authority: Path) -> None:
        self._workshop = workshop
        self._authority = authority
        self.ports = ports

    def served(self) -> bool:
        """Returns True if all three listeners take a reading and the bridge between the brokers is up."""
        rng = random.Random(0)
        ports = (self.ports.edge, self.ports.tls, self.ports.broker)
        if not all(self.measure(port, rng) for port in ports):
            return False
        state = self._subscribe(self.ports.broker, rng, f"$SYS/broker/connection/{LINK}/state", "-C", "1", "-W", "3")
        return state.ok and state.output.strip() == "1"

    def measure(self, port: int, rng: random.Random, password: str = PASSWORD) -> bool:
        """Sends the reading of a meter and waits for its acknowledgement."""
        topic, reading = f"plant/meter/{rng.randint(1, 40)}", f"{rng.uniform(15, 30):.2f}"
        return self._publish(port, rng, topic, reading, "-q", "1", password=password).ok

    def burst(self, port: int, rng: random.Random) -> bool:
        """Sends several readings of a meter that was offline on one connection."""
        readings = "".join(f"{rng.uniform(15, 30):.2f}\n" for _ in range(rng.randint(2, 5)))
        topic = f"plant/meter/{rng.randint(1, 40)}"
        argv = self._argv("mosquitto_pub", port, rng, PASSWORD)
        return self._run([*argv, "-t", topic, "-q", "1", "-l"], feed=readings).ok

    def steer(self, rng: random.Random) -> bool:
        """Sets a valve; the setting is retained, so that a later subscriber receives it."""
        topic = f"control/valve/{rng.randint(1, 12)}"
        return self._publish(self.ports.broker, rng, topic, str(rng.randint(0, 100)), "-r", "-q", "2").ok

    def read_settings(self, port: int, rng: random.Random) -> bool:
        """Reads the retained settings of valves; there may be none."""
        finished = self._subscribe(port, rng, "control/valve/#", "-q", "1", "-C", str(rng.randint(1, 6)), "-W", "3")
        return finished.code in (0, _NOTHING_CAME)

    def watch(self, port: int, rng: random.Random) -> bool:
        """Subscribes for some seconds."""
        finished = self._subscribe(
            port, rng, "plant/meter/+", "-q", str(rng.randint(0, 1)), "-W", str(rng.randint(2, 4))
        )
        return finished.code in (0, _NOTHING_CAME)

    def vanish(self, rng: random.Random) -> bool:
        """Kills a subscriber with a last will, as a loss of power does."""
        argv = self._argv("mosquitto_sub", self.ports.broker, rng, PASSWORD)
        will = ("--will-topic", f"plant/panel/{rng.randint(1, 9)}", "--will-payload", "gone")
        panel = self._workshop.open([*argv, "-t", "plant/meter/+", *will])
        try:
            panel.wait(rng.uniform(2, 4))
        except subprocess.TimeoutExpired:
            return True
        finally:
            panel.kill()
            panel.wait()
        return False

    def _publish(
        self, port: int, rng: random.Random, topic: str, message: str, *options: str, password: str = PASSWORD
    ) -> Finished:
        argv = self._argv("mosquitto_pub", port, rng, password)
        return self._run([*argv, "-t", topic, "-m", message, *options])

    def _subscribe(self, port: int, rng: random.Random, topic: str, *options: str) -> Finished:
        return self._run([*self._argv("mosquitto_sub", port, rng, PASSWORD), "-t", topic, *options])

    def _run(self, argv: list[str], feed: str = "") -> Finished:
        return self._workshop.run(argv, timeout_s=_CLIENT_DEADLINE_S, feed=feed)

    def _argv(self, program: str, port: int, rng: random.Random, password: str) -> list[str]:
        # Enough names that two equal ones are rare: the broker would disconnect the first client.
        name = f"{program.removeprefix('mosquitto_')}-{rng.getrandbits(40):012d}"
        secure = ["--cafile", str(self._authority)] if port == self.ports.tls else []
        return [program, "-h", "127.0.0.1", "-p", str(port), "-u", ROLE, "-P", password, "-i", name, *secure]
