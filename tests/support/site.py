"""A web site of somebody else's: pages with scripts, at an origin of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

_PAGE: Final = """\
<!doctype html><html lang="en"><head><title>Somebody's page</title><link rel="icon" href="data:,"></head>
<body><div id="root"></div><script src="/script.js"></script></body></html>
"""


class Site:
    """A page with a script, or another one with headers, on a free port; `url` once it runs."""

    def __init__(self, script: bytes = b"") -> None:
        self.script = script
        self.page = _PAGE
        self.headers: Mapping[str, str] = {}
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/", self._serve)
        app.router.add_get("/script.js", self._serve)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def _serve(self, request: web.Request) -> web.Response:
        if request.path == "/":
            return web.Response(text=self.page, content_type="text/html", headers=self.headers)
        return web.Response(body=self.script, content_type="text/javascript", charset="utf-8")
