"""Compiles the text of Protobuf schemas, for registries that return no serialized form.

The compiler is a program of the extra `registry`, and a process of its own: no text can harm the daemon.
"""

from __future__ import annotations

import base64
import importlib.util
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from logwarden.daemon.errors import SchemaRefused

_COMPILER = "grpc_tools"
_MAIN = "logwarden_main.proto"
_TIMEOUT_S = 20.0
_WELL_KNOWN = "google/protobuf/"


def serialized(text: str, references: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """Returns a file and those that it imports in their serialized form, as base64.

    Raises SchemaRefused for a text that does not compile, or without the compiler.
    """
    if importlib.util.find_spec(_COMPILER) is None:
        raise SchemaRefused(
            "this registry returns Protobuf as text, which needs a compiler: install logwarden[registry]"
        )
    # Imported when the first such schema comes: most installations never see one.
    from google.protobuf.descriptor_pb2 import FileDescriptorSet

    with TemporaryDirectory(prefix="logwarden-") as folder:
        for name, content in {**references, _MAIN: text}.items():
            _write(Path(folder), name, content)
        found = FileDescriptorSet.FromString(_compiled(Path(folder)))
    files = {file.name: base64.b64encode(file.SerializeToString()).decode() for file in found.file}
    main = files.pop(_MAIN)
    return main, {name: file for name, file in files.items() if not name.startswith(_WELL_KNOWN)}


def _write(folder: Path, name: str, content: str) -> None:
    parts = PurePosixPath(name).parts
    if not parts or ".." in parts or parts[0] == "/" or "\0" in name:
        raise SchemaRefused("it refers to a schema whose name is no path")
    target = folder.joinpath(*parts)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode("utf-8", "replace"))
    except OSError as error:  # such as a name that is too long, or a file where a folder should be
        raise SchemaRefused(f"the file {name[:80]!r} cannot be written: {error.strerror}") from None


def _compiled(folder: Path) -> bytes:
    out = folder / "logwarden_out.bin"
    command = [sys.executable, "-I", "-m", f"{_COMPILER}.protoc", f"-I{folder}", f"--descriptor_set_out={out}"]
    try:
        ran = subprocess.run(
            [*command, "--include_imports", _MAIN],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise SchemaRefused(f"it was not compiled within {_TIMEOUT_S:g} s") from None
    if ran.returncode or not out.is_file():
        lines = ran.stderr.decode("utf-8", "replace").replace(f"{folder}/", "").splitlines()
        errors = [line for line in lines if ".proto:" in line] or ["the compiler ended without a sentence about it"]
        words = " ".join(errors[0].split())[:200]
        raise SchemaRefused(f"it is no schema of Protobuf: {words}")
    return out.read_bytes()
