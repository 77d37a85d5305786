"""A small ZooKeeper client, and the requests that the system is loaded, probed and attacked with. Knows no server.

Clean load and faults both go through this module: the same requests, paths and user. A client that finds its node gone
goes to the next one, as every client library of ZooKeeper does.
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
# Longer than an election; a node that says nothing for so long is given up.
_ANSWER_S = 6.0

NO_NODE, NO_AUTH, BAD_VERSION, NODE_EXISTS = -101, -102, -103, -110
_CREATE, _DELETE, _EXISTS, _GET, _SET, _CHILDREN, _AUTH, _CLOSE = 1, 2, 3, 4, 5, 8, 100, -11
# Answers that nobody asked for: a watch that fired, a ping.
_WATCH_XID, _PING_XID, _AUTH_XID = -1, -2, -4
_EPHEMERAL, _SEQUENCE = 1, 2
_ALL_RIGHTS = 31
_OPEN = ("world", "anyone")
OWNED = ("auth", "")


class ZooKeeperRefused(Exception):
    """The server has answered, and the answer is no. `code` is ZooKeeper's."""

    def __init__(self, code: int) -> None:
        super().__init__(f"ZooKeeper error {code}")
        self.code = code


class ZooKeeperSession:
    """One connection with its session; every method is a request and waits for its answer.

    Raises Refused for an answer that is an error, and OSError where none comes.
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
        """Hangs up without a word, as a program does that is killed; its session ends when its time is over."""
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
        """The path that was made, which is longer than asked for with `sequence`."""
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
        """The data and its version."""
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
    """All requests that are ever made of the system while it is recorded. Nodes are told apart by their client port."""

    def __init__(self, ports: Sequence[int]) -> None:
        self.ports = tuple(ports)

    def session(self, port: int, timeout_s: float = 8.0) -> ZooKeeperSession:
        return ZooKeeperSession(port, timeout_s)

    def prepare(self) -> bool:
        """What an application finds when it is installed; True once it is there."""

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
        """What `mntr` says of a node; nothing if it does not serve."""
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), _ANSWER_S) as link:
            link.sendall(b"mntr")
            answer = b"".join(iter(lambda: link.recv(65536), b""))
            pairs = (line.split("\t", 1) for line in answer.decode(errors="replace").splitlines())
            return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}
        return {}

    def leader(self) -> int | None:
        """The client port of the leader."""
        return next((port for port in self.ports if self.state(port).get("zk_server_state") == "leader"), None)

    def joined(self) -> bool:
        """Every node serves, and the leader has the others in step."""
        states = [self.state(port) for port in self.ports]
        roles = sorted(state.get("zk_server_state", "") for state in states)
        in_step = [state.get("zk_synced_followers") for state in states if "zk_synced_followers" in state]
        whole = roles == ["follower"] * (len(states) - 1) + ["leader"] and in_step == [str(len(states) - 1)]
        return whole and all(self.look_up(port, 0) for port in self.ports)

    def watch(self, rng: random.Random, port: int) -> bool:
        """A monitor of one node: its numbers, and one look at a key."""
        return bool(self.state(port)) and self.look_up(port, rng.randrange(SETTINGS + 2))

    def look_up(self, port: int, number: int) -> bool:
        """Asks one node for a setting; that there may be none of this number is an answer too."""
        try:
            with self.session(port) as session:
                if session.exists(f"/settings/{number}"):
                    session.get(f"/settings/{number}")
        except (OSError, ZooKeeperRefused):
            return False
        return True

    def work(self, rng: random.Random) -> bool:
        """A worker enters itself in the list of workers and reports for a while. Some are killed and never sign off."""

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
        """Changes a setting, unless somebody else was faster."""

        def act(session: ZooKeeperSession) -> None:
            path = f"/settings/{rng.randrange(SETTINGS)}"
            _, version = session.get(path)
            time.sleep(rng.uniform(0.1, 0.5))
            outdated = 1 if rng.random() < 0.1 and version else 0
            with _unless(BAD_VERSION):
                session.set(path, b"%d" % rng.randrange(10**6), version - outdated)

        return self._anywhere(rng, act)

    def queue(self, rng: random.Random) -> bool:
        """Puts something into the queue and takes out what is oldest."""

        def act(session: ZooKeeperSession) -> None:
            session.create("/queue/item-", rng.randbytes(rng.randint(100, 900)), sequence=True)
            oldest = min(session.children("/queue"))
            with _unless(NO_NODE):
                session.get(f"/queue/{oldest}")
                session.delete(f"/queue/{oldest}")

        return self._anywhere(rng, act)

    def lock(self, rng: random.Random) -> bool:
        """Takes a lock for a moment; goes away again if somebody has it."""

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
        """Does `act` with the first node that serves, and begins again with the next one where that breaks off."""
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
    """Takes one refusal for an answer that a sound program knows what to do with."""
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
    """The bytes that begin at `at` with their length, and where they end. No bytes at all have the length -1."""
    end = at + 4 + max(0, struct.unpack_from(">i", answer, at)[0])
    return answer[at + 4 : end], end
