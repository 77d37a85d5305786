"""A small ZooKeeper client, and the requests of load, probes and attacks. Knows no server process.

Clean load and faults both use this module: the same requests, paths and user. A client whose node does not answer
connects to the next one, as every client library of ZooKeeper does.
"""

import contextlib
import itertools
import random
import socket
import struct
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

USER = "app"
PASSWORD = "pear-lantern-42"
SETTINGS = 12
SECRETS = 6
_LOCKS = 3
_DEADLINE_S = 22.0
# Longer than an election; a client leaves a node that is silent for longer.
_ANSWER_S = 6.0

NO_NODE, NO_AUTH, BAD_VERSION, NODE_EXISTS = -101, -102, -103, -110
_CREATE, _DELETE, _EXISTS, _GET, _SET, _CHILDREN, _AUTH, _CLOSE = 1, 2, 3, 4, 5, 8, 100, -11
# Answers without a request: a watch that fired, a ping.
_WATCH_XID, _PING_XID, _AUTH_XID = -1, -2, -4
_EPHEMERAL, _SEQUENCE = 1, 2
_ALL_RIGHTS = 31
_OPEN = ("world", "anyone")
OWNED = ("auth", "")


class ZooKeeperRefused(Exception):
    """The server has refused the request. `code` is ZooKeeper's."""

    def __init__(self, code: int) -> None:
        super().__init__(f"ZooKeeper error {code}")
        self.code = code


class ZooKeeperSession:
    """One connection with its session; every method is a request and waits for its answer.

    Raises ZooKeeperRefused for an answer that is an error, and OSError if there is none.
    """

    def __init__(self, port: int, timeout_s: float) -> None:
        self._xids = itertools.count(1)
        self._socket = socket.create_connection(("127.0.0.1", port), _ANSWER_S)
        try:
            # Protocol 0, nothing seen yet, no earlier session to take up, not content with reading alone.
            self._send(struct.pack(">iqiq", 0, 0, int(timeout_s * 1000), 0) + _buffer(bytes(16)) + b"\0")
            self._receive()
        except OSError:
            self._socket.close()
            raise

    def __enter__(self) -> "ZooKeeperSession":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if kind is None or issubclass(kind, ZooKeeperRefused):
            self.close()
        else:
            self.vanish()

    def close(self) -> None:
        if self._socket.fileno() >= 0:
            with contextlib.suppress(OSError):
                self._ask(_CLOSE, b"")
            self._socket.close()

    def vanish(self) -> None:
        """Closes the connection without ending the session, as a killed program does; the session times out."""
        self._socket.close()

    def log_in(self, password: str = PASSWORD) -> None:
        self._ask(_AUTH, struct.pack(">i", 0) + _text("digest") + _text(f"{USER}:{password}"), xid=_AUTH_XID)

    def create(
        self,
        path: str,
        data: bytes = b"",
        *,
        ephemeral: bool = False,
        sequence: bool = False,
        owner: tuple[str, str] = _OPEN,
    ) -> str:
        """Returns the path of the new node; with `sequence` it has a suffix."""
        rights = struct.pack(">ii", 1, _ALL_RIGHTS) + _text(owner[0]) + _text(owner[1])
        flags = struct.pack(">i", ephemeral * _EPHEMERAL + sequence * _SEQUENCE)
        return _opaque(self._ask(_CREATE, _text(path) + _buffer(data) + rights + flags), 0)[0].decode()

    def delete(self, path: str) -> None:
        self._ask(_DELETE, _text(path) + struct.pack(">i", -1))

    def exists(self, path: str) -> bool:
        try:
            self._ask(_EXISTS, _text(path) + b"\0")
        except ZooKeeperRefused as error:
            if error.code == NO_NODE:
                return False
            raise
        return True

    def get(self, path: str) -> tuple[bytes, int]:
        """Returns the data and its version."""
        answer = self._ask(_GET, _text(path) + b"\0")
        data, end = _opaque(answer, 0)
        # The version comes after four numbers of eight bytes.
        return data, struct.unpack_from(">i", answer, end + 32)[0]

    def set(self, path: str, data: bytes, version: int = -1) -> None:
        self._ask(_SET, _text(path) + _buffer(data) + struct.pack(">i", version))

    def children(self, path: str) -> list[str]:
        answer = self._ask(_CHILDREN, _text(path) + b"\0")
        names, at = [], 4
        for _ in range(struct.unpack_from(">i", answer)[0]):
            name, at = _opaque(answer, at)
            names.append(name.decode())
        return names

    def _ask(self, kind: int, body: bytes, xid: int | None = None) -> bytes:
        self._send(struct.pack(">ii", next(self._xids) if xid is None else xid, kind) + body)
        while True:
            answer = self._receive()
            number, _, error = struct.unpack_from(">iqi", answer)
            if number in (_WATCH_XID, _PING_XID):
                continue
            if error:
                raise ZooKeeperRefused(error)
            return answer[16:]

    def _send(self, body: bytes) -> None:
        self._socket.sendall(_buffer(body))

    def _receive(self) -> bytes:
        return self._exactly(struct.unpack(">i", self._exactly(4))[0])

    def _exactly(self, size: int) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            part = self._socket.recv(size - len(parts))
            if not part:
                raise ConnectionResetError("the server hung up")
            parts += part
        return bytes(parts)


class ZooKeeperClients:
    """The requests of load, probes and attacks. Nodes are named by their client port."""

    def __init__(self, ports: Sequence[int]) -> None:
        self.ports = tuple(ports)

    def session(self, port: int, timeout_s: float = 8.0) -> ZooKeeperSession:
        return ZooKeeperSession(port, timeout_s)

    def prepare(self) -> bool:
        """Creates the paths of the application; returns True once they exist."""

        def install(session: ZooKeeperSession) -> None:
            session.log_in()
            for path in ("/settings", "/workers", "/locks", "/queue", "/vault"):
                _make(session, path)
            for number in range(SETTINGS):
                _make(session, f"/settings/{number}", b"on")
            for number in range(SECRETS):
                _make(session, f"/vault/{number}", b"sealed", owner=OWNED)

        return self._anywhere(random.Random(0), install)

    def state(self, port: int) -> Mapping[str, str]:
        """Returns the answer of a node to `mntr`; empty if it does not serve."""
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), _ANSWER_S) as link:
            link.sendall(b"mntr")
            answer = b"".join(iter(lambda: link.recv(65536), b""))
            pairs = (line.split("\t", 1) for line in answer.decode(errors="replace").splitlines())
            return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}
        return {}

    def leader(self) -> int | None:
        """Returns the client port of the leader."""
        return next((port for port in self.ports if self.state(port).get("zk_server_state") == "leader"), None)

    def joined(self) -> bool:
        """Returns True if every node serves and the leader counts the others in step."""
        states = [self.state(port) for port in self.ports]
        roles = sorted(state.get("zk_server_state", "") for state in states)
        in_step = [state.get("zk_synced_followers") for state in states if "zk_synced_followers" in state]
        whole = roles == ["follower"] * (len(states) - 1) + ["leader"] and in_step == [str(len(states) - 1)]
        return whole and all(self.look_up(port, 0) for port in self.ports)

    def watch(self, rng: random.Random, port: int) -> bool:
        """Reads the numbers of one node and one key, as a monitor does."""
        return bool(self.state(port)) and self.look_up(port, rng.randrange(SETTINGS + 2))

    def look_up(self, port: int, number: int) -> bool:
        """Reads a setting from one node; the answer that it does not exist counts as served."""
        try:
            with self.session(port) as session:
                if session.exists(f"/settings/{number}"):
                    session.get(f"/settings/{number}")
        except (OSError, ZooKeeperRefused):
            return False
        return True

    def work(self, rng: random.Random) -> bool:
        """Registers a worker and reports for a while. Some workers are killed and never sign off."""

        def act(session: ZooKeeperSession) -> None:
            own = session.create("/workers/worker-", b"idle", ephemeral=True, sequence=True)
            for _ in range(rng.randint(1, 3)):
                time.sleep(rng.uniform(0.3, 1.0))
                session.set(own, b"busy %d" % rng.randrange(100))
            session.children("/workers")
            if rng.random() < 0.1:
                session.vanish()

        return self._anywhere(rng, act)

    def configure(self, rng: random.Random) -> bool:
        """Changes a setting, unless another client was faster."""

        def act(session: ZooKeeperSession) -> None:
            path = f"/settings/{rng.randrange(SETTINGS)}"
            _, version = session.get(path)
            time.sleep(rng.uniform(0.1, 0.5))
            outdated = 1 if rng.random() < 0.1 and version else 0
            with _unless(BAD_VERSION):
                session.set(path, b"%d" % rng.randrange(10**6), version - outdated)

        return self._anywhere(rng, act)

    def queue(self, rng: random.Random) -> bool:
        """Puts an element into the queue and takes the oldest one out."""

        def act(session: ZooKeeperSession) -> None:
            session.create("/queue/item-", rng.randbytes(rng.randint(100, 900)), sequence=True)
            oldest = min(session.children("/queue"))
            with _unless(NO_NODE):
                session.get(f"/queue/{oldest}")
                session.delete(f"/queue/{oldest}")

        return self._anywhere(rng, act)

    def lock(self, rng: random.Random) -> bool:
        """Takes a lock for a moment; leaves if another client has it."""

        def act(session: ZooKeeperSession) -> None:
            path = f"/locks/{rng.randrange(_LOCKS)}"
            with _unless(NODE_EXISTS):
                session.create(path, ephemeral=True)
                time.sleep(rng.uniform(0.4, 1.2))
                session.delete(path)

        return self._anywhere(rng, act)

    def vault(self, rng: random.Random, password: str = PASSWORD) -> bool:
        """Changes a node that belongs to one user alone."""

        def act(session: ZooKeeperSession) -> None:
            session.log_in(password)
            path = f"/vault/{rng.randrange(SECRETS)}"
            if rng.random() < 0.5:
                session.get(path)
            session.set(path, rng.randbytes(24).hex().encode())

        return self._anywhere(rng, act)

    def _anywhere(self, rng: random.Random, act: Callable[[ZooKeeperSession], None]) -> bool:
        """Runs `act` on the first node that serves, and again on the next one if the connection breaks."""
        deadline = time.monotonic() + _DEADLINE_S
        for port in itertools.cycle(rng.sample(self.ports, len(self.ports))):
            try:
                with self.session(port) as session:
                    act(session)
                return True
            except ZooKeeperRefused:
                return False
            except OSError:
                if time.monotonic() > deadline:
                    return False
            time.sleep(rng.uniform(0.4, 0.9))
        return False


@contextlib.contextmanager
def _unless(code: int) -> Iterator[None]:
    """Ignores one error code within the block."""
    try:
        yield
    except ZooKeeperRefused as error:
        if error.code != code:
            raise


def _make(session: ZooKeeperSession, path: str, data: bytes = b"", owner: tuple[str, str] = _OPEN) -> None:
    with _unless(NODE_EXISTS):
        session.create(path, data, owner=owner)


def _text(text: str) -> bytes:
    return _buffer(text.encode())


def _buffer(data: bytes) -> bytes:
    return struct.pack(">i", len(data)) + data


def _opaque(answer: bytes, at: int) -> tuple[bytes, int]:
    """Returns the bytes at `at`, which begin with their length, and the place behind them. The length -1 means none."""
    end = at + 4 + max(0, struct.unpack_from(">i", answer, at)[0])
    return answer[at + 4 : end], end
