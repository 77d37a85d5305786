"""The content of an installation: one package, `logwarden`, with every file that it needs."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import logwarden
from tests import layout

ROOT = layout.ROOT
BARE = {folder.name for folder in layout.folders().values()} - {layout.NAME}
"""Folders that are no import names: another distribution may have a package `model`."""


def _bare_imports(text: str) -> list[str]:
    """Yields the modules that a file imports by the name of a folder, at any place in it."""
    found = []
    for node in ast.walk(ast.parse(text)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module]
        found += [name for name in names if name.partition(".")[0] in BARE]
    return found


def _run(*arguments: str, cwd: Path, path: str = "") -> str:
    environment = os.environ | ({"PYTHONPATH": path} if path else {})
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_no_file_imports_a_folder_by_its_bare_name() -> None:
    """No file relies on the folders at the top, which are found only from this working directory."""
    folders = ("logwarden", *BARE, "tests", "deploy", "docs")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    assert len(files) > 100
    found = {path.relative_to(ROOT).as_posix(): _bare_imports(path.read_text(encoding="utf-8")) for path in files}
    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize(
    "text",
    ["import model", "import os, training.train", "from daemon import config", "def f():\n from model.x import y"],
)
def test_a_bare_name_is_found(text: str) -> None:
    """The check finds every form of import, also within a function."""
    assert len(_bare_imports(text)) == 1
    assert _bare_imports("from . import model\nfrom logwarden.model import schema\nimport modelling") == []


def test_every_folder_is_a_package_of_the_distribution() -> None:
    """A folder with an `__init__.py` that the list lacks would be missing from every wheel, and only there."""
    assert sorted(layout.setuptools_table()["packages"]) == layout.found_packages()
    tops = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"}
    assert layout.folders() == {top if top == layout.NAME else f"{layout.NAME}.{top}": ROOT / top for top in tops}


def test_the_image_is_built_from_every_folder() -> None:
    """A folder that .dockerignore keeps away from the build would be missing from the image, and only there."""
    let_in = {line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"}
    assert {"pyproject.toml", "README.md", "LICENSE", *(folder.name for folder in layout.folders().values())} <= let_in


def test_the_public_package_holds_no_code_of_its_own() -> None:
    """The public package is a list of names, whose code is in the other packages."""
    names = {path.name for path in (ROOT / "logwarden").iterdir()} - {"__pycache__"}
    assert names == {"__init__.py", "__main__.py", "py.typed"}


@pytest.mark.parametrize("checkout", [True, False])
def test_importing_the_package_loads_nothing_heavy(tmp_path: Path, checkout: bool) -> None:
    """An import of the version loads neither PyTorch nor a Kafka client."""
    code = """
import sys
import logwarden
assert logwarden.__version__ and set(logwarden.__all__) <= set(dir(logwarden))
loaded = {"torch", "transformers", "numpy", "aiokafka", "pydantic", "structlog", "typer"} & set(sys.modules)
assert not loaded, loaded
try:
    logwarden.Nothing
except AttributeError as error:
    assert "'logwarden'" in str(error) and "'Nothing'" in str(error)
else:
    raise AssertionError("there is a Nothing")
from logwarden import LogAnomalyDetector, LogWindowClassifier, LogWindowConfig
assert "torch" in sys.modules and LogAnomalyDetector is logwarden.LogAnomalyDetector
"""
    _run("-c", code, cwd=ROOT if checkout else tmp_path)


@pytest.mark.parametrize("checkout", [True, False])
def test_the_package_is_the_command_line(tmp_path: Path, checkout: bool) -> None:
    """`python -m logwarden` works where PATH does not contain the program."""
    assert _run("-m", "logwarden", "--version", cwd=ROOT if checkout else tmp_path).startswith("logwarden ")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """A wheel, built without network from a copy, so that the build leaves nothing in the tree."""
    copy, out = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    for folder in layout.folders().values():
        shutil.copytree(folder, copy / folder.name, ignore=shutil.ignore_patterns("__pycache__"))
    code = "import sys; from setuptools.build_meta import build_wheel; print(build_wheel(sys.argv[1]))"
    name = _run("-c", code, str(out), cwd=copy).splitlines()[-1]
    return zipfile.ZipFile(out / name)


def test_the_wheel_has_one_package(wheel: zipfile.ZipFile) -> None:
    """An installation adds one name to the environment, and `model` stays free for other packages."""
    tops = {name.partition("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"logwarden"}


def test_the_wheel_has_every_file_that_is_read(wheel: zipfile.ZipFile) -> None:
    """The wheel contains every file of run time: the model, the schema, the recording, and the mark of its types."""
    names = set(wheel.namelist())
    assert {"logwarden/py.typed", "logwarden/__main__.py", "logwarden/daemon/incidents/alert.schema.json"} <= names
    for package, folder in layout.folders().items():
        for path in folder.rglob("*"):
            in_the_lab = "recordings" in path.parts and "demo" not in path.parts
            if path.is_file() and path.suffix != ".pyc" and path.name != "LOG.md" and not in_the_lab:
                name = f"{package.replace('.', '/')}/{path.relative_to(folder).as_posix()}"
                assert name in names, f"{path} is not in the wheel"


def test_the_wheel_leaves_the_recordings_out(wheel: zipfile.ZipFile) -> None:
    """A daemon does not carry the fault lab's 8 MB: the demo's recording is all that it plays."""
    inside = [name.split("/recordings/")[1] for name in wheel.namelist() if "/recordings/" in name]
    assert {name.partition("/")[0] for name in inside} == {"demo"}


def test_the_wheel_is_small(wheel: zipfile.ZipFile) -> None:
    """A download is no burden: the shipped model is nearly all of it."""
    assert wheel.filename is not None
    assert Path(wheel.filename).stat().st_size <= 25_000_000


def test_the_wheel_has_its_version_and_its_program(wheel: zipfile.ZipFile) -> None:
    """The version is read from the model's file without an import, and `logwarden` is the command line."""
    version = logwarden.__version__
    assert f"logwarden-{version}.dist-info/METADATA" in wheel.namelist()
    points = wheel.read(f"logwarden-{version}.dist-info/entry_points.txt").decode()
    assert "logwarden = logwarden.__main__:main" in points


@pytest.mark.parametrize("checkout", [True, False])
def test_what_was_installed_is_found(wheel: zipfile.ZipFile, tmp_path: Path, checkout: bool) -> None:
    """Python in the checkout finds an installed wheel, and not half a package of the checkout."""
    installed, elsewhere = tmp_path / "installed", tmp_path / "elsewhere"
    wheel.extractall(installed)
    elsewhere.mkdir()
    code = "import logwarden.model.schema as s, logwarden; print(logwarden.__version__, s.__file__)"
    # -S: without site-packages, where this checkout may be installed too.
    output = _run("-S", "-c", code, cwd=ROOT if checkout else elsewhere, path=str(installed))
    assert output.split() == [logwarden.__version__, str(installed / "logwarden" / "model" / "schema.py")]
