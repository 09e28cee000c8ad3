"""The debug page in a real browser, against a real service and the scripted upstream."""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING, Final

from playwright.async_api import expect

from support.page import visit

if TYPE_CHECKING:
    from playwright.async_api import Route

    from stream_serve.testing import ScriptedUpstream
    from support.page import KeyedService, PageFactory, Service

ROWS: Final = 500  # rows of the inspector that stay in the page

EVENTS_WITHOUT_AN_END: Final = (
    'id: 1\ndata: {"type":"start","runId":"run-1","model":"m"}\n\n'
    'id: 2\ndata: {"type":"chunk","content":"半句"}\n\n'
)


# Sending


async def test_the_answer_appears_while_it_is_written(
    service: Service, page_context: PageFactory
) -> None:
    debugger = await visit(page_context, service)
    await debugger.send("answer?tokens=80&interval=0.03")
    await expect(debugger.answer).not_to_be_empty()
    early = await debugger.answer.text_content() or ""
    await debugger.reaches("streaming")
    await expect(debugger.stop).to_be_enabled()
    await expect(debugger.start).to_be_disabled()
    await debugger.reaches("finished")
    whole = await debugger.answer.text_content() or ""
    assert whole.startswith(early)
    assert len(whole) > len(early)
    await expect(debugger.start).to_be_enabled()
    await expect(debugger.stop).to_be_disabled()


async def test_tool_calls_sources_and_extras_are_rows_of_the_inspector(
    service: Service, page_context: PageFactory
) -> None:
    debugger = await visit(page_context, service, locale="en-US")
    for model, kinds in (
        ("tool-call?calls=2", ("tool_call", "tool_arguments")),
        ("citations", ("source", "extra")),
    ):
        await debugger.send(model)
        await debugger.reaches("finished")
        for kind in kinds:
            row = debugger.page.locator(f'#events [data-type="{kind}"]')
            await expect(row.first).to_be_attached()
        await expect(debugger.page.locator('#events [data-type="other"]')).to_have_count(0)


async def test_the_end_shows_the_finish_reason_and_whose_usage_it_is(
    service: Service, page_context: PageFactory
) -> None:
    debugger = await visit(page_context, service, locale="en-US")
    await debugger.send("answer?tokens=5&finish=length")
    await debugger.reaches("finished")
    outcome = debugger.page.locator("#outcome")
    await expect(outcome).to_contain_text("length limit reached (length)")
    await expect(outcome).to_contain_text("completion 5")
    await expect(outcome).to_contain_text("counted by the provider")
    await expect(debugger.mark).to_be_hidden()


async def test_the_fields_are_sent_and_empty_ones_are_left_out(
    service: Service, upstream: ScriptedUpstream, page_context: PageFactory
) -> None:
    debugger = await visit(page_context, service)
    await debugger.send("answer?tokens=1")
    await debugger.reaches("finished")
    plain = upstream.requests[-1].body
    assert "enable_thinking" not in plain
    assert plain["messages"][-1]["content"] == "你好"

    await debugger.page.locator("#system-prompt").fill("Answer in rhyme.")
    await debugger.page.get_by_role("switch").check()
    await debugger.send("answer?tokens=2")
    await debugger.reaches("finished")
    full = upstream.requests[-1].body
    assert full["enable_thinking"] is True
    assert full["messages"][0] == {"role": "system", "content": "Answer in rhyme."}


async def test_white_space_and_line_ends_are_kept(
    service: Service, page_context: PageFactory
) -> None:
    debugger = await visit(page_context, service)
    code = "def f():\n\tif x:\n        return  1\n\n\nend 😀"
    await debugger.send("echo", code)
    await debugger.reaches("finished")
    assert await debugger.answer.text_content() == code
    style = await debugger.answer.evaluate("element => getComputedStyle(element).whiteSpace")
    assert style == "pre-wrap"


async def test_an_empty_message_is_not_sent(
    service: Service, upstream: ScriptedUpstream, page_context: PageFactory
) -> None:
    debugger = await visit(page_context, service)
    await debugger.send("answer", "   ")
    await expect(debugger.page.locator("#message-error")).to_have_text("请先输入消息。")
    await expect(debugger.page.locator("#message")).to_be_focused()
    assert upstream.requests == []


async def test_thinking_is_shown_apart_from_the_answer(
    service: Service, page_context: PageFactory
) -> None:
    debugger = await visit(page_context, service)
    await debugger.send("thinking?thought=THOUGHT&text=ANSWER")
    await debugger.reaches("finished")
    await expect(debugger.page.locator("#thinking-text")).to_have_text("THOUGHT")
    await expect(debugger.page.locator("#thinking")).to_have_attribute("open", "")
    await expect(debugger.answer).to_have_text("ANSWER")


async def test_the_view_follows_the_end_only_while_the_reader_is_there(
    service: Service, page_context: PageFactory
) -> None:
    debugger = await visit(page_context, service, viewport=(390, 600))
    box = debugger.page.locator("#answer")
    distance = "box => box.scrollHeight - box.scrollTop - box.clientHeight"
    await debugger.send("answer?tokens=5000&interval=0.005")
    await expect(debugger.answer).to_contain_text(re.compile(r".{1500}", re.DOTALL))
    assert await box.evaluate("box => box.scrollTop") > 0
    assert await box.evaluate(distance) < 24

    await box.evaluate("box => { box.scrollTop = 0; }")
    seen = len(await debugger.answer.text_content() or "")
    longer = re.compile(rf".{{{seen + 300}}}", re.DOTALL)
    await expect(debugger.answer).to_contain_text(longer)
    assert await box.evaluate("box => box.scrollTop") == 0
    await debugger.stop.click()
    await debugger.reaches("stopped")


# Stopping


async def test_stop_keeps_the_text_marks_it_and_shows_the_receipt(
    service: Service, upstream: ScriptedUpstream, page_context: PageFactory
) -> None:
    debugger = await visit(page_context, service)
    await debugger.send("answer?tokens=1000&interval=0.02")
    await expect(debugger.answer).not_to_be_empty()
    early = await debugger.answer.text_content() or ""
    await debugger.stop.click()
    await debugger.reaches("stopped")
    assert (await debugger.answer.text_content() or "").startswith(early)
    await expect(debugger.mark).to_have_text("[用户停止生成]")
    await expect(debugger.receipt).to_contain_text("已停止")
    await expect(debugger.receipt).to_contain_text("已关闭")
    await expect(debugger.receipt).to_contain_text("毫秒")
    await expect(debugger.receipt).to_contain_text("(stopped)")
    await expect(debugger.receipt).to_contain_text("估算")
    await expect(debugger.status).to_have_text("已停止")
    assert upstream.requests[-1].closed_by == "peer"


async def test_stop_before_the_first_token_closes_the_upstream_too(
    service: Service, upstream: ScriptedUpstream, page_context: PageFactory
) -> None:
    debugger = await visit(page_context, service)
    await debugger.send("silent")
    await expect(debugger.rows).to_have_count(1)
    await debugger.stop.click()
    await debugger.reaches("stopped")
    await expect(debugger.mark).to_be_visible()
    await expect(debugger.answer).to_be_empty()
    await expect(debugger.receipt).to_be_visible()
    assert [record.closed_by for record in upstream.requests] in ([], ["peer"])


async def test_stop_before_the_first_byte_reaches_the_run_by_its_id(
    service: Service, upstream: ScriptedUpstream, page_context: PageFactory
) -> None:
    debugger = await visit(page_context, service)
    held: list[Route] = []

    async def hold(route: Route) -> None:
        held.append(route)

    await debugger.page.route("**/ai/chat/stream-sse", hold)
    async with debugger.page.expect_event("requestfailed"):
        await debugger.send("answer")
        await debugger.stop.click()
    await debugger.reaches("stopped")
    await expect(debugger.mark).to_have_text("[用户停止生成]")
    await expect(debugger.receipt).to_contain_text("没有回执")
    await expect(debugger.start).to_be_enabled()
    late = await debugger.page.request.post(
        f"{service.url}/ai/chat/stream-sse",
        data=held[0].request.post_data_json,
        headers={"Idempotency-Key": held[0].request.headers["idempotency-key"]},
    )
    assert late.status == 409
    assert (await late.json())["code"] == "stopped_before_start"
    assert upstream.requests == []


async def test_a_stop_from_elsewhere_is_shown_as_a_stop(
    service: Service, page_context: PageFactory
) -> None:
    debugger = await visit(page_context, service)
    async with debugger.page.expect_response("**/ai/chat/stream-sse") as coming:
        await debugger.send("hang-mid")
    run = (await (await coming.value).all_headers())["x-run-id"]
    await expect(debugger.rows).to_have_count(4)
    await debugger.page.request.post(f"{service.url}/ai/runs/{run}/stop")
    await debugger.reaches("stopped")
    await expect(debugger.mark).to_be_visible()


async def test_a_new_message_after_a_stop_starts_clean(
    service: Service, page_context: PageFactory
) -> None:
    debugger = await visit(page_context, service)
    await debugger.send("hang-mid")
    await expect(debugger.answer).not_to_be_empty()
    await debugger.stop.click()
    await debugger.reaches("stopped")
    await debugger.send("echo", "again")
    await debugger.reaches("finished")
    await expect(debugger.answer).to_have_text("again")
    await expect(debugger.mark).to_be_hidden()
    await expect(debugger.receipt).to_be_hidden()
    assert (await debugger.column("id"))[0] == "1"


# Failures


async def test_an_error_in_the_middle_shows_its_code_and_keeps_the_text(
    service: Service, page_context: PageFactory
) -> None:
    debugger = await visit(page_context, service)
    await debugger.send("error-mid?text=kept&tokens=1")
    await debugger.reaches("failed")
    await expect(debugger.answer).to_have_text("kept")
    await expect(debugger.failure).to_contain_text("upstream_")
    await expect(debugger.failure.locator(".server-words")).not_to_be_empty()
    await expect(debugger.mark).to_be_hidden()
    await expect(debugger.start).to_be_enabled()
    assert (await debugger.column("type"))[-1] == "error"


async def test_an_error_is_explained_in_the_pages_language(
    service: Service, page_context: PageFactory
) -> None:
    debugger = await visit(page_context, service)
    await debugger.send("unauthorized")
    await debugger.reaches("failed")
    await expect(debugger.failure).to_contain_text("模型服务商不接受所配置的密钥。")
    await expect(debugger.failure).to_contain_text("upstream_auth")
    await expect(debugger.status).to_contain_text("出错：")


async def test_a_stream_without_an_end_is_shown_as_cut(
    service: Service, page_context: PageFactory
) -> None:
    debugger = await visit(page_context, service)

    async def cut(route: Route) -> None:
        await route.fulfill(
            headers={"Content-Type": "text/event-stream", "X-Run-Id": "run-1"},
            body=EVENTS_WITHOUT_AN_END,
        )

    await debugger.page.route("**/ai/chat/stream-sse", cut)
    await debugger.send("answer")
    await debugger.reaches("cut")
    await expect(debugger.answer).to_have_text("半句")
    await expect(debugger.failure).to_contain_text("可能不完整")
    await expect(debugger.failure).to_contain_text("run_not_found")
    await expect(debugger.start).to_be_enabled()


async def test_a_gap_in_the_numbers_is_an_error_and_text_after_it_is_not_shown(
    service: Service, page_context: PageFactory
) -> None:
    debugger = await visit(page_context, service)
    gap = EVENTS_WITHOUT_AN_END + 'id: 4\ndata: {"type":"chunk","content":"后文"}\n\n'

    async def skip(route: Route) -> None:
        await route.fulfill(headers={"Content-Type": "text/event-stream"}, body=gap)

    await debugger.page.route("**/ai/chat/stream-sse", skip)
    await debugger.send("answer")
    await debugger.reaches("failed")
    await expect(debugger.answer).to_have_text("半句")
    await expect(debugger.failure).to_contain_text("应为第 3 个事件，收到的是第 4 个")
    await expect(debugger.page.locator("#events-skipped")).to_be_visible()


async def test_a_response_that_is_no_stream_is_not_taken_for_one(
    service: Service, page_context: PageFactory
) -> None:
    debugger = await visit(page_context, service)

    async def login_wall(route: Route) -> None:
        await route.fulfill(content_type="text/html", body="<h1>Log in</h1>")

    await debugger.page.route("**/ai/chat/stream-sse", login_wall)
    await debugger.send("answer")
    await debugger.reaches("failed")
    await expect(debugger.failure).to_contain_text("text/html")


# Hostile text


async def test_markup_in_the_answer_is_text_and_nothing_of_it_runs(
    service: Service, page_context: PageFactory
) -> None:
    debugger = await visit(page_context, service)
    page = debugger.page
    title = await page.title()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    await debugger.send("markup")
    await debugger.reaches("finished")
    await debugger.rows.nth(1).locator("button").click()
    await page.get_by_role("tab", name="原始字节").click()
    await expect(page.locator("#raw")).to_contain_text("onerror")
    await expect(debugger.answer).to_contain_text("<script>")
    await expect(debugger.answer).to_contain_text("onerror")
    made = page.locator(":is(#answer, #events, #raw) :is(img, script, a, svg, iframe, object)")
    await expect(made).to_have_count(0)
    assert await page.title() == title
    ours = tuple(f"{service.url}/{place}/" for place in ("ai", "chat-page"))
    assert [url for url in asked if not url.startswith(ours)] == []


# The inspector


async def test_the_inspector_lists_every_event_with_its_numbers(
    service: Service, page_context: PageFactory
) -> None:
    debugger = await visit(page_context, service, locale="en-US")
    await debugger.send("answer?tokens=5&interval=0.02")
    await debugger.reaches("finished")
    count = await debugger.rows.count()
    assert await debugger.column("id") == [str(number) for number in range(1, count + 1)]
    types = await debugger.column("type")
    assert (types[0], types[-1]) == ("start", "end")
    assert set(types[1:-1]) == {"chunk"}
    times = [float(value) for value in await debugger.column("time")]
    assert times == sorted(times)
    gaps = [float(value) for value in await debugger.column("gap")]
    assert abs(sum(gaps) - times[-1]) < 1
    page = debugger.page
    await expect(page.locator("#tile-events")).to_have_text(str(count))
    for tile in ("first-event", "first-token", "tokens", "characters", "total"):
        await expect(page.locator(f"#tile-{tile}")).to_have_text(re.compile(r"\d"))
    label = await page.locator("#chart").get_attribute("aria-label") or ""
    assert "median" in label


async def test_the_raw_bytes_can_be_read_and_downloaded(
    service: Service, page_context: PageFactory
) -> None:
    debugger = await visit(page_context, service)
    page = debugger.page
    await debugger.send("answer?tokens=5")
    await debugger.reaches("finished")
    sizes = [int(value) for value in await debugger.column("size")]
    await page.get_by_role("tab", name="原始字节").click()
    await expect(page.locator("#raw")).to_contain_text('"type":"end"')
    async with page.expect_download() as coming:
        await page.get_by_role("button", name="下载").click()
    content = (await (await coming.value).path()).read_bytes()
    assert content.startswith(b"id: 1\ndata: {")
    assert await page.locator("#raw").text_content() == content.decode()
    assert sum(sizes) == len(content)


async def test_a_row_opens_to_the_event_as_it_came(
    service: Service, page_context: PageFactory
) -> None:
    debugger = await visit(page_context, service)
    await debugger.send("echo", "opened")
    await debugger.reaches("finished")
    first = debugger.rows.first.locator("button")
    await first.focus()
    await debugger.page.keyboard.press("ArrowDown")
    second = debugger.rows.nth(1).locator("button")
    await expect(second).to_be_focused()
    await debugger.page.keyboard.press("Enter")
    await expect(second).to_have_attribute("aria-expanded", "true")
    await expect(debugger.rows.nth(1).locator("pre")).to_contain_text("id: 2")
    await debugger.page.keyboard.press("Enter")
    await expect(second).to_have_attribute("aria-expanded", "false")
    await expect(debugger.rows.nth(1).locator("pre")).to_have_count(0)


async def test_twenty_thousand_events_are_counted_though_few_rows_stay(
    service: Service, page_context: PageFactory
) -> None:
    debugger = await visit(page_context, service, locale="en-US")
    await debugger.send("flood?tokens=20000")
    await debugger.reaches("finished")
    await expect(debugger.rows).to_have_count(ROWS)
    last = int((await debugger.column("id"))[-1])
    assert last >= 20_002
    await expect(debugger.page.locator("#tile-events")).to_have_text(f"{last:,}")
    hidden = debugger.page.locator("#events-hidden")
    await expect(hidden).to_contain_text(f"{last - ROWS:,}")
    await expect(debugger.page.locator("#events-skipped")).to_be_hidden()


async def test_the_request_can_be_copied_as_curl(
    service: Service, page_context: PageFactory
) -> None:
    debugger = await visit(page_context, service)
    page = debugger.page
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    message = 'it\'s $HOME `id` "quoted" \\ !\n第二行'
    await debugger.send("answer?tokens=1", message)
    await debugger.reaches("finished")
    await page.get_by_role("tab", name="curl").click()
    await page.locator("#curl-copy").click()
    await expect(page.locator("#curl-copy")).to_have_text("已复制")
    command = await page.evaluate("navigator.clipboard.readText()")
    assert command == await page.locator("#curl").text_content()
    words = shlex.split(command.replace("\\\n", ""))
    assert words[:3] == ["curl", "-N", f"{service.url}/ai/chat/stream-sse"]
    body = json.loads(words[words.index("--data-raw") + 1])
    assert any(re.fullmatch(r"Idempotency-Key: [A-Za-z0-9_-]{22}", word) for word in words)
    assert body == {"message": message, "model": "answer?tokens=1", "onDisconnect": "continue"}


# The service behind it


async def test_the_demo_model_is_announced(
    demo_service: Service, page_context: PageFactory
) -> None:
    debugger = await visit(page_context, demo_service)
    banner = debugger.page.locator("#demo")
    await expect(banner).to_be_visible()
    await expect(banner).to_contain_text("DASHSCOPE_API_KEY")
    await debugger.page.locator("#message").fill("你好")
    await debugger.start.click()
    await expect(debugger.answer).not_to_be_empty()
    await debugger.stop.click()
    await debugger.reaches("stopped")
    await expect(debugger.receipt).to_contain_text("没有建立过，或未知")


async def test_a_real_model_has_no_demo_banner(service: Service, page_context: PageFactory) -> None:
    debugger = await visit(page_context, service)
    await expect(debugger.page.locator("#model")).to_have_attribute("placeholder", re.compile(r"."))
    await expect(debugger.page.locator("#demo")).to_be_hidden()
    await expect(debugger.page.locator("#key-field")).to_be_hidden()


async def test_a_service_with_keys_asks_for_one_and_the_key_stays_in_the_tab(
    keyed_service: KeyedService, page_context: PageFactory
) -> None:
    debugger = await visit(page_context, keyed_service)
    page = debugger.page
    key = page.get_by_label("API 密钥")
    await expect(key).to_have_attribute("type", "password")
    await page.locator("#message").fill("你好")
    await debugger.start.click()
    await debugger.reaches("failed")
    await expect(debugger.failure).to_contain_text("401")
    await expect(key).to_be_focused()

    await key.fill(keyed_service.key)
    async with page.expect_request("**/ai/chat/stream-sse") as coming:
        await debugger.start.click()
    request = await coming.value
    assert (await request.all_headers())["authorization"] == f"Bearer {keyed_service.key}"
    assert keyed_service.key not in request.url
    await expect(debugger.answer).not_to_be_empty()
    await expect(debugger.failure).to_be_hidden()

    command = await page.locator("#curl").text_content() or ""
    assert keyed_service.key not in command
    assert '"Authorization: Bearer $STREAM_SERVE_API_KEY"' in command
    assert keyed_service.key not in await page.evaluate("Object.values(localStorage).join()")
    await page.reload()
    await expect(key).to_have_value(keyed_service.key)
