"""Where the chat page is served, what it may do, what is kept of it, and what is there instead of it."""

from __future__ import annotations

import gzip
import re
from typing import TYPE_CHECKING
from urllib.parse import urljoin

import aiohttp
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from stream_serve.app import create_app
from stream_serve.settings import Settings
from stream_serve.web.routes import pages
from support.host import serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

PLACES = ["/", "/c/conversation-1"]
BUILT = {"main-ABCD1234.js": "void 0;", "main-ABCD1234.css": "a {}", "font-ABCD1234.woff2": "x"}
PAGE = """<!doctype html>
<link rel="icon" href="/test-stream/favicon.svg">
<link rel="stylesheet" href="/chat-page/main-ABCD1234.css">
<script type="module" src="/chat-page/main-ABCD1234.js"></script>
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder that the page is built into; nothing is in it."""
    monkeypatch.setattr(pages, "CHAT", tmp_path / "chat")
    (tmp_path / "chat").mkdir()
    (tmp_path / "secret-ABCD1234.js").write_text("secret", encoding="utf-8")
    return tmp_path / "chat"


@pytest.fixture
def built(folder: Path) -> Path:
    for name, text in {"page.html": PAGE, "chat.state": "abc", **BUILT}.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(params=["", "/below"])
async def url(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """Return where the service is: alone, or below a prefix of another application."""
    app = create_app(Settings.load())
    if request.param:
        app = Starlette(routes=[Mount(request.param, app)])
    async with serving(app) as where:
        yield where + request.param


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as made:
        yield made


@pytest.mark.parametrize("place", PLACES)
async def test_the_page_is_at_the_root_and_at_each_conversation_and_finds_its_files(
    url: str, place: str, built: Path, session: aiohttp.ClientSession
) -> None:
    async with session.get(url + place, allow_redirects=False) as response:
        assert response.status == 200
        assert response.content_type == "text/html"
        shown = await response.text()
    files = re.findall(r'(?:href|src)="([^"]+)"', shown)
    assert len(files) == 3
    for file in files:
        async with session.get(urljoin(url + place, file)) as response:
            assert (file, response.status) == (file, 200)


async def test_built_files_are_kept_for_ever_and_the_page_is_asked_for_again(
    url: str, built: Path, session: aiohttp.ClientSession
) -> None:
    for name, text in BUILT.items():
        async with session.get(f"{url}/chat-page/{name}") as response:
            assert await response.text() == text
            assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"
            assert response.headers["X-Content-Type-Options"] == "nosniff"
    for place in PLACES:
        async with session.get(url + place) as response:
            assert response.headers["Cache-Control"] == "no-cache"


async def test_the_debug_page_finds_what_renders_text_under_a_name_that_stays(
    url: str, built: Path, session: aiohttp.ClientSession
) -> None:
    async with session.get(f"{url}/chat-page/rendered.js") as response:
        assert response.status == 404
    (built / "rendered.js").write_text('export * from "./main-ABCD1234.js";', encoding="utf-8")
    async with session.get(f"{url}/chat-page/rendered.js") as response:
        assert response.content_type == "text/javascript"
        assert response.headers["Cache-Control"] == "no-cache"
        assert "main-ABCD1234" in await response.text()


@pytest.mark.parametrize(
    ("accepted", "packed"),
    [
        ("gzip, br", True),
        ("br;q=1, *", True),
        ("gzip;q=0.5", True),
        ("gzip; q=0", False),
        ("gzip;q=0.0", False),
        ("", False),
    ],
)
async def test_what_was_packed_is_sent_packed_to_who_can_unpack_it(
    url: str, accepted: str, packed: bool, built: Path, session: aiohttp.ClientSession
) -> None:
    name = "main-ABCD1234.js"
    (built / f"{name}.gz").write_bytes(gzip.compress(BUILT[name].encode()))
    headers = {"Accept-Encoding": accepted}
    async with session.get(f"{url}/chat-page/{name}", headers=headers) as response:
        assert await response.text() == BUILT[name]
        assert (response.headers.get("Content-Encoding") == "gzip") is packed
        assert response.headers["Vary"] == "Accept-Encoding"
        assert response.content_type == "text/javascript"
        assert "immutable" in response.headers["Cache-Control"]


@pytest.mark.parametrize("place", [*PLACES, "/test-stream.html"])
async def test_a_page_with_answers_may_make_no_html_of_text_and_load_no_script_of_others(
    url: str, place: str, built: Path, session: aiohttp.ClientSession
) -> None:
    async with session.get(url + place) as response:
        header = response.headers["Content-Security-Policy"]
    rules = [rule.strip().partition(" ") for rule in header.split(";")]
    policy = {name: value for name, _, value in rules}
    nowhere = {"default-src", "base-uri", "form-action", "frame-ancestors"}
    assert {policy[name] for name in nowhere} == {"'none'"}
    own = {"script-src", "style-src", "connect-src", "font-src"}
    assert {policy[name] for name in own} == {"'self'"}
    assert policy["require-trusted-types-for"] == "'script'"
    assert policy["trusted-types"] == "'none'"


async def test_pages_of_the_allowed_origins_alone_may_be_around_it(
    built: Path, session: aiohttp.ClientSession
) -> None:
    allowed = "https://app.example, HTTPS://Other.example:443"
    async with serving(create_app(Settings.load(embed_origins=allowed))) as url:
        for place in PLACES:
            async with session.get(url + place) as response:
                policy = response.headers["Content-Security-Policy"]
                assert "frame-ancestors https://app.example https://other.example" in policy
                assert response.headers["Cross-Origin-Opener-Policy"] == "unsafe-none"
        async with session.get(f"{url}/ai/info") as response:
            known = (await response.json())["embedOrigins"]
        assert known == ["https://app.example", "https://other.example"]
        for place in ("/test-stream.html", "/docs", "/streams/a"):
            async with session.get(url + place) as response:
                assert "frame-ancestors 'none'" in response.headers["Content-Security-Policy"]
                assert response.headers["Cross-Origin-Opener-Policy"] == "same-origin"


async def test_what_is_built_for_other_pages_keeps_its_name_and_is_sent_once(
    url: str, built: Path, session: aiohttp.ClientSession
) -> None:
    async with session.get(f"{url}/widget.js") as response:
        assert response.status == 404
    (built / "widget.js").write_text("void 0;", encoding="utf-8")
    (built / "widget.js.gz").write_bytes(gzip.compress(b"void 0;"))
    for coding in ("gzip", "identity"):
        headers = {"Accept-Encoding": coding}
        async with session.get(f"{url}/widget.js", headers=headers) as response:
            assert await response.text() == "void 0;"
            assert response.headers["Cache-Control"] == "no-cache"
            assert response.headers["Access-Control-Allow-Origin"] == "*"
            assert response.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
            headers["If-None-Match"] = response.headers["ETag"]
        async with session.get(f"{url}/widget.js", headers=headers) as response:
            assert (response.status, await response.read()) == (304, b"")
            assert response.headers["ETag"] == headers["If-None-Match"]
            assert response.headers["Vary"] == "Accept-Encoding"
    (built / "widget.js.gz").unlink()
    (built / "widget.js").write_text("void 1;\n", encoding="utf-8")
    async with session.get(f"{url}/widget.js", headers=headers) as response:
        assert await response.text() == "void 1;\n"


@pytest.mark.parametrize("most", [None, 1000])
async def test_the_page_is_told_the_most_tokens_of_an_answer(
    session: aiohttp.ClientSession, most: int | None
) -> None:
    app = create_app(Settings.load(max_tokens=most))
    async with serving(app) as url, session.get(f"{url}/ai/info") as response:
        assert (await response.json())["maxTokens"] == most


@pytest.mark.parametrize(
    "name",
    [
        "page.html",
        "chat.state",
        "main-abcd1234.js",
        "gone-ABCD1234.js",
        "widget.js",
        "..%2Fsecret-ABCD1234.js",
    ],
)
async def test_nothing_else_is_a_built_file(
    url: str, name: str, built: Path, session: aiohttp.ClientSession
) -> None:
    async with session.get(f"{url}/chat-page/{name}") as response:
        assert response.status == 404


@pytest.mark.parametrize("place", PLACES)
async def test_where_it_was_not_built_the_debug_page_says_so(
    url: str, place: str, folder: Path, session: aiohttp.ClientSession
) -> None:
    async with session.get(url + place, allow_redirects=False) as response:
        assert response.status == 307
        target = urljoin(url + place, response.headers["Location"])
    assert target == f"{url}/test-stream.html#unbuilt"
    async with session.get(f"{url}/test-stream/words.js") as response:
        assert (await response.text()).count("`scripts/web`") == 2
