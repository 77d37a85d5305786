"""Keeps what took minutes to compute, so that a benchmark that was interrupted goes on where it stopped.

A result is kept under its name and a stamp of everything that it depends on. One with another stamp is computed again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Arrays = Mapping[str, npt.NDArray[Any]]


class Cache:
    """A folder of results; None keeps nothing."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    def has(self, name: str, stamp: str) -> bool:
        """Returns True if arrays are kept under a name and stamp."""
        return self._folder is not None and (self._folder / f"{name}.{stamp}.npz").exists()

    def arrays(self, name: str, stamp: str, make: Callable[[], Arrays]) -> Arrays:
        """Returns the arrays kept under a name and stamp, or makes and keeps them."""
        if self._folder is None:
            return make()
        path = self._folder / f"{name}.{stamp}.npz"
        if not path.exists():
            found = make()
            with _replacing(path).open("wb") as out:
                np.savez(out, allow_pickle=False, **found)
            self._settle(path, name)
        with np.load(path) as stored:
            return {key: stored[key] for key in stored.files}

    def values(self, name: str, stamp: str, make: Callable[[], Any]) -> Any:
        """Returns the plain values kept under a name and stamp, or makes and keeps them."""
        if self._folder is None:
            return json.loads(json.dumps(make()))
        path = self._folder / f"{name}.{stamp}.json"
        if not path.exists():
            _replacing(path).write_text(json.dumps(make()), encoding="utf-8")
            self._settle(path, name)
        return json.loads(path.read_text(encoding="utf-8"))

    def _settle(self, path: Path, name: str) -> None:
        """Gives a finished file its name, and removes results of the same name with another stamp."""
        assert self._folder is not None
        _replacing(path).replace(path)
        for old in self._folder.glob(f"{name}.????????????{path.suffix}"):
            if old != path:
                old.unlink()


def stamp_of(parts: Iterable[Path | str]) -> str:
    """Returns twelve letters that change with the bytes of the files, the files below the folders, or the words."""
    digest = hashlib.blake2b(digest_size=6)
    for part in parts:
        if isinstance(part, str):
            digest.update(part.encode())
            continue
        for path in sorted(p for p in part.rglob("*") if p.is_file()) if part.is_dir() else [part]:
            if path.suffix != ".pyc":
                digest.update(path.name.encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()


def _replacing(path: Path) -> Path:
    """The place of a file that is being written: an interrupted one never has the name of a whole one."""
    return path.with_name(f"{path.name}.part")
