"""Tools for tests: a scripted OpenAI-compatible provider on real sockets, and ports that fail.

The provider also runs as a command: `python -m stream_serve.testing.upstream`.
"""

from __future__ import annotations

try:
    from stream_serve.testing.chunks import ANSWER, THOUGHT, pieces
    from stream_serve.testing.records import ConnectionRecord, Phase, Record, Side
    from stream_serve.testing.scenarios import SCENARIOS
    from stream_serve.testing.script import Scenario
    from stream_serve.testing.server import ScriptedUpstream
    from stream_serve.testing.sockets import blackhole, refusing, unused_port
except ModuleNotFoundError as _error:
    if _error.name == "aiohttp":
        _error.msg = "stream_serve.testing needs aiohttp: install stream-serve[testing]"
    raise

__all__ = [
    "ANSWER",
    "SCENARIOS",
    "THOUGHT",
    "ConnectionRecord",
    "Phase",
    "Record",
    "Scenario",
    "ScriptedUpstream",
    "Side",
    "blackhole",
    "pieces",
    "refusing",
    "unused_port",
]
