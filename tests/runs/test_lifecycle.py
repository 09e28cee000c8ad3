"""The states of a run: the whole table, and every way through it."""

from __future__ import annotations

from itertools import pairwise, product

import pytest

from stream_serve.runs.lifecycle import TRANSITIONS, Lifecycle, State

STARTING, WAITING, STREAMING = State.STARTING, State.WAITING, State.STREAMING
COMPLETED, STOPPED, FAILED = State.COMPLETED, State.STOPPED, State.FAILED
ENDS = (COMPLETED, STOPPED, FAILED)

ALLOWED = {
    (STARTING, WAITING),
    (STARTING, COMPLETED),
    (STARTING, STOPPED),
    (STARTING, FAILED),
    (WAITING, STREAMING),
    (WAITING, COMPLETED),
    (WAITING, STOPPED),
    (WAITING, FAILED),
    (STREAMING, COMPLETED),
    (STREAMING, STOPPED),
    (STREAMING, FAILED),
}
WAYS = {
    STARTING: [],
    WAITING: [WAITING],
    STREAMING: [WAITING, STREAMING],
    COMPLETED: [WAITING, STREAMING, COMPLETED],
    STOPPED: [WAITING, STREAMING, STOPPED],
    FAILED: [WAITING, STREAMING, FAILED],
}


def at(state: State) -> Lifecycle:
    lifecycle = Lifecycle()
    for step in WAYS[state]:
        lifecycle.enter(step)
    return lifecycle


def tried(lifecycle: Lifecycle, state: State) -> bool:
    try:
        lifecycle.enter(state)
    except ValueError:
        return False
    return True


def test_a_run_begins_as_starting() -> None:
    assert Lifecycle().state is STARTING


def test_the_table_has_these_transitions_and_no_others() -> None:
    assert {(a, b) for a, followers in TRANSITIONS.items() for b in followers} == ALLOWED
    assert set(TRANSITIONS) == set(State)


@pytest.mark.parametrize(("here", "there"), list(product(State, State)))
def test_each_transition_is_made_or_is_a_defect(here: State, there: State) -> None:
    lifecycle = at(here)
    if (here, there) in ALLOWED:
        lifecycle.enter(there)
        assert lifecycle.state is there
    else:
        with pytest.raises(ValueError, match=f"from {here.value} to {there.value}"):
            lifecycle.enter(there)
        assert lifecycle.state is here


def test_whatever_is_tried_the_first_end_wins_and_only_allowed_steps_happen() -> None:
    for moves in product(State, repeat=5):
        lifecycle = Lifecycle()
        seen = [lifecycle.state]
        for to in moves:
            if tried(lifecycle, to):
                seen.append(to)
            assert lifecycle.state is seen[-1]
        assert all(step in ALLOWED for step in pairwise(seen))
        ends = [state for state in moves if state in ENDS]
        assert [state for state in seen if state in ENDS] == ends[:1]


@pytest.mark.parametrize("state", list(State))
def test_exactly_the_three_ends_are_terminal(state: State) -> None:
    assert state.terminal is (state in ENDS)


def test_the_names_that_the_api_shows_stay_as_they_are() -> None:
    assert [state.value for state in State] == [
        "starting",
        "waiting",
        "streaming",
        "completed",
        "stopped",
        "failed",
    ]
