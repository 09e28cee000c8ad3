"""`Streams`: stop, resume, many readers and history for one's own generator, in one's own application.

What takes long to import is imported where it is needed: whoever only imports this pays little.
"""

from __future__ import annotations

from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, TypeVar, overload

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager
    from os import PathLike

    from stream_serve.library.mounted import Mounted
    from stream_serve.producers.functions import Function, FunctionProvider

    Owner = Callable[..., object]
    F = TypeVar("F", bound=Function)


class Streams:
    """Streams that an application serves; `memory`, `sqlite` and `redis` make them.

    `owner` is a dependency of FastAPI that returns who asks, as text of 1 to 128 letters, digits or any
    of `. _ ~ @ : + = -`; owners do not see each other's runs. Without one, only requests that use a name
    of this machine are answered, unless `STREAM_SERVE_API_KEYS` is set. `settings` are the service's, by
    their names in small letters, such as `heartbeat_interval=5`; the environment gives the others.
    """

    def __init__(self, *, owner: Owner | None = None, **settings: Any) -> None:
        self._owner = owner
        self._settings = settings

    @classmethod
    def memory(cls, *, owner: Owner | None = None, **settings: Any) -> Streams:
        """Return streams that end with their lifespan, and so do the conversations."""
        return cls(owner=owner, **{"database_url": "", **settings})

    @classmethod
    def sqlite(
        cls, path: str | PathLike[str], *, owner: Owner | None = None, **settings: Any
    ) -> Streams:
        """Return streams whose conversations are kept in a file."""
        return cls(owner=owner, **{"database_url": f"sqlite:///{path}", **settings})

    @classmethod
    def redis(cls, url: str, *, owner: Owner | None = None, **settings: Any) -> Streams:
        """Return streams that are shared by all processes that name the same Redis."""
        return cls(owner=owner, **{"redis_url": url, **settings})

    @overload
    def chat(self, function: F) -> F: ...
    @overload
    def chat(self, *, model: str | None = None) -> Callable[[F], F]: ...
    def chat(self, function: F | None = None, *, model: str | None = None) -> F | Callable[[F], F]:
        """Let a generator function answer: it takes a `ChatRequest`, and yields text or deltas.

        `model` is the name that it may be asked for by, else it is the function's. The first function
        answers where a request names none. A stop cancels it where it waits; one that is not asynchronous
        runs in a thread, and is closed where it yields next. Raises `TypeError` for what is no generator
        function, and `ValueError` for a name that is taken.
        """
        return partial(self._add, model) if function is None else self._add(model, function)

    def routes(self) -> Mounted:
        """Return the application to mount, at any prefix. Raises `SettingsError`."""
        return self._mounted

    def lifespan(self, app: object = None) -> AbstractAsyncContextManager[None]:
        """Return the lifespan to give to the surrounding application, or to enter in its own.

        At its end runs are interrupted, their readers are told, and all is closed.
        """
        return self._mounted.lifespan(app)

    def _add(self, model: str | None, function: F) -> F:
        self._provider.add(model or function.__name__, function)
        return function

    @cached_property
    def _provider(self) -> FunctionProvider:
        from stream_serve.producers.functions import FunctionProvider

        return FunctionProvider()

    @cached_property
    def _mounted(self) -> Mounted:
        from stream_serve.app import create_app
        from stream_serve.library.folder import Folder
        from stream_serve.library.mounted import Mounted
        from stream_serve.settings import Settings

        given = {"system_prompt": "", **self._settings}
        folder = Folder() if given.get("database_url") == "" else None
        if folder is not None:
            given["database_url"] = f"sqlite:///{folder.path}/conversations.db"
        settings = Settings.without_providers(called="{}", **given)
        app = create_app(settings, provider=self._provider, identified=self._owner is not None)
        return Mounted(app, self._owner, folder)
