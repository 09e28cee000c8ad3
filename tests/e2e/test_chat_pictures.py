"""Pictures in the chat page: pasted, dropped or chosen, sent to the provider, there after a reload."""

from __future__ import annotations

import base64
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import pytest
from playwright.async_api import expect

from support.chat import Chat, visit
from support.service import Service
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import FilePayload

    from stream_serve.testing import ScriptedUpstream
    from support.page import PageFactory

MODELS: Final = """
[[providers]]
name = "scripted"
url = "{url}"
key = "sk-scripted"

[[models]]
name = "seeing"
targets = [{{ model = "answer?tokens=3" }}]
sees = true
default = true

[[models]]
name = "blind"
targets = [{{ model = "answer?tokens=3" }}]
sees = false
"""

HANDED: Final = """
async ([name, encoded]) => {
  const bytes = Uint8Array.from(atob(encoded), (one) => one.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], name + ".png", { type: "image/png" }));
  const event = name === "paste"
    ? new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true, cancelable: true })
    : new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true });
  document.querySelector("#message").dispatchEvent(event);
}
"""


def png(width: int, height: int) -> bytes:
    """Return a picture in one colour."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress((b"\0" + b"\x1f\x5f\xbf" * width) * height)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def size_of(picture: bytes) -> tuple[int, int]:
    """Return the pixels of a JPEG picture, from its frame's header."""
    at = 2
    while picture[at + 1] not in {0xC0, 0xC2}:
        at += 2 + struct.unpack(">H", picture[at + 2 : at + 4])[0]
    height, width = struct.unpack(">HH", picture[at + 5 : at + 9])
    return width, height


@pytest.fixture
async def service(upstream: ScriptedUpstream, tmp_path: Path) -> AsyncIterator[Service]:
    """Return a service with a model that takes pictures, and one that does not."""
    Path("stream-serve.toml").write_text(MODELS.format(url=upstream.url), encoding="utf-8")
    database = f"sqlite:///{tmp_path / 'kept.db'}"
    async with Service(database_url=database) as running:
        yield running


async def choose(chat: Chat, picture: bytes) -> None:
    """Choose a file, as from the dialog of the browser."""
    file: FilePayload = {"name": "chosen.png", "mimeType": "image/png", "buffer": picture}
    async with chat.page.expect_file_chooser() as chooser:
        await chat.button("Add a picture or a text file").click()
    await (await chooser.value).set_files(file)


async def send(chat: Chat, words: str, upstream: ScriptedUpstream) -> list[dict[str, Any]]:
    """Ask, wait for the answer, and return what the provider got as the question."""
    before = len(upstream.requests)
    box = chat.page.get_by_role("textbox", name="Message", exact=True)
    await box.fill(words)
    await box.press("Enter")
    await until(lambda: len(upstream.requests) > before)
    await expect(chat.button("Send")).to_be_visible()
    messages = upstream.requests[-1].body["messages"]
    return cast("list[dict[str, Any]]", messages[-1]["content"])


def data_of(part: dict[str, Any]) -> bytes:
    return base64.b64decode(part["image_url"]["url"].partition(",")[2])


async def test_a_picture_that_is_chosen_pasted_or_dropped_is_sent_and_there_after_a_reload(
    service: Service, upstream: ScriptedUpstream, page_context: PageFactory
) -> None:
    chat = await visit(page_context, service)
    small = png(40, 30)
    await choose(chat, small)
    for way in ("paste", "drop"):
        await chat.page.evaluate(HANDED, [way, base64.b64encode(small).decode()])
    await expect(chat.page.locator(".chip img")).to_have_count(3)
    sent = await send(chat, "what are these?", upstream)
    assert [data_of(part) for part in sent[:3]] == [small] * 3
    assert sent[3] == {"type": "text", "text": "what are these?"}
    question = chat.page.get_by_role("article", name="You").first
    await expect(question.locator("img")).to_have_count(3)

    await chat.page.reload()
    await expect(question.locator("img")).to_have_count(3)
    loaded = "all => all.every((one) => one.complete && one.naturalWidth === 40)"
    await expect(question.locator("img").first).to_be_visible()
    assert await question.locator("img").evaluate_all(loaded)
    await expect(question).to_contain_text("what are these?")
    await expect(chat.heading).to_have_text("what are these?")
    await send(chat, "and in one word?", upstream)
    assert upstream.requests[-1].body["messages"][1]["content"] == sent


async def test_a_large_picture_is_made_smaller_in_the_page(
    service: Service, upstream: ScriptedUpstream, page_context: PageFactory
) -> None:
    chat = await visit(page_context, service)
    await choose(chat, png(4000, 2000))
    await expect(chat.page.locator(".chip img")).to_have_count(1)
    sent = await send(chat, "what is this?", upstream)
    assert size_of(data_of(sent[0])) == (1568, 784)


async def test_a_model_that_does_not_see_gets_no_picture_and_the_page_says_so(
    service: Service, upstream: ScriptedUpstream, page_context: PageFactory
) -> None:
    chat = await visit(page_context, service)
    await choose(chat, png(40, 30))
    await expect(chat.page.locator(".chip img")).to_have_count(1)
    await chat.page.locator("#open-model").click()
    await chat.page.get_by_role("menuitemradio", name="blind").click()
    box = chat.page.get_by_role("textbox", name="Message", exact=True)
    await box.fill("what is this?")
    await box.press("Enter")
    said = chat.page.get_by_text("blind cannot see pictures. Choose a model that can.")
    await expect(said).to_be_visible()
    await expect(box).to_have_value("what is this?")
    await chat.page.locator(".chip button").click()
    await choose(chat, png(40, 30))
    await expect(said).to_be_visible()
    await expect(chat.page.locator(".chip img")).to_have_count(0)
    assert upstream.requests == []
