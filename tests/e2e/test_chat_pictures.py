"""Pictures in the chat page: pasted, dropped or chosen, sent to the provider, there after a reload."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import TYPE_CHECKING, Any, Final, cast

import pytest
from playwright.async_api import expect

from support.chat import Chat, unheard, visit
from support.models import seeing
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import aiohttp
    from playwright.async_api import FilePayload

    from stream_serve.testing import ScriptedUpstream
    from support.page import PageFactory
    from support.service import Service

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


WRITTEN: Final = """
(kind) => {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [40, 30];
  canvas.getContext("2d").fillRect(0, 0, 20, 30);
  return canvas.toDataURL(kind);
}
"""

TURNED: Final = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
SENT_AT_ONCE: Final = f"""
(given) => {{
  ({HANDED.strip()})(given);
  const enter = new KeyboardEvent("keydown", {{ key: "Enter", bubbles: true, cancelable: true }});
  document.querySelector("#message").dispatchEvent(enter);
}}
"""

PLACE: Final = b"Exif\0\0" + TURNED + b"51.4769 N 0.0005 W, by Ada"
"""What a camera writes beside the picture: that it was held upright, where, and who."""


def png(width: int, height: int, place: bytes = b"") -> bytes:
    """Return a picture in one colour; `place` is written beside it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress((b"\0" + b"\x1f\x5f\xbf" * width) * height)
    beside = chunk(b"eXIf", place) + chunk(b"tEXt", b"Comment\0" + place) if place else b""
    parts = chunk(b"IHDR", head) + beside + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def jpeg(written: bytes, place: bytes) -> bytes:
    """Return a JPEG picture with `place` written beside it."""
    return written[:2] + b"\xff\xe1" + struct.pack(">H", len(place) + 2) + place + written[2:]


def size_of(picture: bytes) -> tuple[int, int]:
    """Return the pixels of a JPEG picture, from its frame's header."""
    at = 2
    while picture[at + 1] not in {0xC0, 0xC2}:
        at += 2 + struct.unpack(">H", picture[at + 2 : at + 4])[0]
    height, width = struct.unpack(">HH", picture[at + 5 : at + 9])
    return width, height


@pytest.fixture
async def service(upstream: ScriptedUpstream) -> AsyncIterator[Service]:
    async with seeing(upstream.url, "answer?tokens=3") as running:
        yield running


async def choose(chat: Chat, picture: bytes, kind: str = "image/png") -> None:
    """Choose a file, as from the dialog of the browser."""
    file: FilePayload = {"name": "chosen", "mimeType": kind, "buffer": picture}
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
    assert [part["type"] for part in sent] == ["image_url"] * 3 + ["text"]
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


async def test_a_reload_before_a_question_is_heard_of_brings_its_picture_back(
    service: Service, page_context: PageFactory, client: aiohttp.ClientSession
) -> None:
    chat = await visit(page_context, service)
    began = await unheard(chat, client)
    await choose(chat, png(40, 30))
    await expect(chat.page.locator(".chip img")).to_have_count(1)
    await chat.ask("what is this?")
    await began.wait()
    await chat.page.reload()
    await expect(chat.questions).to_contain_text(["what is this?"])
    await expect(chat.questions.locator("img")).to_have_count(1)


async def test_a_picture_stays_with_the_conversation_that_it_was_chosen_in(
    service: Service, upstream: ScriptedUpstream, page_context: PageFactory
) -> None:
    chat = await visit(page_context, service)
    await send(chat, "Hello", upstream)
    await choose(chat, png(40, 30))
    await expect(chat.page.locator(".chip img")).to_have_count(1)
    await chat.button("New conversation").click()
    await expect(chat.page.locator(".chip img")).to_have_count(0)
    await chat.page.get_by_role("link", name="Hello").click()
    await expect(chat.page.locator(".chip")).to_contain_text(["chosen"])
    sent = await send(chat, "what is this?", upstream)
    assert data_of(sent[0])[:24] == png(40, 30)[:24]  # up to its width and height
    await expect(chat.page.locator(".chip img")).to_have_count(0)


async def test_a_large_picture_is_made_smaller_in_the_page(
    service: Service, upstream: ScriptedUpstream, page_context: PageFactory
) -> None:
    chat = await visit(page_context, service)
    await choose(chat, png(4000, 2000))
    await expect(chat.page.locator(".chip img")).to_have_count(1)
    sent = await send(chat, "what is this?", upstream)
    assert size_of(data_of(sent[0])) == (1568, 784)


async def test_what_a_camera_writes_beside_a_picture_is_not_sent(
    service: Service, upstream: ScriptedUpstream, page_context: PageFactory
) -> None:
    chat = await visit(page_context, service)
    written: str = await chat.page.evaluate(WRITTEN, "image/jpeg")
    await choose(chat, png(40, 30, PLACE))
    await choose(chat, jpeg(base64.b64decode(written.partition(",")[2]), PLACE), "image/jpeg")
    await expect(chat.page.locator(".chip img")).to_have_count(2)
    sent = await send(chat, "where is this?", upstream)
    first, second = (data_of(part) for part in sent[:2])
    assert (first[:4], second[:2]) == (b"\x89PNG", b"\xff\xd8")
    assert size_of(second) == (30, 40)
    assert [one for one in (first, second) if b"51.4769" in one or b"Exif" in one] == []


async def test_a_question_that_is_sent_while_its_picture_is_read_takes_it_along(
    service: Service, upstream: ScriptedUpstream, page_context: PageFactory
) -> None:
    chat = await visit(page_context, service)
    await chat.box.fill("what is this?")
    picture = base64.b64encode(png(4000, 2000)).decode()
    await chat.page.evaluate(SENT_AT_ONCE, ["paste", picture])
    await expect(chat.questions.locator("img")).to_have_count(1)
    await until(lambda: len(upstream.requests) == 1)
    parts = upstream.requests[0].body["messages"][-1]["content"]
    assert [part["type"] for part in parts] == ["image_url", "text"]
    await expect(chat.box).to_have_value("")
    await expect(chat.page.locator(".chip")).to_have_count(0)


async def test_a_picture_of_too_many_pixels_is_refused_with_a_sentence_and_not_decoded(
    service: Service, page_context: PageFactory
) -> None:
    chat = await visit(page_context, service)
    await chat.page.evaluate("() => (globalThis.createImageBitmap = undefined)")
    await choose(chat, png(8000, 8000))
    said = chat.page.get_by_text("chosen has more than 50 megapixels. Make it smaller first.")
    await expect(said).to_be_visible()
    await expect(chat.page.locator(".chip img")).to_have_count(0)


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


async def test_a_picture_that_a_model_would_not_see_is_said_in_the_box_and_in_an_edited_question(
    service: Service, upstream: ScriptedUpstream, page_context: PageFactory
) -> None:
    chat = await visit(page_context, service)
    await choose(chat, png(8, 8))
    await send(chat, "What is this?", upstream)
    status = chat.page.get_by_role("status").filter(has_text="does not see the pictures above")
    await expect(status).to_have_count(0)
    await chat.button("Model: seeing").click()
    await chat.page.get_by_role("menuitemradio", name="blind").click()
    await expect(status).to_have_text(
        "blind does not see the pictures above; it is told that there were some."
    )
    asked = len(upstream.requests)
    await chat.questions.first.get_by_role("button", name="Edit").click()
    editor = chat.page.get_by_role("textbox", name="Edit the question")
    await expect(editor).to_be_focused()
    await expect(chat.questions.first.get_by_role("alert")).to_have_text(
        "blind cannot see pictures. Choose a model that can."
    )
    await expect(chat.button("Send as a new branch")).to_be_disabled()
    await editor.press("Enter")
    await chat.button("Model: blind").click()
    await chat.page.get_by_role("menuitemradio", name="seeing").click()
    await expect(status).to_have_count(0)
    await editor.fill("And this?")
    await editor.press("Enter")
    await until(lambda: len(upstream.requests) > asked)
    content = upstream.requests[-1].body["messages"][-1]["content"]
    assert [part["type"] for part in content] == ["image_url", "text"]
    assert content[-1]["text"] == "And this?"
    assert len(upstream.requests) == asked + 1
