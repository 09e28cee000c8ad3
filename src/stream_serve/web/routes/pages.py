"""The debug page, the API documentation, the health checks, and `/ai/info`."""

from __future__ import annotations

import html
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import fastapi_swagger  # pyright: ignore[reportMissingTypeStubs]
from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel
from pydantic.alias_generators import to_camel
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from starlette.staticfiles import StaticFiles

import stream_serve
from stream_serve import __version__
from stream_serve.producers.provider import Provider
from stream_serve.runs.service import Runs
from stream_serve.settings import Settings
from stream_serve.web.dependencies import provider_of, runs_of, settings_of
from stream_serve.web.security import INFO, PAGE, guarded

if TYPE_CHECKING:
    from os import PathLike, stat_result

    from starlette.types import Scope

router = APIRouter()

_PAGES: Final = Path(stream_serve.__file__).parent / "pages"
_CLIENT: Final = _PAGES / "client.js"
_STREAM: Final = (_PAGES / "stream.html").read_text(encoding="utf-8")
_SWAGGER: Final = Path(fastapi_swagger.__file__).parent / "resources"
_DOCS_FILES: Final = {
    "start.js": _PAGES / "docs" / "start.js",
    "swagger-ui.css": _SWAGGER / "swagger-ui.css",
    "swagger-ui-bundle.js": _SWAGGER / "swagger-ui-bundle.js",
}
_STARTED: Final = time.monotonic()

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src {style}; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def _headers(style: str) -> dict[str, str]:
    return {
        "Content-Security-Policy": _POLICY.format(style=style),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cache-Control": "no-cache",
    }


_STRICT: Final = _headers("'self'")
_SWAGGER_HEADERS: Final = _headers("'self' 'unsafe-inline'")
"""Swagger UI needs inline styles; scripts stay strict."""
_MODULE: Final = {
    **_STRICT,
    "Access-Control-Allow-Origin": "*",
    "Cross-Origin-Resource-Policy": "cross-origin",
}
"""A module of another origin is fetched by the rules of CORS."""
_UNKEPT: Final = {"Cache-Control": "no-store"}


@guarded(PAGE)
class Assets(StaticFiles):
    """The static files of a page, with its strict Content-Security-Policy."""

    def __init__(self, name: str) -> None:
        super().__init__(directory=_PAGES / name)

    def file_response(
        self,
        full_path: str | PathLike[str],
        stat_result: stat_result,
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        """Return the response for a file, with the headers of the page."""
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers.update(_STRICT)
        return response


class Health(BaseModel):
    """`uptime` is in seconds, `timestamp` in ISO 8601."""

    status: str
    version: str
    timestamp: str
    uptime: float


class Readiness(BaseModel):
    """`status` is `ready`, `draining` or `unavailable`; `detail` says why it is unavailable."""

    status: str
    detail: str | None = None


class Liveness(BaseModel):
    """`status` is `ok`."""

    status: str


class Info(BaseModel, alias_generator=to_camel, populate_by_name=True):
    """The facts that a page needs before its first request, such as whether a key is required.

    `model` is null while nobody has said which one answers.
    """

    name: str
    version: str
    demo: bool
    auth_required: bool
    model: str | None


@router.head("/health", include_in_schema=False)
@router.get("/health", tags=["service"])
@guarded(PAGE)
async def show_health() -> Health:
    """Show that the service is up, its version and its uptime."""
    return Health(
        status="ok",
        version=__version__,
        timestamp=datetime.now(UTC).isoformat(timespec="milliseconds"),
        uptime=round(time.monotonic() - _STARTED, 3),
    )


@router.head("/health/live", include_in_schema=False)
@router.get("/health/live", tags=["service"])
@guarded(PAGE)
async def show_live(response: Response) -> Liveness:
    """Show that the process responds, also while it drains, so that a supervisor does not restart it."""
    response.headers.update(_UNKEPT)
    return Liveness(status="ok")


@router.head("/health/ready", include_in_schema=False)
@router.get(
    "/health/ready",
    tags=["service"],
    response_model_exclude_none=True,
    responses={503: {"model": Readiness, "description": "Draining, or without the event log"}},
)
@guarded(PAGE)
async def show_ready(runs: Annotated[Runs, Depends(runs_of)], response: Response) -> Readiness:
    """Show whether this process accepts new runs, for a load balancer."""
    response.headers.update(_UNKEPT)
    if not runs.draining and runs.ready:
        return Readiness(status="ready")
    response.status_code = 503
    response.headers["Retry-After"] = "5"
    if runs.draining:
        return Readiness(status="draining")
    return Readiness(status="unavailable", detail="the event log (Redis) cannot be reached")


@router.get("/ai/info", tags=["service"])
@guarded(INFO)
async def show_info(
    request: Request,
    provider: Annotated[Provider, Depends(provider_of)],
    settings: Annotated[Settings, Depends(settings_of)],
) -> Info:
    """Show which model answers, and whether a key is required. Needs no key."""
    return Info(
        name="stream-serve",
        version=__version__,
        demo=request.app.state.demo,
        auth_required=bool(settings.api_keys),
        model=next((one.name for one in provider.models if one.default), None),
    )


@router.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
@guarded(PAGE)
async def redirect_to_page() -> Response:
    """Redirect to the debug page."""
    return RedirectResponse("test-stream.html", status_code=307)


@router.api_route("/test-stream.html", methods=["GET", "HEAD"], include_in_schema=False)
@guarded(PAGE)
async def show_page() -> Response:
    """Show the debug page."""
    return FileResponse(_PAGES / "test-stream.html", headers=_STRICT)


@router.api_route("/streams/{name:path}", methods=["GET", "HEAD"], include_in_schema=False)
@guarded(PAGE)
async def show_stream(request: Request) -> Response:
    """Show a stream, whose name the page reads from its own address."""
    # A name may have slashes: only whole addresses lead back from there.
    root = html.escape(request.scope.get("root_path", ""))
    return HTMLResponse(_STREAM.replace('="/', f'="{root}/'), headers=_STRICT)


@router.api_route("/client.js", methods=["GET", "HEAD"], include_in_schema=False)
@guarded(PAGE)
async def show_client() -> Response:
    """Return the JavaScript client, an ES module; pages of any origin may import it."""
    return FileResponse(_CLIENT, headers=_MODULE, media_type="text/javascript")


@router.get("/docs", include_in_schema=False)
@guarded(PAGE)
async def show_docs() -> Response:
    """Show Swagger UI, whose files this service serves itself."""
    return FileResponse(_PAGES / "docs" / "index.html", headers=_SWAGGER_HEADERS)


@router.get("/docs/{name}", include_in_schema=False)
@guarded(PAGE)
async def show_docs_file(name: str) -> Response:
    """Return a file of Swagger UI, or 404."""
    path = _DOCS_FILES.get(name)
    if path is None:
        raise HTTPException(404)
    return FileResponse(path, headers=_SWAGGER_HEADERS)
