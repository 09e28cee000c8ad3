"""`Streams`: stop, resume, many readers and history for one's own generator, in one's own application.

What takes long to import is imported where it is needed: whoever only imports this pays little.
"""

from __future__ import annotations

import threading
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, TypeVar, overload

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager
    from os import PathLike

    from stream_serve.jobs.job import Job, OnStop
    from stream_serve.jobs.twin import SyncJob
    from stream_serve.library.folder import Folder
    from stream_serve.library.jobs import Jobs
    from stream_serve.library.mounted import Mounted
    from stream_serve.producers.functions import Function, FunctionProvider
    from stream_serve.settings import Settings

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
        self._lock = threading.Lock()

    @classmethod
    def memory(cls, *, owner: Owner | None = None, **settings: Any) -> Streams:
        """Return streams that end with their lifespan, and so do the conversations."""
        given = {
            "database_url": "",
            "run_log": "memory",
            "streams_url": "memory",
            "redis_url": None,
        }
        return cls(owner=owner, **{**given, **settings})

    @classmethod
    def sqlite(
        cls, path: str | PathLike[str], *, owner: Owner | None = None, **settings: Any
    ) -> Streams:
        """Return streams of one process that survive it: conversations in a file, and runs beside it."""
        given = {"database_url": f"sqlite:///{path}", "run_log": "disk", "redis_url": None}
        return cls(owner=owner, **{**given, **settings})

    @classmethod
    def redis(cls, url: str, *, owner: Owner | None = None, **settings: Any) -> Streams:
        """Return streams that are shared by all processes that name the same Redis."""
        given = {"redis_url": url, "run_log": "memory", "streams_url": url}
        return cls(owner=owner, **{**given, **settings})

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

    def open(
        self,
        name: str,
        *,
        owner: str | None = None,
        key: str | None = None,
        again: bool = False,
        lease: float = 30.0,
        on_stop: OnStop = "check",
    ) -> Job:
        """Return the job `name`, whose stream is open in `async with`; no application has to serve.

        It belongs to `owner`, or to whoever has the API key `key`. Who opens a job that goes on takes it
        over: the worker before gets `JobTaken`. One that has ended is refused with `JobEnded`, unless
        `again` says that it is removed and begun anew. `lease` and `on_stop` are those of `Job`. Raises
        `ValueError`, `StreamNotFound` for what can be no name; the block `StreamServeError`.
        """
        from stream_serve.jobs.job import Job
        from stream_serve.library.jobs import key_of

        settings, _ = self._composed
        connect = self._jobs_once().connect(key_of(name, owner, key, settings.api_keys))
        return Job(name, connect, again=again, lease=lease, on_stop=on_stop)

    def open_sync(
        self,
        name: str,
        *,
        owner: str | None = None,
        key: str | None = None,
        again: bool = False,
        lease: float = 30.0,
    ) -> SyncJob:
        """Return the job `name` for `with`, in any thread; else as `open`. Raises `NotStarted`."""
        from stream_serve.jobs.twin import SyncJob

        job = self.open(name, owner=owner, key=key, again=again, lease=lease)
        return SyncJob(job, self._jobs_once().loop())

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
        from stream_serve.library.mounted import Mounted

        settings, folder = self._composed
        app = create_app(settings, provider=self._provider, identified=self._owner is not None)
        return Mounted(app, self._owner, folder)

    @cached_property
    def _composed(self) -> tuple[Settings, Folder | None]:
        """The settings, and the folder of what is not to be kept."""
        from stream_serve import logging
        from stream_serve.library.folder import Folder
        from stream_serve.settings import Settings

        logging.hand_on()
        given = {"system_prompt": "", **self._settings}
        folder = Folder() if given.get("database_url") == "" else None
        if folder is not None:
            given["database_url"] = f"sqlite:///{folder.path}/conversations.db"
        settings = Settings.without_providers(called="{}", **given)
        none = {name: None for name, value in given.items() if value is None}
        return settings.model_copy(update=none), folder

    def _jobs_once(self) -> Jobs:
        with self._lock:  # threads may open their first jobs at once
            return self._jobs

    @cached_property
    def _jobs(self) -> Jobs:
        from stream_serve.backends import create_streams, streams_are_apart
        from stream_serve.library.jobs import Jobs

        settings, _ = self._composed

        def running() -> Any:
            mounted = self.__dict__.get("_mounted")
            return None if mounted is None else mounted.running

        return Jobs(partial(create_streams, settings), running, apart=streams_are_apart(settings))
