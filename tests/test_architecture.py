"""The shape of the source: a room imports only rooms above it; and who may know what."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import pytest

import stream_serve
from stream_serve.settings import SETTING_OF

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE: Final = "stream_serve"
ROOT: Final = Path(stream_serve.__file__).parent
TESTING: Final = "testing"

ROOMS: Final = (
    *("errors", "settings", "logging", "files"),
    *("events", "cluster", "eventlog", "quotas", "producers", "runs", "conversations"),
    *("streams", "jobs", "client"),
    *("web", "backends", "app", "library", "server", "commands", "__main__"),
)
"""The rooms in their order: packages, and the modules of the root."""

READS_ENVIRONMENT: Final = "settings.environment"

BACKENDS: Final = {
    *("cluster.local", "cluster.redis.index", "cluster.redis.peers"),
    *("eventlog.memory", "eventlog.redis.log", "eventlog.sqlite.log"),
    *("quotas.local", "quotas.redis", "streams.memory", "streams.redis.store", "streams.sqlite"),
    *("producers.demo", "producers.openai.provider", "conversations.sql.history"),
}
"""What only the composition root names."""

LOADERS: Final = {
    *("__main__", "app", "backends", "commands.cli", "library.streams"),
    *("server.children", "server.loading"),
}
"""What imports some modules only where they are needed: not every process takes all of them."""


PURE: Final = (
    *("errors", "events.types", "events.codec", "events.sse", "events.transcript", "events.usage"),
    *("jobs.messages", "jobs.outbox", "jobs.patience"),
    *(
        "client.course",
        "client.patience",
        "client.requests",
        "client.receipt",
        "client.tail",
        "client.failures",
    ),
    *("runs.lifecycle", "runs.spec", "runs.view", "producers.openai.chunks"),
    *("streams.offsets", "streams.messages", "streams.state", "streams.decisions"),
    *("settings.toml", "settings.tables", "settings.values", "settings.catalog", "settings.kinds"),
)
"""What does no input or output."""

PARAMETER: Final = re.compile(r"\A[A-Z]\w+\.[a-z_]+\Z")
"""What an error is about, as it is written in the source."""


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


@cache
def imports(module: str) -> tuple[str, ...]:
    """All names that a module imports, for types only included."""
    return tuple(name for node in ast.walk(tree(module)) for name in imported_names(node))


def ours(module: str) -> Iterator[str]:
    """The short names of our modules that a module imports, for types only included."""
    for name in imports(module):
        if name.split(".")[0] != PACKAGE:
            continue
        inner = short(name)
        yield inner if inner in modules() else inner.rpartition(".")[0]


def theirs(module: str) -> set[str]:
    """The packages of others that a module imports."""
    return {name.split(".")[0] for name in imports(module)} - {PACKAGE}


def service() -> list[str]:
    """The modules of the service, without the tools for tests."""
    return [name for name in modules() if name.split(".")[0] != TESTING]


def links() -> list[Link]:
    return [Link(module, target) for module in service() for target in ours(module)]


def room(module: str) -> str:
    """The room of a module: its package, or itself in the root. The root itself is above all."""
    return module.partition(".")[0]


def test_every_module_is_in_a_room_and_the_root_has_few() -> None:
    assert {room(module) for module in service()} - {""} == set(ROOMS)
    root = {module for module in service() if modules()[module].parent == ROOT}
    assert root == {"", "__main__", "app", "backends", "errors", "logging"}


def test_the_imports_are_really_seen() -> None:
    assert {
        Link("events.types", "errors"),
        Link("runs.service", "runs.run"),
        Link("runs.service", "eventlog.base"),
        Link("app", "web.routes.chat"),
        Link("app", ""),
        Link("producers.openai.provider", "events.sse"),
        Link("web.refusals", "web.security"),
        Link("__main__", "commands.cli"),
    } <= set(links())


def test_a_room_imports_only_rooms_above_it() -> None:
    assert not [
        link
        for link in links()
        if link.imported
        and link.importer
        and ROOMS.index(room(link.imported)) > ROOMS.index(room(link.importer))
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


@pytest.mark.parametrize("module", sorted(modules().keys() - LOADERS))
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
    assert {link.importer for link in links() if link.imported in BACKENDS} == {"backends"}


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
        if module == READS_ENVIRONMENT:
            continue
        if "pydantic_settings" in theirs(module):
            touches.append((module, "pydantic_settings"))
        for node in ast.walk(tree(module)):
            names = {name.rpartition(".")[2] for name in imported_names(node)}
            if isinstance(node, ast.Attribute):
                names.add(node.attr)
            if names & {"environ", "environb", "getenv", "putenv", "dotenv_values", "load_dotenv"}:
                lineno = node.lineno if isinstance(node, ast.expr | ast.stmt) else 1
                touches.append((module, text.splitlines()[lineno - 1].strip()))
    assert touches == [("server.roles", "os.environ.update(")]


@pytest.mark.parametrize(
    ("library", "users"),
    [
        ("httpx2", {"client.wire"}),
        ("httptools", {"producers.http1.connection", "producers.http1.exchange"}),
        ("aiohappyeyeballs", {"producers.http1.pool"}),
        (
            "uvicorn",
            {f"server.{name}" for name in ("protocol", "connection", "cycle", "lifetime", "roles")},
        ),
        ("typer", {"commands.cli"}),
        ("rich", {f"commands.{name}" for name in ("cli", "doctor", "chat", "models")}),
        ("pydantic_settings", {READS_ENVIRONMENT}),
        ("tomllib", {"settings.toml", "settings.file"}),
    ],
)
def test_a_library_with_one_job_is_known_only_where_the_job_is_done(
    library: str, users: set[str]
) -> None:
    assert {module for module in service() if library in theirs(module)} == users


def test_below_the_web_nothing_knows_http() -> None:
    http = {"fastapi", "starlette"}
    below = ROOMS[: ROOMS.index("web")]
    assert not [module for module in service() if room(module) in below and http & theirs(module)]


def test_the_core_knows_no_conversation_and_no_name_of_a_setting() -> None:
    core = ROOMS[ROOMS.index("events") : ROOMS.index("web")]
    for module in service():
        if room(module) in core or module == "errors":
            assert "STREAM_SERVE_" not in modules()[module].read_text(encoding="utf-8"), module
    assert not [
        link
        for link in links()
        if room(link.importer) == "runs" and "conversation" in link.imported
    ]


def test_what_an_error_is_about_is_a_parameter_of_a_class_and_has_a_setting() -> None:
    core = [module for module in service() if room(module) in ROOMS[: ROOMS.index("web")]]
    takes: set[str] = set()
    named: set[str] = set()
    for module in (one for one in core if room(one) != "settings"):
        for node in ast.walk(tree(module)):
            if isinstance(node, ast.ClassDef):
                takes.update(f"{node.name}.{name}" for name in parameters(node))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                named.update(PARAMETER.findall(node.value))
    assert named <= takes
    assert named == {*SETTING_OF, "Endpoint.key"}  # a key brings its own name


def parameters(node: ast.ClassDef) -> Iterator[str]:
    """The names that a class is made with: the fields of a struct, or what `__init__` takes."""
    for part in node.body:
        if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name):
            yield part.target.id
        elif isinstance(part, ast.FunctionDef) and part.name == "__init__":
            yield from (one.arg for one in (*part.args.args, *part.args.kwonlyargs))


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
    assert not [(module, theirs(module) & doors) for module in PURE if theirs(module) & doors]


@pytest.mark.parametrize("module", modules())
def test_every_module_says_what_it_is_for(module: str) -> None:
    said = ast.get_docstring(tree(module))
    assert said
    assert said.split("\n\n")[0].rstrip().endswith((".", ":")), "the first words are a sentence"


@pytest.mark.parametrize("module", modules())
def test_no_file_is_too_long_to_be_read(module: str) -> None:
    assert len(modules()[module].read_text(encoding="utf-8").splitlines()) <= 500
