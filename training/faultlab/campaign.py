"""Records many runs at the same time, each in a process and a network of its own. Knows neither systems nor labels.

A run that exists already is not recorded again, so an interrupted campaign continues. The runs of one system follow
each other, so that their order is an order in time."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from logwarden.training.faultlab.recording import MANIFEST

# An invalid run or a busy machine deserves another try; a broken system does not deserve many.
TRIES = 3
_END_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One run to be recorded."""

    system: str
    repetition: int
    arguments: tuple[str, ...]
    """For the program that records one run, without the directory."""
    directory: Path

    @property
    def name(self) -> str:
        return f"{self.system}/{self.repetition}"

    @property
    def there(self) -> bool:
        return (self.directory / MANIFEST).exists()


Listener = Callable[[Job, str], None]


class Campaign:
    """Records `jobs`, at most `lanes` at a time.

    `listen` is called, from several threads, with every message of a run.
    """

    def __init__(self, jobs: Sequence[Job], lanes: int, listen: Listener) -> None:
        self._waiting = [job for job in jobs if not job.there]
        self._lanes = lanes
        self._listen = listen
        self._lock = threading.Lock()
        self._running: list[subprocess.Popen[str]] = []
        self._stopping = False

    def record(self) -> list[Job]:
        """Records all jobs and returns those without a recording."""
        failed: list[Job] = []
        busy: dict[Future[bool], Job] = {}
        with ThreadPoolExecutor(self._lanes) as pool, self._ended():
            while self._waiting or busy:
                while len(busy) < self._lanes and (job := self._next({job.system for job in busy.values()})):
                    busy[pool.submit(self._run, job)] = job
                done, _ = wait(busy, return_when=FIRST_COMPLETED)
                for future in done:
                    job = busy.pop(future)
                    if not future.result():
                        failed.append(job)
        return failed

    def _next(self, systems: set[str]) -> Job | None:
        for job in self._waiting:
            if job.system not in systems:
                self._waiting.remove(job)
                return job
        return None

    def _run(self, job: Job) -> bool:
        program = [
            sys.executable,
            "-P",
            "-m",
            "logwarden.training.faultlab",
        ]  # this very package, wherever the user stands
        command = [*program, "run", job.system, "--out", str(job.directory)]
        for _ in range(TRIES):
            with self._lock:
                if self._stopping:
                    return False
                run = subprocess.Popen(
                    [*command, *job.arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                )
                self._running.append(run)
            with run:
                assert run.stdout is not None
                for line in run.stdout:
                    self._listen(job, line.rstrip())
            if run.returncode == 0:
                return True
        return False

    @contextmanager
    def _ended(self) -> Iterator[None]:
        """Ends the runs if the campaign ends by an exception; each run then ends its own servers."""
        try:
            yield
        except BaseException:
            with self._lock:
                self._stopping = True
                for run in self._running:
                    run.terminate()
            for run in self._running:
                run.wait(_END_S)
            raise
