"""The core of the clients without a network: whatever is cut, the events come once, and in order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_serve.client.course import Course, announced, silence
from stream_serve.client.patience import Patience, Tries
from stream_serve.errors import (
    Draining,
    EventsLost,
    Full,
    RequestError,
    RunFailure,
    ServiceProtocol,
    ServiceUnreachable,
    StreamServeError,
)
from stream_serve.events import codec, sse
from stream_serve.events.types import Chunk, End, Error, Start
from support.canon import RUN_ID, USAGE, frames, runs

if TYPE_CHECKING:
    from stream_serve.client.requests import Request
    from stream_serve.events.types import Event

STREAM = {"content-type": "text/event-stream; charset=utf-8"}
EVENTS: list[Event] = [Start(RUN_ID, "m"), Chunk("a"), Chunk("b"), End("stop", USAGE)]


def course(start: bytes | None = b"{}", *, after: int = 0, **patience: Any) -> Course:
    return Course(
        RUN_ID, start, after=after, url="http://s", tries=Tries(Patience(**patience), lambda: 0.0)
    )


def answer(request: Request, events: list[Event]) -> bytes:
    """What the service answers: the whole to a start, the rest after the cursor to a reader."""
    whole = frames(events)
    if request.method == "POST":
        assert request.headers["Idempotency-Key"] == RUN_ID
        return b"".join(whole)
    return b"".join(whole[int(request.headers["Last-Event-ID"]) :])


@given(runs(), st.data())
def test_whatever_is_cut_wherever_the_events_come_once_and_in_order(
    events: list[Event], data: st.DataObject
) -> None:
    one = course(attempts=10_000)
    got: list[Event] = []
    failure: RunFailure | None = None
    for turn in range(1000):
        request = one.request()
        fate = data.draw(st.sampled_from(["unsent", "busy", "heard", "heard", "heard"]))
        if turn < 12 and fate == "unsent":
            assert one.lose("reset") >= 0
            continue
        if turn < 12 and fate == "busy":
            assert one.refuse(503, {"retry-after": "0"}, b"") >= 0
            continue
        raw = b": heartbeat\n\n" + answer(request, events)
        if turn < 12:
            raw = raw[: data.draw(st.integers(0, len(raw)))]
        one.accept(200, STREAM)
        assert one.request().method == "GET"
        size = data.draw(st.integers(1, len(raw) + 1))
        try:
            for place in range(0, len(raw), size):
                got += one.feed(raw[place : place + size])
        except RunFailure as error:
            failure = error
        if one.over:
            break
        one.lose()
    last = events[-1]
    if isinstance(last, Error):
        assert failure is not None
        assert (failure.code, str(failure)) == (last.code, last.message)
        assert failure.retryable == last.retryable
        assert got == events[:-1] or not got
    else:
        assert got == events


def test_the_start_is_sent_again_until_it_is_heard_and_never_after() -> None:
    one = course()
    first = one.request()
    assert first.method == "POST"
    one.lose("reset")
    assert one.request() == first
    one.accept(200, STREAM)
    one.lose()
    assert (one.request().method, one.request().headers["Last-Event-ID"]) == ("GET", "0")
    assert one.begun


def test_a_redirect_says_when_to_go_on() -> None:
    one = course()
    one.accept(200, STREAM)
    assert [*one.feed(frames(EVENTS)[0] + b"retry: 1000\n\n")] == EVENTS[:1]
    assert one.lose() == 1.0
    assert one.request().headers["Last-Event-ID"] == "1"
    assert one.lose("reset") == 0.5, "it is said once"


def test_pauses_grow_are_bounded_and_begin_anew_with_every_event() -> None:
    one = course(attempts=6, first=1.0, longest=5.0)
    assert [one.lose() for _ in range(6)] == [1.0, 2.0, 4.0, 5.0, 5.0, 5.0]
    one.accept(200, STREAM)
    assert [*one.feed(frames(EVENTS)[0])] == EVENTS[:1]
    assert one.lose() == 1.0
    one.accept(200, STREAM)
    assert not [*one.feed(sse.HEARTBEAT)]
    assert [one.lose() for _ in range(6)] == [1.0, 2.0, 4.0, 5.0, 5.0, 5.0]
    with pytest.raises(ServiceUnreachable, match="http://s"):
        one.lose()


@given(st.floats(0, 1, exclude_max=True), st.integers(1, 200))
def test_jitter_never_comes_before_the_time_that_was_asked_for(chance: float, times: int) -> None:
    tries = Tries(Patience(attempts=1000), lambda: chance)
    for _ in range(times):
        assert 0.1 < tries.pause(Full()) <= 15
        assert 3 <= tries.pause(Full(), 3.0) <= 3 + 15


def test_retry_after_is_honoured_and_one_that_is_too_long_is_an_error() -> None:
    one = course(longest_asked=10)
    body = b'{"code": "draining", "detail": "away", "status": 503, "title": "x"}'
    assert one.refuse(503, {"retry-after": "5"}, body) == 5.0
    with pytest.raises(Draining) as caught:
        one.refuse(503, {"retry-after": "11"}, body)
    assert (caught.value.retry_after, str(caught.value)) == (11.0, "away")


def test_204_is_the_end_without_an_event() -> None:
    one = course(None, after=4)
    assert one.request().headers["Last-Event-ID"] == "4"
    assert one.accept(204, {})
    assert one.over


def test_an_error_without_a_number_is_never_taken_for_an_old_event() -> None:
    one = course()
    one.accept(200, STREAM)
    lost = sse.UNNUMBERED % codec.encode(Error("gone", "events_lost", retryable=True))
    feeding = one.feed(frames(EVENTS)[0] + lost)
    assert next(feeding) == EVENTS[0]
    with pytest.raises(EventsLost, match="gone"):
        next(feeding)
    assert one.over


def test_a_hole_is_an_error_and_an_unknown_type_is_passed_over() -> None:
    one = course()
    one.accept(200, STREAM)
    assert not [*one.feed(sse.frame(1, b'{"type":"later","x":[1]}'))]
    assert one.cursor == 1
    with pytest.raises(EventsLost):
        list(one.feed(frames(EVENTS)[2]))


def test_the_end_of_a_run_that_was_taken_over_may_have_any_number() -> None:
    one = course()
    one.accept(200, STREAM)
    far = sse.frame(5000, codec.encode(EVENTS[-1]))
    assert [*one.feed(frames(EVENTS)[0] + far)] == [EVENTS[0], EVENTS[-1]]
    assert (one.over, one.cursor) == (True, 5000)


@pytest.mark.parametrize(
    "piece",
    [b"data: {}\n\n", b"id: 1\ndata: no\n\n", b'id: 1\ndata: {"type":"chunk"}\n\n', b"data: 1\n\n"],
)
def test_what_is_not_an_event_is_an_error(piece: bytes) -> None:
    one = course()
    one.accept(200, STREAM)
    with pytest.raises(ServiceProtocol):
        list(one.feed(piece))


def test_a_page_in_place_of_a_stream_is_an_error() -> None:
    page = {"content-type": "text/html"}
    assert not course().accept(200, page)
    with pytest.raises(ServiceProtocol, match="text/html"):
        course().refuse(200, page, b"<html>")


def test_the_announced_silence_counts() -> None:
    assert silence(15.0) == 22.5
    assert announced({"x-heartbeat-interval": "7.5"}) == 7.5
    for word in ("", "x", "0", "-1", "inf", "nan"):
        assert announced({"x-heartbeat-interval": word}) is None


@pytest.mark.parametrize(
    ("status", "tried"), [(502, True), (429, True), (404, False), (302, False)]
)
def test_a_server_in_between_is_told_apart_by_its_status(status: int, *, tried: bool) -> None:
    one = course()
    if tried:
        assert one.refuse(status, {}, b"<html>") > 0
    else:
        with pytest.raises(RequestError, match=str(status)) as caught:
            one.refuse(status, {}, b"<html>")
        assert caught.value.code == f"http_{status}"


def test_a_code_that_is_not_known_is_kept() -> None:
    one = course()
    with pytest.raises(StreamServeError) as caught:
        one.refuse(409, {}, b'{"code": "newer", "detail": "words"}')
    assert (type(caught.value), caught.value.code) == (RequestError, "newer")
    one.accept(200, STREAM)
    event = codec.frame(1, Error("words", "newer_failure", retryable=True, retry_after=3.0))
    with pytest.raises(RunFailure) as failed:
        list(one.feed(event))
    assert (failed.value.code, failed.value.retry_after) == ("newer_failure", 3.0)


def test_another_server_that_speaks_in_between_is_waited_for_where_the_service_was_heard() -> None:
    one = course(attempts=3)
    one.accept(200, STREAM)
    assert [*one.feed(frames(EVENTS)[0])] == EVENTS[:1]
    page = {"content-type": "text/html"}
    for status in (404, 302, 200):
        assert not one.accept(status, page)
        assert one.refuse(status, page, b"<html>") > 0
    with pytest.raises(ServiceProtocol):
        one.refuse(200, page, b"<html>")


@pytest.mark.parametrize("after", [0, 4])
def test_204_is_no_end_for_who_has_just_read_something_else(after: int) -> None:
    one = course(None, after=after)
    if after:
        one.accept(200, STREAM)
        assert [*one.feed(sse.frame(after + 1, codec.encode(Chunk("a"))))] == [Chunk("a")]
    assert not one.accept(204, {})
    assert not one.over
    if after:
        assert one.refuse(204, {}, b"") > 0
    else:
        with pytest.raises(ServiceProtocol, match="nothing"):
            one.refuse(204, {}, b"")
