"""`Outbox`: whatever comes when, the stream gets every message once, in order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_serve.jobs.outbox import Batch, Outbox

STEPS = st.lists(st.one_of(st.binary(min_size=1, max_size=30), st.sampled_from([True, False])))


@given(STEPS)
def test_the_stream_gets_every_message_once_and_in_order(steps: list[bytes | bool]) -> None:
    outbox = Outbox(lease=1, most=100, append=40)
    outbox.begin(7)
    said: list[bytes] = []
    stream: dict[int, Batch] = {}

    def send(*, answered: bool) -> None:
        """Send an append, whose answer may be lost; then it is sent again."""
        batch = outbox.take()
        assert stream.setdefault(batch.number, batch) == batch, "a number is always the same append"
        if answered:
            outbox.sent()

    for step in steps:
        if isinstance(step, bytes):
            outbox.put(step)
            said.append(step)
        else:
            send(answered=step)
    while outbox.waits:
        send(answered=True)
    assert [one for batch in stream.values() for one in batch.messages] == said
    assert list(stream) == list(range(1, len(stream) + 1))
    assert {batch.epoch for batch in stream.values()} <= {7}
    assert all(sum(map(len, one.messages)) <= 40 for one in stream.values())
    assert (outbox.said, outbox.kept, outbox.full) == (len(said), len(said), False)


def test_the_last_message_is_in_the_last_append() -> None:
    outbox = Outbox(lease=1, append=10)
    outbox.begin(1)
    for word in (b"aaaaaaa", b"bbbbbbb"):
        outbox.put(word)
    outbox.put(b"end", last=True)
    taken: list[Batch] = []
    while outbox.waits:
        taken.append(outbox.take())
        outbox.sent()
    assert [(one.messages, one.last) for one in taken] == [
        ((b"aaaaaaa",), False),
        ((b"bbbbbbb", b"end"), True),
    ]
    with pytest.raises(RuntimeError):
        outbox.put(b"more")


def test_what_is_too_large_for_one_append_goes_alone() -> None:
    outbox = Outbox(lease=1, most=5, append=3)
    outbox.begin(1)
    outbox.put(b"a")
    assert not outbox.full
    outbox.put(b"bbbbb")
    assert outbox.full
    assert outbox.take().messages == (b"a",)
    outbox.sent()
    assert outbox.take().messages == (b"bbbbb",)
    assert outbox.full, "until the stream has it"
    outbox.sent()
    assert not outbox.full
    assert outbox.take().messages == ()
