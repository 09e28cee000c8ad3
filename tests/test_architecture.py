"""The shape of the source: layers, and who may know what."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import pytest

import stream_serve

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE: Final = "stream_serve"
ROOT: Final = Path(stream_serve.__file__).parent
TESTING: Final = "testing"

LAYERS: Final = (
    {"", "errors", "events"},
    {"sse", "lifecycle", "deadline", "coalescer", "usage", "settings", "admission", "runid"},
    {
        *(
            "upstream",
            "upstream.base",
            "upstream.endings",
            "upstream.reports",
            "streams",
            "streams.base",
            "streams.frames",
        ),
        *("history", "history.base", "peers", "peers.base"),
        *("redis", "redis.keys", "redis.link", "redis.lease", "redis.listener"),
    },
    {
        *("upstream.openai", "upstream.chunks", "upstream.failures", "upstream.http"),
        *("upstream.demo", "streams.memory", "streams.redis", "streams.flusher"),
        *("streams.mirror", "streams.writer", "peers.alone", "peers.redis"),
        *("history.sql", "history.database", "history.schema", "history.urls", "history.migrate"),
        "history.rows",
        *("history.migrations", "history.migrations.env", "history.migrations.versions"),
        "history.migrations.versions.v0001_conversations",
    },
    {
        *("run", "relay", "report", "attachment", "takeover", "elsewhere", "runs"),
        *("recorder", "conversations"),
    },
    {
        *(
            "web",
            "web.answer",
            "web.body",
            "web.chat",
            "web.conversations",
            "web.dependencies",
            "web.gate",
            "web.openapi",
            "web.pages",
        ),
        *("web.problems", "web.runs", "web.stream"),
    },
    {"app", "server", "protocol", "workers", "cli", "terminal", "doctor", "logs", "__main__"},
)
"""Modules by layer, without the package's name; imports point to lower ones only."""

FREE_INSIDE: Final = {5, 6}
"""Layers whose modules may import each other."""

SIDEWAYS: Final = {
    ("events", "errors"),
    ("redis.lease", "redis.keys"),
    ("redis.lease", "redis.link"),
    ("redis.listener", "redis.link"),
    ("relay", "run"),
    ("run", "report"),
    ("attachment", "run"),
    ("takeover", "recorder"),
    ("takeover", "report"),
    ("elsewhere", "attachment"),
    ("elsewhere", "report"),
    ("elsewhere", "run"),
    *(("runs", name) for name in ("run", "relay", "report", "attachment", "takeover")),
    ("runs", "elsewhere"),
    ("runs", "recorder"),
    ("streams.redis", "streams.flusher"),
    ("streams.redis", "streams.mirror"),
    ("streams.redis", "streams.writer"),
    ("streams.flusher", "streams.writer"),
    ("recorder", "run"),
    ("conversations", "run"),
    ("upstream.openai", "upstream.chunks"),
    ("upstream.openai", "upstream.failures"),
    ("upstream.openai", "upstream.http"),
}
"""What else a module may import of its own layer."""

BACKENDS: Final = {"upstream.openai", "upstream.demo", "streams.memory", "history.sql"}


class Link(NamedTuple):
    """One import of ours by ours."""

    importer: str
    imported: str


def short(name: str) -> str:
    return name.removeprefix(PACKAGE).removeprefix(".")


@cache
def modules() -> dict[str, Path]:
    """Every module of the package by its short name."""
    found: dict[str, Path] = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(part for part in parts if part != "__init__")] = path
    return found


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(modules()[module].read_text(encoding="utf-8"))


def imported_names(node: ast.AST) -> Iterator[str]:
    """The full names that an import statement may mean: modules, and names inside them."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports are absolute"
        assert node.module is not None
        yield from (f"{node.module}.{alias.name}" for alias in node.names)


def ours(module: str) -> Iterator[str]:
    """The short names of our modules that a module imports, for types only included."""
    for node in ast.walk(tree(module)):
        for name in imported_names(node):
            if name.split(".")[0] != PACKAGE:
                continue
            inner = short(name)
            yield inner if inner in modules() else inner.rpartition(".")[0]


def theirs(module: str) -> set[str]:
    """The packages of others that a module imports."""
    names = {n.split(".")[0] for node in ast.walk(tree(module)) for n in imported_names(node)}
    return names - {PACKAGE}


def service() -> list[str]:
    """The modules of the service, without the tools for tests."""
    return [name for name in modules() if name.split(".")[0] != TESTING]


def links() -> list[Link]:
    return [Link(module, target) for module in service() for target in ours(module)]


def layer(module: str) -> int:
    return next(number for number, names in enumerate(LAYERS) if module in names)


def one_backend(link: Link) -> bool:
    """The databases have one backend, in several files."""
    return link.importer.startswith("history.") and link.imported.startswith("history.")


def test_every_module_has_its_place_in_one_layer() -> None:
    placed = [name for names in LAYERS for name in names]
    assert sorted(placed) == sorted(service())


def test_the_imports_are_really_seen() -> None:
    assert {
        Link("events", "errors"),
        Link("runs", "run"),
        Link("runs", "streams.base"),
        Link("app", "web.chat"),
        Link("app", ""),
        Link("upstream.openai", "sse"),
        Link("web.problems", "web.gate"),
        Link("__main__", "cli"),
    } <= set(links())


def test_imports_point_downward_only() -> None:
    assert not [
        link
        for link in links()
        if layer(link.imported) >= layer(link.importer)
        and not (layer(link.imported) == layer(link.importer) in FREE_INSIDE)
        and link not in SIDEWAYS
        and not (layer(link.imported) == layer(link.importer) and one_backend(link))
    ]


def test_a_backend_knows_its_own_contract_and_no_other() -> None:
    contracts = ("upstream", "streams", "history", "peers")
    bases = {*contracts, *(f"{name}.base" for name in contracts)}
    assert not [
        link
        for link in links()
        if layer(link.importer) == 3
        and link.imported in bases
        and link.imported.split(".")[0] != link.importer.split(".")[0]
    ]


def test_no_module_imports_itself_by_a_detour() -> None:
    below: dict[str, set[str]] = {name: set() for name in modules()}
    for module in modules():
        below[module] |= set(ours(module)) - {""}
    done: set[str] = set()

    def visit(module: str, above: tuple[str, ...]) -> None:
        assert module not in above, " → ".join([*above, module])
        if module not in done:
            for target in sorted(below[module]):
                visit(target, (*above, module))
            done.add(module)

    for module in below:
        visit(module, ())


@pytest.mark.parametrize("module", modules())
def test_no_function_imports(module: str) -> None:
    assert not [
        f"line {inner.lineno}"
        for node in ast.walk(tree(module))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for inner in ast.walk(node)
        if isinstance(inner, ast.Import | ast.ImportFrom)
        or (isinstance(inner, ast.Name) and inner.id in {"__import__", "importlib"})
    ]


def test_only_the_composition_root_names_backends() -> None:
    assert {link.importer for link in links() if link.imported in BACKENDS} == {"app"}


def test_the_tools_for_tests_and_the_service_do_not_know_each_other() -> None:
    tools = [name for name in modules() if name not in service()]
    assert len(tools) > 5
    assert not [link for link in links() if link.imported in tools]
    assert not [
        (module, target) for module in tools for target in ours(module) if target not in tools
    ]


def test_only_the_settings_read_the_environment() -> None:
    touches: list[tuple[str, str]] = []
    for module in service():
        text = modules()[module].read_text(encoding="utf-8")
        if module != "settings" and "pydantic_settings" in theirs(module):
            touches.append((module, "pydantic_settings"))
        for node in ast.walk(tree(module)) if module != "settings" else ():
            names = {name.rpartition(".")[2] for name in imported_names(node)}
            if isinstance(node, ast.Attribute):
                names.add(node.attr)
            if names & {"environ", "environb", "getenv", "putenv", "dotenv_values", "load_dotenv"}:
                lineno = node.lineno if isinstance(node, ast.expr | ast.stmt) else 1
                touches.append((module, text.splitlines()[lineno - 1].strip()))
    assert touches == [("server", "os.environ.update(")]


@pytest.mark.parametrize(
    ("library", "users"),
    [
        ("httptools", {"upstream.http"}),
        ("aiohappyeyeballs", {"upstream.http"}),
        ("uvicorn", {"protocol", "server"}),
        ("typer", {"cli"}),
        ("rich", {"cli", "doctor", "terminal"}),
        ("pydantic_settings", {"settings"}),
    ],
)
def test_a_library_with_one_job_is_known_only_where_the_job_is_done(
    library: str, users: set[str]
) -> None:
    assert {module for module in service() if library in theirs(module)} == users


def test_below_the_web_nothing_knows_http() -> None:
    http = {"fastapi", "starlette"}
    assert not [module for module in service() if layer(module) < 5 and http & theirs(module)]


def test_the_pure_modules_do_no_input_or_output() -> None:
    doors = {
        "asyncio",
        "socket",
        "os",
        "pathlib",
        "io",
        "ssl",
        "subprocess",
        "threading",
        "logging",
    }
    assert not [
        (module, theirs(module) & doors)
        for module in ("errors", "events", "sse", "lifecycle", "usage")
        if theirs(module) & doors
    ]


@pytest.mark.parametrize("module", modules())
def test_every_module_says_what_it_is_for(module: str) -> None:
    said = ast.get_docstring(tree(module))
    assert said
    assert said.split("\n\n")[0].rstrip().endswith((".", ":")), "the first words are a sentence"


@pytest.mark.parametrize("module", modules())
def test_no_file_is_too_long_to_be_read(module: str) -> None:
    assert len(modules()[module].read_text(encoding="utf-8").splitlines()) <= 500
