"""The tree keeps the rules of `tests/tidy.py`, and every rule finds the breach in its snippet.

An exception that is no longer needed is a failure too.
"""

from __future__ import annotations

import pytest

from tests.tidy import (
    EXCEPTIONS,
    PYTHON_RULES,
    TEXT_RULES,
    Rule,
    Source,
    broad_excepts,
    clocks,
    docstrings_of_tests,
    environment,
    file_length,
    foreign_places,
    function_length,
    looked_at,
    model_docstrings,
    module_docstring,
    names,
    notes_to_self,
    prints,
    sources,
    tasks,
)


@pytest.fixture(scope="module")
def tree() -> list[Source]:
    """Returns all files, read once."""
    return sources()


@pytest.mark.parametrize("rule", [*PYTHON_RULES, *TEXT_RULES], ids=lambda rule: rule.__name__)
def test_the_tree_is_tidy(rule: Rule, tree: list[Source]) -> None:
    """Every file keeps every rule, and every exception is still needed."""
    exceptions = EXCEPTIONS.get(rule, {})
    breaches = {source.path: list(rule(source)) for source in looked_at(rule, tree)}
    found = [f"{path}:{breach}" for path, all_of in breaches.items() if path not in exceptions for breach in all_of]
    assert not found, f"{rule.__doc__}\n" + "\n".join(found)
    assert [path for path in exceptions if not breaches.get(path)] == [], "these keep the rule; they need no exception"


def test_the_files_are_found(tree: list[Source]) -> None:
    """The list of files is not empty and contains the important ones."""
    paths = {source.path for source in tree}
    assert {
        "daemon/pipeline/pipeline.py",
        "model/stream.py",
        "training/head/training.py",
        "tests/test_tidy.py",
        "Makefile",
    } <= paths


BREACHES: list[tuple[Rule, str, str]] = [
    (function_length, "daemon/x.py", "def f():\n" + "    pass\n" * 70),
    (function_length, "tests/x.py", "class C:\n    async def f(self):\n" + "        pass\n" * 70),
    (file_length, "tests/x.py", "pass\n" * 351),
    (module_docstring, "model/x.py", "import os\n"),
    (module_docstring, "model/x.py", '"""x"""\n'),
    (prints, "model/x.py", "def f():\n    print(1)\n"),
    (clocks, "daemon/x.py", "import time\ntime.monotonic()\n"),
    (clocks, "model/x.py", "from time import time as now\n"),
    (clocks, "daemon/x.py", "import time as t\n"),
    (clocks, "daemon/x.py", "from datetime import datetime\ndatetime.now()\n"),
    (tasks, "daemon/x.py", "asyncio.create_task(f())\n"),
    (tasks, "daemon/x.py", "spawn = asyncio.ensure_future\n"),
    (environment, "training/x.py", "import os\nos.environ['A']\n"),
    (environment, "daemon/x.py", "from os import getenv\n"),
    (broad_excepts, "daemon/x.py", "try:\n    f()\nexcept Exception:\n    pass\n"),
    (broad_excepts, "tests/x.py", "try:\n    f()\nexcept BaseException as e:\n    raise ValueError from e\n"),
    (broad_excepts, "tests/x.py", "try:\n    f()\nexcept:\n    pass\n"),
    (names, "daemon/utils.py", ""),
    (names, "daemon/x.py", "class AlertManager: ...\n"),
    (names, "daemon/x.py", "async def http_handler(): ...\n"),
    (names, "tests/helpers/x.py", ""),
    (model_docstrings, "model/x.py", "def f(): ...\n"),
    (model_docstrings, "model/x.py", 'class C:\n    """A thing."""\n    def f(self): ...\n'),
    (docstrings_of_tests, "tests/x.py", "def test_f(): ...\n"),
    (notes_to_self, "README.md", "TO" + "DO: say more"),
    (notes_to_self, "Makefile", "# FIX" + "ME later"),
    (foreign_places, "Makefile", "cd /wo" + "rk/tree"),
    (foreign_places, "tests/x.py", 'DATA = "/ho' + 'me/somebody/data"'),
    (foreign_places, "Dockerfile", "pip --index-url https://py" + "pi.example.org/simple"),
    (foreign_places, ".ci/run", "https://artifac" + "tory.example.org"),
]


@pytest.mark.parametrize(("rule", "path", "text"), BREACHES, ids=lambda value: getattr(value, "__name__", ""))
def test_a_breach_is_found(rule: Rule, path: str, text: str) -> None:
    """A rule finds the breach in its snippet; a rule that cannot fail is useless."""
    assert list(rule(Source(path, text)))


def test_every_rule_has_a_breach() -> None:
    """Every rule of the list has a snippet that breaks it."""
    assert {rule for rule, _, _ in BREACHES} == {*PYTHON_RULES, *TEXT_RULES}


KEPT: list[tuple[Rule, str, str]] = [
    (function_length, "daemon/x.py", "def f():\n" + "    pass\n" * 69),
    (file_length, "tests/x.py", "pass\n" * 350),
    (prints, "tests/x.py", "print(1)\n"),
    (prints, "daemon/x.py", "console.print(1)\n"),
    (clocks, "daemon/x.py", "import asyncio\nclock.monotonic()\n"),
    (clocks, "tests/x.py", "import time\ntime.time()\n"),
    (environment, "daemon/x.py", "import os\nos.getpid()\n"),
    (broad_excepts, "daemon/x.py", "try:\n    f()\nexcept Exception:  # a reason\n    pass\n"),
    (broad_excepts, "daemon/x.py", "try:\n    f()\nexcept BaseException:\n    g()\n    raise\n"),
    (names, "daemon/x.py", "loop.add_signal_handler(1)\nclass Utility: ...\n"),
    (model_docstrings, "model/x.py", "def _f(): ...\n"),
    (foreign_places, "README.md", "https://example.org/ho" + "me/page and ${ROOT}/wo" + "rk/x"),
]


@pytest.mark.parametrize(("rule", "path", "text"), KEPT, ids=lambda value: getattr(value, "__name__", ""))
def test_what_is_no_breach_is_left_alone(rule: Rule, path: str, text: str) -> None:
    """A snippet that keeps a rule is not reported, or the rule would get needless exceptions."""
    assert list(rule(Source(path, text))) == []
