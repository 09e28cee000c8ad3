"""Our JavaScript client as it is shipped: small, what its source builds to, with the types of the API."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
from typing import TYPE_CHECKING, Any, Final

import pytest

from stream_serve import __version__
from stream_serve.app import create_app
from stream_serve.settings import Settings
from stream_serve.web.openapi import describe
from support.clients import ROOT
from support.missing import lack
from support.process import running

if TYPE_CHECKING:
    import aiohttp

    from support.service import Service

SOURCE: Final = ROOT / "clients" / "js"
SERVED: Final = ROOT / "src" / "stream_serve" / "pages" / "client.js"
MOST: Final = 5120
"""Bytes that it may have, compressed as a web server does."""


def interface(name: str) -> dict[str, str]:
    """Return the fields of an interface in the client's types, with the type of each."""
    text = (SOURCE / "src" / "types.ts").read_text(encoding="utf-8")
    (body,) = re.findall(rf"export interface {name} \{{\n(.*?)\n\}}", text, re.DOTALL)
    return dict(re.findall(r"^  (\w+)\??: (.*);$", body, re.MULTILINE))


def schema(name: str) -> dict[str, Any]:
    return describe(create_app(Settings.load()))["components"]["schemas"][name]["properties"]


def test_it_is_small() -> None:
    assert len(gzip.compress(SERVED.read_bytes(), 6)) <= MOST


async def test_what_is_shipped_is_what_the_source_builds_to_and_its_package_is_sound() -> None:
    if not (SOURCE / "node_modules" / ".ready").exists():
        lack("the tools of clients/js are missing: run scripts/client-js --prepare")
    async with running(
        ROOT / "scripts" / "client-js",
        "--check",
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    ) as process:
        printed, _ = await process.communicate()
    assert process.returncode == 0, printed.decode()


async def test_the_service_has_it_at_client_js_for_pages_of_any_origin(
    service: Service, client: aiohttp.ClientSession
) -> None:
    async with client.get(
        f"{service.url}/client.js", headers={"Origin": "http://a.example"}
    ) as got:
        assert await got.read() == SERVED.read_bytes()
        assert got.headers["Content-Type"].startswith("text/javascript")
        assert got.headers["Access-Control-Allow-Origin"] == "*"
        assert got.headers["X-Content-Type-Options"] == "nosniff"


def test_its_version_is_the_services() -> None:
    package = json.loads((SOURCE / "package.json").read_text(encoding="utf-8"))
    assert package["version"] == __version__
    assert "dependencies" not in package


def test_a_question_has_the_fields_of_the_api() -> None:
    assert set(interface("Question")) == set(schema("ChatBody"))


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("Start", "Start"),
        ("Chunk", "Chunk"),
        ("Reasoning", "Reasoning"),
        ("ToolCall", "ToolCall"),
        ("ToolArguments", "ToolArguments"),
        ("Source", "Source"),
        ("Extra", "Extra"),
        ("End", "End"),
        ("Failure", "Error"),
        ("Usage", "Usage"),
    ],
)
def test_an_event_has_the_fields_of_the_api(name: str, theirs: str) -> None:
    assert set(interface(name)) == set(schema(theirs))
