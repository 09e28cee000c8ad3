"""The chat page, the widget, the debug page, the API documentation, the health checks, and `/ai/info`."""

from __future__ import annotations

import html
import re
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
CHAT: Final = _PAGES / "chat"
"""What the chat page is built to (`scripts/web`); a checkout where nobody has done so lacks it."""

_HASHED: Final = re.compile(r"[\w-]+-[0-9A-Z]{8}\.\w[\w.]*", re.ASCII)
"""The name of a built file, which says what is in it."""

_STABLE: Final = "rendered.js"
"""The one file that is asked for without knowing the build: the debug page's way to rendered text."""

_TYPES: Final = {".js": "text/javascript", ".css": "text/css"}
_NONE: Final = re.compile(r"q=0(\.0*)?")
"""The weight of a coding that is not wanted."""

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
    "default-src 'none'; script-src 'self'; style-src {style}; img-src 'self' data:{more}; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors {around}"
)
_MORE: Final = (
    " blob: http: https:; font-src 'self'; require-trusted-types-for 'script'; trusted-types 'none'"
)
"""Where answers are rendered: no string becomes HTML or a script, and other hosts' pictures wait."""


def _headers(style: str, more: str = "", around: str = "'none'") -> dict[str, str]:
    return {
        "Content-Security-Policy": _POLICY.format(style=style, more=more, around=around),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cache-Control": "no-cache",
    }


_STRICT: Final = _headers("'self'")
_SWAGGER_HEADERS: Final = _headers("'self' 'unsafe-inline'")
"""Swagger UI needs inline styles; scripts stay strict."""
_ANSWERS: Final = _headers("'self'", _MORE)
_KEPT: Final = {**_STRICT, "Cache-Control": "public, max-age=31536000, immutable"}
"""What the name says is in a file never changes."""
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

    `model` is null while nobody has said which one answers. `maxTokens` is the most that an answer may
    have, and has where nobody says less; null is as many as the model allows. `temperature` and
    `thinking` hold where nobody says otherwise, for models that can be told; null is as the model does.
    Pages of the `embedOrigins` may embed the chat page, and hand it a token.
    """

    name: str
    version: str
    demo: bool
    auth_required: bool
    model: str | None
    max_tokens: int | None
    temperature: float | None
    thinking: bool | None
    embed_origins: tuple[str, ...]


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
        max_tokens=settings.max_tokens,
        temperature=settings.temperature,
        thinking=settings.thinking,
        embed_origins=settings.embed_origins,
    )


@router.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
@guarded(PAGE)
def show_chat(settings: Annotated[Settings, Depends(settings_of)]) -> Response:
    """Show the chat page; where it was not built, the debug page, which says so."""
    return _chat(settings, to_root="")


@router.api_route("/c/{conversation_id}", methods=["GET", "HEAD"], include_in_schema=False)
@guarded(PAGE)
def show_conversation(
    conversation_id: str,  # noqa: ARG001
    settings: Annotated[Settings, Depends(settings_of)],
) -> Response:
    """Show the chat page, which reads from its own address which conversation is meant."""
    return _chat(settings, to_root="../")


def _chat(settings: Settings, *, to_root: str) -> Response:
    page = CHAT / "page.html"
    if not page.is_file():
        return RedirectResponse(f"{to_root}test-stream.html#unbuilt", status_code=307)
    shown = page.read_text(encoding="utf-8").replace('="/', f'="{to_root}')
    around = settings.embed_origins
    headers = _headers("'self'", _MORE, around=" ".join(around) or "'none'")
    if around:
        # A page that opens it in another window is to hear from it.
        headers["Cross-Origin-Opener-Policy"] = "unsafe-none"
    return HTMLResponse(shown, headers=headers)


@router.api_route("/chat-page/{name}", methods=["GET", "HEAD"], include_in_schema=False)
@guarded(PAGE)
def show_chat_file(request: Request, name: str) -> Response:
    """Return a built file of the chat page, packed for who can unpack it, or 404."""
    path = CHAT / name
    if name == _STABLE:
        return _built(request, path, _STRICT)
    if not _HASHED.fullmatch(name):
        raise HTTPException(404)
    return _built(request, path, _KEPT)


@router.api_route("/widget.js", methods=["GET", "HEAD"], include_in_schema=False)
@guarded(PAGE)
def show_widget(request: Request) -> Response:
    """Return the script that gives any page a button and a panel with the chat page, or 404."""
    return _built(request, CHAT / "widget.js", _MODULE)


def _built(request: Request, path: Path, headers: dict[str, str]) -> Response:
    """Return a built file, packed for who can unpack it; 304 if that is what the browser has, or 404."""
    if not path.is_file():
        raise HTTPException(404)
    media_type = _TYPES.get(path.suffix)
    packed = path.with_name(f"{path.name}.gz")
    if packed.is_file():
        headers = {**headers, "Vary": "Accept-Encoding"}
        if _unpacks(request.headers.get("accept-encoding", "")):
            path, headers["Content-Encoding"] = packed, "gzip"
    sent = FileResponse(path, media_type=media_type, headers=headers, stat_result=path.stat())
    if sent.headers["etag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers={**headers, "ETag": sent.headers["etag"]})
    return sent


def _unpacks(accepted: str) -> bool:
    """Return whether this `Accept-Encoding` has gzip (RFC 9110, 12.5.3)."""
    for coding in accepted.lower().split(","):
        name, _, weight = coding.partition(";")
        if name.strip() in {"gzip", "*"}:
            return _NONE.fullmatch(weight.strip()) is None
    return False


@router.api_route("/test-stream.html", methods=["GET", "HEAD"], include_in_schema=False)
@guarded(PAGE)
async def show_page() -> Response:
    """Show the debug page."""
    return FileResponse(_PAGES / "test-stream.html", headers=_ANSWERS)


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
