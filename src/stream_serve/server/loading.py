"""How a process that serves loads its libraries: without what no request needs.

- structlog loads rich, where that is installed, for tracebacks that show variables. Ours never do.
- FastAPI's models of an OpenAPI document, and those of settings in clouds, are built when they are used.
- Hardly anything that is made while modules are loaded is garbage, so that the collector rests.

A signal that comes meanwhile ends the process, without a word: uvicorn handles them when it serves.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    from collections.abc import Generator
    from types import FrameType

_SHUTDOWN_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


def load_libraries() -> None:
    """Load the libraries of a process that serves, before anything else does.

    From now on a signal ends the process with code 0, until uvicorn handles them. The garbage collector
    rests until `tune_garbage_collector`.
    """
    for number in _SHUTDOWN_SIGNALS:
        signal.signal(number, _leave)
    gc.disable()
    with _absent("rich"):
        import_module("structlog")
    with _built_when_used():
        import_module("fastapi")
        import_module("pydantic_settings")


@contextmanager
def _absent(name: str) -> Generator[None]:
    """Let whoever looks for a library believe that it is not installed; one that is loaded stays."""
    modules = cast("dict[str, object]", sys.modules)
    if name in modules:
        yield
        return
    modules[name] = None
    try:
        yield
    finally:
        del modules[name]


@contextmanager
def _built_when_used() -> Generator[None]:
    """Let pydantic build what checks a model, of those declared meanwhile, when it is used first."""
    model: Any = import_module("pydantic").BaseModel
    usual = model.model_config
    model.model_config = {**usual, "defer_build": True}
    try:
        yield
    finally:
        model.model_config = usual


def _leave(number: int, frame: FrameType | None) -> None:
    del number, frame
    os._exit(0)  # an exception could be raised where nobody can pass it on, and so be lost
