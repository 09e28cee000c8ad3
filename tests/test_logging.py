"""The log's lines, as an operator or a collector reads them."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal

import pytest
import structlog
from msgspec import Struct

from stream_serve import logging as logs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

CANARY = "canary-local-7f3a"
Style = Literal["json", "console"]


@pytest.fixture(autouse=True)
def restore() -> Iterator[None]:
    """Put the process's logging back to what it was."""
    loggers = [logging.getLogger(name) for name in (None, "uvicorn", "uvicorn.error")]
    before = [(log, log.handlers[:], log.level, log.propagate) for log in loggers]
    config = structlog.get_config()
    yield
    structlog.configure(**config)
    for log, handlers, level, propagate in before:
        log.handlers[:] = handlers
        log.setLevel(level)
        log.propagate = propagate


def ours() -> structlog.stdlib.BoundLogger:
    """A logger that nobody has used yet."""
    return structlog.stdlib.get_logger("stream_serve.tests")


def fail(secret: str) -> None:
    text = f"{secret} and more of it"
    raise ValueError(f"{len(text)} characters")


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    captured = capsys.readouterr()
    assert captured.out == ""
    return [json.loads(line) for line in captured.err.splitlines()]


def test_our_line_is_one_json_object_with_time_and_level(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure("info", "json")
    ours().info("run", model="模型", events=3, code=None)
    (line,) = lines(capsys)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", line.pop("timestamp"))
    assert line == {"event": "run", "level": "info", "model": "模型", "events": 3, "code": None}


def test_a_librarys_line_looks_like_ours(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "json")
    logging.getLogger("some.library").warning("%d of %s", 2, "these", extra={"peer": "a"})
    (line,) = lines(capsys)
    assert line["event"] == "2 of these"
    assert (line["level"], line["peer"]) == ("warning", "a")
    assert line["timestamp"].endswith("Z")


def test_what_is_bound_to_the_context_is_in_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "json")
    with structlog.contextvars.bound_contextvars(run_id="r1"):
        ours().info("a")
    ours().info("b")
    first, second = lines(capsys)
    assert first["run_id"] == "r1"
    assert "run_id" not in second


@pytest.mark.parametrize(
    "text", ["a\nb", "a\r\nb", '{"event": "forged"}', "\u2028", "\0", "\x1b[2J"]
)
def test_no_text_can_forge_a_second_json_line(
    capsys: pytest.CaptureFixture[str], text: str
) -> None:
    logs.configure("info", "json")
    ours().info("run", model=text)
    captured = capsys.readouterr().err
    assert captured.count("\n") == 1
    assert json.loads(captured)["model"] == text


@pytest.mark.parametrize(
    "text", ["\x1b]0;owned\x07", "\x1b[2J", "a\nforged", "a\rforged", "\x9b2J"]
)
def test_no_text_of_a_request_can_command_the_operators_terminal(
    capsys: pytest.CaptureFixture[str], text: str
) -> None:
    logs.configure("info", "console")
    ours().info("run", model=text)
    captured = capsys.readouterr().err
    assert text not in captured
    assert captured.count("\n") == 1


@pytest.mark.parametrize("style", ["json", "console"])
@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
def test_lines_below_the_level_are_left_out_ours_and_the_libraries(
    capsys: pytest.CaptureFixture[str], style: Style, level: str
) -> None:
    logs.configure(level, style)
    names = ["debug", "info", "warning", "error"]
    for name in names:
        getattr(ours(), name)(f"ours-{name}")
        getattr(logging.getLogger("library"), name)(f"theirs-{name}")
    said = capsys.readouterr().err
    wanted = names[names.index(level) :]
    assert re.findall(r"ours-(\w+)", said) == wanted
    assert re.findall(r"theirs-(\w+)", said) == wanted


@pytest.mark.parametrize("style", ["json", "console"])
def test_a_traceback_of_ours_names_the_place_and_never_shows_local_variables(
    capsys: pytest.CaptureFixture[str], style: Style
) -> None:
    logs.configure("info", style)
    try:
        fail(CANARY)
    except ValueError as error:
        ours().error("run failed", exc_info=error)
    said = capsys.readouterr().err
    assert "ValueError: 32 characters" in said
    assert "in fail" in said
    assert CANARY not in said


@pytest.mark.parametrize("style", ["json", "console"])
def test_a_traceback_of_a_library_never_shows_local_variables(
    capsys: pytest.CaptureFixture[str], style: Style
) -> None:
    logs.configure("info", style)
    try:
        fail(CANARY)
    except ValueError:
        logging.getLogger("uvicorn.error").exception("Exception in ASGI application")
    said = capsys.readouterr().err
    assert "ValueError: 32 characters" in said
    assert "in fail" in said
    assert CANARY not in said


@pytest.fixture
def embedded() -> None:
    """Our lines as in an application that has not set up structlog."""
    structlog.reset_defaults()
    logs.hand_on()


@pytest.mark.usefixtures("embedded")
def test_in_another_application_a_line_goes_to_its_logging(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    with structlog.contextvars.bound_contextvars(run_id="r1"):
        ours().warning("a 100 % failure", model="a\nforged\x1b[2J")
        ours().debug("not asked for")
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("stream_serve.tests", "WARNING")
    assert record.getMessage() == r"a 100 % failure model='a\nforged\x1b[2J' run_id='r1'"
    assert capsys.readouterr().out == ""


@pytest.mark.usefixtures("embedded")
def test_in_another_application_a_traceback_never_shows_local_variables(
    caplog: pytest.LogCaptureFixture,
) -> None:
    try:
        fail(CANARY)
    except ValueError:
        ours().exception("run failed")
    assert "ValueError: 32 characters" in caplog.text
    assert "in fail" in caplog.text
    assert CANARY not in caplog.text


def test_an_application_that_has_set_up_structlog_keeps_it() -> None:
    mine = [structlog.processors.JSONRenderer()]
    structlog.configure(processors=mine)
    logs.hand_on()
    assert structlog.get_config()["processors"] is mine


def test_a_traceback_is_part_of_its_one_json_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "json")
    try:
        fail(CANARY)
    except ValueError:
        ours().exception("first")
        logging.getLogger("library").exception("second")
    first, second = lines(capsys)
    assert "ValueError: 32 characters" in first["exception"]
    assert "ValueError: 32 characters" in second["exception"]


def test_auto_is_json_where_no_terminal_is(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "auto")
    ours().info("run")
    (line,) = lines(capsys)
    assert line["event"] == "run"


@pytest.mark.parametrize("style", ["json", "console"])
def test_the_servers_own_lines_come_once_and_from_warning_on(
    capsys: pytest.CaptureFixture[str], style: Style
) -> None:
    logs.configure("debug", style)
    logging.getLogger("uvicorn.error").info("Started server process")
    logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
    said = capsys.readouterr().err
    assert "Started server process" not in said
    assert said.count("Invalid HTTP request received.") == 1


class Line(Struct):
    """A line that is frequent."""

    model: str
    events: int
    code: str | None = None


async def test_a_frequent_line_is_like_any_other_and_in_its_order(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write = logs.configure("info", "json")
    assert write is not None
    ours().info("first", model="模型", events=3, code=None)
    write("run", Line("模型", 3))
    write("run", Line("a\n\x1b", 4))
    ours().info("last")
    first, second, third, last = lines(capsys)
    assert [one["event"] for one in (first, second, third, last)] == ["first", "run", "run", "last"]
    assert list(first) == list(second)
    assert {**second, "event": "first", "timestamp": ""} == {**first, "timestamp": ""}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", second["timestamp"])
    assert third["model"] == "a\n\x1b"


async def test_frequent_lines_go_out_at_the_next_turn_and_at_the_end(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write = logs.configure("info", "json")
    assert write is not None
    write("run", Line("m", 1))
    assert capsys.readouterr().err == ""
    await asyncio.sleep(0)
    assert len(lines(capsys)) == 1
    write("run", Line("m", 2))
    logging.getLogger().handlers[0].flush()  # as at the process's exit
    assert [one["events"] for one in lines(capsys)] == [2]


async def test_no_line_is_lost_that_is_logged_while_others_go_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write = logs.configure("info", "json")
    assert write is not None
    logged = 1

    def meanwhile(frame: FrameType, what: str, _: object) -> None:
        """Log a line after each call that the writing of lines makes, as from another thread."""
        nonlocal logged
        if frame.f_code.co_filename == logs.__file__ and what == "c_return":
            sys.setprofile(None)
            write("run", Line("m", logged))
            logged += 1
            sys.setprofile(meanwhile)

    write("run", Line("m", 0))
    sys.setprofile(meanwhile)
    logging.getLogger("library").warning("line")
    sys.setprofile(None)
    await asyncio.sleep(0)
    said = [one["events"] for one in lines(capsys) if one["event"] == "run"]
    assert logged > 1
    assert said == [*range(logged)]


async def test_where_standard_error_is_gone_no_line_is_a_failure(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    failed: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failed.append(context))
    with os.fdopen(writer, "w", buffering=1) as broken:
        monkeypatch.setattr(sys, "stderr", broken)
        write = logs.configure("info", "json")
        assert write is not None
        write("run", Line("m", 1))
        ours().warning("a line behind it")
        write("run", Line("m", 2))
        await asyncio.sleep(0)
        with suppress(BrokenPipeError):
            broken.close()
    assert not failed
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("level", "style"), [("info", "console"), ("warning", "json")])
def test_where_lines_are_for_people_or_left_out_none_is_written_past_them(
    level: str, style: Style
) -> None:
    assert logs.configure(level, style) is None


def test_setting_it_up_twice_does_not_double_the_lines(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "json")
    logs.configure("info", "json")
    ours().info("run")
    logging.getLogger("library").info("line")
    assert [line["event"] for line in lines(capsys)] == ["run", "line"]
