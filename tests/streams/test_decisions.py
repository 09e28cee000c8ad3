"""The rules of streams: random requests against a plain model of what should become of them."""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from msgspec import Struct, field

from stream_serve.errors import BadRequest, RequestError
from stream_serve.streams import decisions
from stream_serve.streams.decisions import Append, Create, Draft, Fork, Rules
from stream_serve.streams.errors import (
    ProducerGap,
    StaleProducer,
    StreamClosed,
    StreamConflict,
    StreamGone,
    StreamNotFound,
    StreamsFull,
)
from stream_serve.streams.state import Source, State

RULES: Final = Rules(stream_bytes=1_000, retention=10_000)
TEXT: Final = "text/plain"
NAMES: Final = st.sampled_from("abcd")
DATA: Final = st.binary(max_size=5)


class Model(Struct):
    """A stream as a reader of the protocol imagines it."""

    content: bytes = b""
    closed: bool = False
    source: str | None = None
    forks: int = 0
    deleted: bool = False
    producers: dict[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])


class Machine(RuleBasedStateMachine):
    """Streams in two dictionaries, as a backend would keep them, and what they should be."""

    def __init__(self) -> None:
        super().__init__()
        self.states: dict[str, State] = {}
        self.data: dict[str, bytes] = {}
        self.models: dict[str, Model] = {}
        self.now = 0.0

    def draft(self, name: str) -> Draft:
        return Draft(self.states.get(name))

    def commit(self, name: str, draft: Draft) -> None:
        old = self.states.pop(name, None)
        if draft.state is None:
            if old is not None:
                del self.data[old.data]
            return
        if old is not None and draft.before is old:
            assert draft.state.version == old.version + draft.changed
        self.states[name] = draft.state
        kept = self.data.get(draft.state.data, b"")
        self.data[draft.state.data] = kept + b"".join(draft.pieces)

    def content(self, name: str, start: int = 0) -> bytes:
        state = self.states[name]
        return b"".join(
            self.data[one.data][one.start : one.end] for one in state.parts(start, state.tail)
        )

    @rule(name=NAMES, data=DATA, closed=st.booleans())
    def create(self, name: str, data: bytes, closed: bool) -> None:
        draft, model = self.draft(name), self.models.get(name)
        request = Create(content_type=TEXT, data=data, closed=closed)
        if model is None:
            made = decisions.create(draft, request, self.now, RULES)
            assert (made.new, made.tail, made.closed) == (True, len(data), closed)
            self.commit(name, draft)
            self.models[name] = Model(data, closed)
        elif model.deleted or model.source or model.closed != closed:
            with pytest.raises(StreamConflict):
                decisions.create(draft, request, self.now, RULES)
            assert not draft.changed
        else:
            assert not decisions.create(draft, request, self.now, RULES).new
            assert not draft.changed

    @rule(name=NAMES, appends=st.lists(st.tuples(DATA, st.booleans()), min_size=1, max_size=3))
    def append(self, name: str, appends: list[tuple[bytes, bool]]) -> None:
        draft, model = self.draft(name), self.models.get(name)
        for data, close in appends:
            request = Append(data=data, close=close, content_type=TEXT)
            if model is None or model.deleted:
                with pytest.raises(StreamNotFound if model is None else StreamGone):
                    decisions.append(draft, request, self.now, RULES)
            elif not data and not close:
                with pytest.raises(BadRequest):
                    decisions.append(draft, request, self.now, RULES)
            elif model.closed and data:
                with pytest.raises(StreamClosed) as caught:
                    decisions.append(draft, request, self.now, RULES)
                assert caught.value.tail == len(model.content)
            else:
                model.content += data
                model.closed |= close
                answer = decisions.append(draft, request, self.now, RULES)
                assert (answer.tail, answer.closed) == (len(model.content), model.closed)
        self.commit(name, draft)

    @rule(
        name=NAMES,
        data=st.binary(min_size=1, max_size=5),
        who=st.sampled_from("pq"),
        epoch=st.integers(0, 2),
        seq=st.integers(0, 3),
    )
    def append_by_a_producer(self, name: str, data: bytes, who: str, epoch: int, seq: int) -> None:
        model = self.models.get(name)
        if model is None or model.deleted or model.closed:
            return
        draft = self.draft(name)
        request = Append(data=data, content_type=TEXT, producer=(who, epoch, seq))
        known = model.producers.get(who)
        newest = known or (epoch, -1)
        if epoch < newest[0]:
            expected: type[RequestError] | None = StaleProducer
        elif epoch > newest[0]:
            expected = BadRequest if seq else None
        else:
            expected = ProducerGap if seq > newest[1] + 1 else None
        if expected is not None:
            with pytest.raises(expected):
                decisions.append(draft, request, self.now, RULES)
            assert not draft.changed
            return
        answer = decisions.append(draft, request, self.now, RULES)
        assert answer.new == draft.changed == ((epoch, seq) > newest)
        if answer.new:
            model.content += data
            model.producers[who] = (epoch, seq)
        assert (answer.epoch, answer.seq) == model.producers[who]
        assert answer.tail == len(model.content)
        self.commit(name, draft)

    @rule(name=NAMES, source=NAMES, cut=st.integers(0, 12), data=DATA)
    def fork(self, name: str, source: str, cut: int, data: bytes) -> None:
        if name == source or name in self.models:
            return
        first, second, parent = self.draft(source), self.draft(name), self.models.get(source)
        request = Create(content_type=TEXT, data=data)
        at = Fork(Source(source, cut, 0), cut)
        if parent is None or parent.deleted or cut > len(parent.content):
            with pytest.raises(RequestError):
                decisions.fork(first, second, request, at, self.now, RULES)
            assert not first.changed
            assert not second.changed
            return
        assert decisions.fork(first, second, request, at, self.now, RULES).new
        self.commit(source, first)
        self.commit(name, second)
        parent.forks += 1
        self.models[name] = Model(parent.content[:cut] + data, source=source)
        again = self.draft(name)
        assert not decisions.fork(first, again, request, at, self.now, RULES).new

    @rule(name=NAMES)
    @precondition(lambda self: self.models)
    def delete(self, name: str) -> None:
        model, draft = self.models.get(name), self.draft(name)
        if model is None or model.deleted:
            with pytest.raises(StreamNotFound if model is None else StreamGone):
                decisions.delete(draft, self.now, RULES)
            assert not draft.changed
            return
        source = decisions.delete(draft, self.now, RULES)
        self.commit(name, draft)
        while source is not None:
            released = self.draft(source.path)
            path, source = source.path, decisions.release(released)
            self.commit(path, released)
        self.remove(name)

    def remove(self, name: str) -> None:
        """Do in the model what a deletion does."""
        model = self.models[name]
        model.deleted = True
        if model.forks:
            return
        del self.models[name]
        if model.source is not None:
            parent = self.models[model.source]
            parent.forks -= 1
            if parent.deleted:
                self.remove(model.source)

    @invariant()
    def every_stream_is_what_it_should_be(self) -> None:
        assert self.states.keys() == self.models.keys()
        for name, model in self.models.items():
            state = self.states[name]
            assert self.content(name) == model.content
            assert self.content(name, start=2) == model.content[2:]
            assert (state.closed, state.forks, state.deleted) == (
                model.closed,
                model.forks,
                model.deleted,
            )

    @invariant()
    def no_data_is_left_that_no_stream_has(self) -> None:
        assert self.data.keys() == {state.data for state in self.states.values()}


def test_whatever_requests_come_each_stream_is_what_the_protocol_says() -> None:
    run_state_machine_as_test(Machine)


def stream(**more: object) -> Draft:
    draft = Draft(None)
    decisions.create(draft, Create(content_type="application/json", **more), 0.0, RULES)  # type: ignore[arg-type]
    return Draft(draft.state)


def test_a_sliding_lifetime_begins_anew_with_a_read_or_a_write_and_is_never_shorter() -> None:
    draft = stream(ttl=10)
    decisions.touch(draft, 9.0, RULES)
    draft = Draft(draft.state)
    decisions.append(draft, Append(data=b"1\n", content_type="application/json"), 18.5, RULES)
    state = draft.state
    assert state is not None
    assert not state.expired(28.5, RULES.retention)
    assert state.expired(29.5, RULES.retention)
    with pytest.raises(StreamNotFound):
        decisions.touch(Draft(state), 29.5, RULES)


def test_reads_in_quick_succession_prolong_a_stream_once() -> None:
    draft = stream(ttl=100)
    decisions.touch(draft, 0.5, RULES)
    assert not draft.changed


def test_a_stream_that_nobody_writes_to_is_kept_for_the_retention() -> None:
    state = stream().state
    assert state is not None
    assert state.due(RULES.retention) == RULES.retention
    assert state.expired(RULES.retention, RULES.retention)


def test_a_fork_has_the_lifetime_of_its_source_unless_it_says_one() -> None:
    source = stream(ttl=10)
    for request, expected in (
        (Create(), (10, None)),
        (Create(ttl=99), (99, None)),
        (Create(expires_at=5.0), (None, 5.0)),
    ):
        draft = Draft(None)
        decisions.fork(source, draft, request, Fork(Source("s", None, 0), 0), 1.0, RULES)
        assert draft.state is not None
        assert (draft.state.ttl, draft.state.expires_at) == expected


def test_a_producer_that_is_silent_for_longer_than_its_lease_ends_its_stream() -> None:
    draft = stream()
    request = Append(data=b'{"a":1}\n', content_type="application/json", lease=5)
    decisions.append(draft, request, 1.0, RULES)
    assert draft.state is not None
    assert draft.state.due(RULES.retention) == 6.0
    decisions.append(draft, Append(data=b"", lease=5), 5.0, RULES)
    decisions.lapse(draft, 9.9)
    assert not draft.state.closed
    decisions.lapse(draft, 10.0)
    assert draft.state.closed
    assert draft.state.lost
    assert (
        draft.pieces[-1]
        == b'{"type":"end","finishReason":"lost","at":"1970-01-01T00:00:10.000Z"}\n'
    )
    with pytest.raises(StreamClosed):
        decisions.append(draft, request, 11.0, RULES)


def test_a_stop_is_heard_with_the_next_append_and_its_acknowledgement_says_what_was_appended() -> (
    None
):
    draft = stream()
    assert decisions.stop(draft, 1.0, RULES).acknowledged is None
    request = Append(data=b"1\n", content_type="application/json")
    assert decisions.append(draft, request, 2.0, RULES).stop
    assert decisions.stop(draft, 2.5, RULES).acknowledged is None
    decisions.append(draft, Append(data=b"", acknowledge=True), 3.0, RULES)
    decisions.append(draft, request, 4.0, RULES)
    found = decisions.stop(draft, 5.0, RULES)
    assert (found.asked, found.acknowledged, found.tail) == (1.0, 3.0, 2)


def test_a_writers_order_is_compared_as_bytes() -> None:
    draft = stream()

    def write(seq: str) -> None:
        request = Append(data=b"1\n", content_type="application/json", seq=seq)
        decisions.append(draft, request, 1.0, RULES)

    write("a")
    write("é")
    for seq in ("é", "b"):
        with pytest.raises(StreamConflict):
            write(seq)


def test_the_append_that_closed_a_stream_may_be_repeated_and_no_other() -> None:
    draft = stream()
    last = Append(data=b"1\n", content_type="application/json", close=True, producer=("p", 0, 0))
    assert decisions.append(draft, last, 1.0, RULES).new
    assert not decisions.append(draft, last, 2.0, RULES).new
    for producer in (("p", 0, 1), ("q", 0, 0)):
        other = Append(data=b"1\n", content_type="application/json", producer=producer)
        with pytest.raises(StreamClosed):
            decisions.append(draft, other, 2.0, RULES)
    assert len(draft.pieces) == 1


def test_a_stream_has_a_bounded_number_of_producers_and_forgets_those_that_are_silent_for_long() -> (
    None
):
    draft = stream()

    def write(name: int, now: float) -> None:
        request = Append(data=b"1\n", content_type="application/json", producer=(str(name), 0, 0))
        decisions.append(draft, request, now, Rules(stream_bytes=10_000, retention=1e9))

    for name in range(decisions.MAX_PRODUCERS):
        write(name, float(name))
    with pytest.raises(StreamsFull):
        write(-1, 2_000.0)
    write(-1, decisions.PRODUCER_KEPT + 100.5)
    assert draft.state is not None
    assert draft.state.producers.keys() == {
        "-1",
        *(str(name) for name in range(101, decisions.MAX_PRODUCERS)),
    }


def test_a_stream_has_a_bounded_number_of_bytes() -> None:
    draft = stream()
    request = Append(data=bytes(1_001), content_type="application/json")
    with pytest.raises(StreamsFull, match="1000 bytes"):
        decisions.append(draft, request, 1.0, RULES)
    assert not draft.changed


def test_the_names_of_a_streams_producers_have_a_bounded_number_of_bytes() -> None:
    draft = stream()
    rules = Rules(stream_bytes=10_000, retention=1e9)

    def write(name: str, now: float, seq: int = 0) -> None:
        request = Append(data=b"1\n", content_type="application/json", producer=(name, 0, seq))
        decisions.append(draft, request, now, rules)

    long = [f"{number:01000d}" for number in range(decisions.MAX_NAMES // 1_032)]
    for name in long:
        write(name, 1.0)
    with pytest.raises(StreamsFull, match="bytes"):
        write("x" * 1_000, 1.0)
    assert draft.state is not None
    assert decisions.MAX_NAMES // 2 < draft.state.names <= decisions.MAX_NAMES
    write(long[0], 1.0, seq=1)
    write("short", decisions.PRODUCER_KEPT + 2.0)
    assert draft.state.producers.keys() == {"short"}
    assert draft.state.names < 100


def test_forks_of_forks_have_an_end() -> None:
    source = stream()
    for depth in range(decisions.MAX_DEPTH):
        made = Draft(None)
        at = Fork(Source(str(depth), None, 0), 0)
        decisions.fork(source, made, Create(), at, 1.0, RULES)
        source = made
    with pytest.raises(StreamConflict, match="100 forks"):
        decisions.fork(source, Draft(None), Create(), Fork(Source("", None, 0), 0), 1.0, RULES)
