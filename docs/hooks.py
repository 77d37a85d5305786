"""Hooks of mkdocs: documents beside docs/ become pages, their links stay links, and schemas become tables.

Every document is written for a reader of the repository: its links are paths of the repository. On the site a link to a
document leads to its page, and a link to any other file leads to a copy of that file under `repository/`.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
BESIDE = "repository/"
"""The folder of the site for files of the repository outside docs/."""
DOCUMENTS = (
    "ARCHITECTURE.md",
    "BENCHMARKS.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "README.md",
    "RUNBOOK.md",
    "model/weights/MODEL_CARD.md",
    "training/LOG.md",
    "training/faultlab/recordings/DATASHEET.md",
)
"""Documents outside docs/ that are pages of the site."""

_FENCE = re.compile(r"^(```|~~~)[^\n]*\n.*?^\1[ \t]*$", re.M | re.S)
_LINK = re.compile(r"(\]\()([^)\s]+)((?:\s[^)]*)?\))")
_SCHEMA = re.compile(r"^<!-- schema: (\S+) -->$", re.M)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the documents beside docs/, and the files to which any document links."""
    for name in DOCUMENTS:
        files.append(_beside(name, config))
    linked = {name for file in files.documentation_pages() for name in _linked_files(file)}
    for name in sorted(linked):
        if files.get_file_from_path(_in_site(name)) is None:
            files.append(_beside(name, config))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turns paths of the repository into paths of the site, and marks of schemas into tables."""
    source = _in_repository(page.file.src_uri)
    markdown = _outside_code(markdown, lambda text: _LINK.sub(lambda m: _moved(m, source, page), text))
    return _SCHEMA.sub(lambda m: schema_table(json.loads((ROOT / m[1]).read_text(encoding="utf-8"))), markdown)


def _beside(name: str, config: MkDocsConfig) -> File:
    return File.generated(config, _in_site(name), abs_src_path=str(ROOT / name))


def _in_site(name: str) -> str:
    """Returns the path of a file of the repository in the site: `docs/x.md` → `x.md`, `x.md` → `repository/x.md`."""
    return name.removeprefix("docs/") if name.startswith("docs/") else BESIDE + name


def _in_repository(uri: str) -> str:
    """Returns the path in the repository of a file in the site."""
    return uri.removeprefix(BESIDE) if uri.startswith(BESIDE) else f"docs/{uri}"


def _outside_code(text: str, change: Any) -> str:
    """Applies a change to the text between fenced blocks."""
    parts, end = [], 0
    for fence in _FENCE.finditer(text):
        parts += [change(text[end : fence.start()]), fence[0]]
        end = fence.end()
    return "".join([*parts, change(text[end:])])


def _target(source: str, link: str) -> tuple[str, str] | None:
    """Returns the path in the repository and the anchor of a link, or None for a link to elsewhere."""
    name, _, anchor = link.partition("#")
    if not name or ":" in name or name.startswith("/"):
        return None
    return posixpath.normpath(posixpath.join(posixpath.dirname(source), name)), anchor


def _linked_files(file: File) -> Iterator[str]:
    """Yields files of the repository outside docs/ to which a document links."""
    source = _in_repository(file.src_uri)
    for match in _LINK.finditer(_FENCE.sub("", file.content_string)):
        target = _target(source, match[2])
        if target is not None and not target[0].startswith("docs/") and (ROOT / target[0]).is_file():
            yield target[0]


def _moved(match: re.Match[str], source: str, page: Page) -> str:
    target = _target(source, match[2])
    if target is None:
        return match[0]
    name, anchor = target
    if (ROOT / name).is_dir():
        name = f"{name}/README.md"  # what a reader of the repository sees of a folder
    link = posixpath.relpath(_in_site(name), posixpath.dirname(page.file.src_uri) or ".")
    return f"{match[1]}{link}{'#' + anchor if anchor else ''}{match[3]}"


# ---------------------------------------------------------------- schemas


def schema_table(schema: Mapping[str, Any]) -> str:
    """Returns a table of a JSON schema: a row for each field, nested fields by their path."""
    rows = "\n".join(f"| `{path}` | {kind} | {text} |" for path, kind, text in _rows(schema, schema, ""))
    return f"{schema.get('description', '')}\n\n| field | type | meaning |\n|---|---|---|\n{rows}"


def _rows(schema: Mapping[str, Any], root: Mapping[str, Any], above: str) -> Iterator[tuple[str, str, str]]:
    required = schema.get("required", [])
    for name, given in schema.get("properties", {}).items():
        field = _resolved(given, root)
        path = f"{above}{name}"
        optional = "" if name in required else ", optional"
        yield path, _kind(field, root) + optional, _cell(field.get("description", ""))
        for inner, mark in ((field, "."), (_resolved(field.get("items", {}), root), "[].")):
            if "properties" in inner:
                yield from _rows(inner, root, path + mark)


def _resolved(field: Mapping[str, Any], root: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a field with the definition to which it refers."""
    if "$ref" not in field:
        return dict(field)
    found: Any = root
    for part in str(field["$ref"]).removeprefix("#/").split("/"):
        found = found[part]
    return {**found, **field}


def _kind(field: Mapping[str, Any], root: Mapping[str, Any]) -> str:
    if "const" in field:
        return f"always {_code(field['const'])}"
    if "enum" in field:
        return "one of " + ", ".join(_code(value) for value in field["enum"])
    if "items" in field:
        return f"list of {_kind(_resolved(field['items'], root), root)}"
    kinds = field.get("type", "any")
    return " or ".join([kinds] if isinstance(kinds, str) else kinds)


def _code(value: Any) -> str:
    return f"`{json.dumps(value) if not isinstance(value, str) else value}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
