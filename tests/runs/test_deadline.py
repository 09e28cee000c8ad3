"""The deadline: it expires, it moves, and it never takes somebody else's cancellation for its own.

All of it runs in simulated time, to the very instant. What no delay of the machine can change runs on
the loops of the service as well.
"""

from __future__ import annotations

import asyncio
import math
import time
from contextlib import suppress

import pytest

from stream_serve.runs.deadline import Deadline
from support.simulated import SimulatedLoop

pytestmark = pytest.mark.simulated_time

SOON = 1 / 256
LONG = 3600.0


def forever() -> asyncio.Future[None]:
    """Something that never comes."""
    return asyncio.get_running_loop().create_future()


async def outlast(seconds: float) -> None:
    """Wait until every timer that is due within `seconds` has fired."""
    passed = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(seconds, passed.set_result, None)
    await passed


def stall(seconds: float) -> None:
    """Keep the loop from running, so that all timers due meanwhile fire in its next step."""
    loop = asyncio.get_running_loop()
    if isinstance(loop, SimulatedLoop):
        loop.advance(seconds)
    else:
        time.sleep(seconds)


def now() -> float:
    return asyncio.get_running_loop().time()


def cancelling() -> int:
    task = asyncio.current_task()
    assert task is not None
    return task.cancelling()


@pytest.mark.both_loops
async def test_silence_past_the_deadline_is_a_timeout() -> None:
    deadline = Deadline(SOON)
    with pytest.raises(TimeoutError):
        async with deadline:
            await forever()
    assert deadline.expired
    assert cancelling() == 0


@pytest.mark.both_loops
async def test_a_deadline_of_no_time_at_all_expires_at_the_first_wait() -> None:
    with pytest.raises(TimeoutError):
        async with Deadline(0):
            await forever()


@pytest.mark.both_loops
async def test_what_ends_in_time_ends_without_a_timeout() -> None:
    async with Deadline(LONG) as deadline:
        await asyncio.sleep(0)
    assert not deadline.expired


@pytest.mark.both_loops
async def test_a_deadline_moved_later_does_not_expire_at_its_first_time() -> None:
    async with Deadline(SOON) as deadline:
        deadline.reschedule(LONG)
        await outlast(4 * SOON)
    assert not deadline.expired


async def test_a_deadline_moved_later_still_expires_and_not_before_its_new_time() -> None:
    passed: list[str] = []

    async def work() -> None:
        async with Deadline(SOON) as deadline:
            deadline.reschedule(6 * SOON)
            asyncio.get_running_loop().call_later(3 * SOON, passed.append, "the half")
            await forever()

    began = now()
    with pytest.raises(TimeoutError):
        await work()
    assert passed == ["the half"]
    assert now() == began + 6 * SOON


async def test_a_limit_comes_wherever_the_deadline_is() -> None:
    deadline = Deadline(SOON, limit=3 * SOON)

    async def work() -> None:
        async with deadline:
            deadline.reschedule(LONG)
            await forever()

    began = now()
    with pytest.raises(TimeoutError):
        await work()
    assert now() == began + 3 * SOON
    assert (deadline.expired, deadline.limited, cancelling()) == (True, True, 0)


async def test_a_deadline_before_the_limit_is_no_limit() -> None:
    deadline = Deadline(SOON, limit=LONG)
    began = now()
    with pytest.raises(TimeoutError):
        async with deadline:
            await forever()
    assert now() == began + SOON
    assert (deadline.expired, deadline.limited) == (True, False)


async def test_whoever_takes_no_notice_of_a_deadline_is_cancelled_again_at_the_limit() -> None:
    deadline = Deadline(SOON, limit=4 * SOON)

    async def work() -> None:
        async with deadline:
            with suppress(asyncio.CancelledError):
                await forever()
            await forever()

    began = now()
    with pytest.raises(TimeoutError):
        await work()
    assert now() == began + 4 * SOON
    assert (deadline.limited, cancelling()) == (False, 0)


async def test_an_expired_deadline_that_was_moved_does_not_put_the_limit_off() -> None:
    deadline = Deadline(SOON, limit=4 * SOON)

    async def work() -> None:
        async with deadline:
            with suppress(asyncio.CancelledError):
                await forever()
            deadline.reschedule(LONG)
            await forever()

    began = now()
    with pytest.raises(TimeoutError):
        await work()
    assert (now() - began, deadline.limited, cancelling()) == (4 * SOON, False, 0)


@pytest.mark.both_loops
async def test_a_deadline_at_no_time_at_all_can_be_moved_to_one() -> None:
    async def work() -> None:
        async with Deadline(math.inf) as deadline:
            deadline.reschedule(SOON)
            await forever()

    with pytest.raises(TimeoutError):
        await work()


@pytest.mark.both_loops
async def test_a_deadline_moved_earlier_expires_at_its_new_time() -> None:
    async def work() -> None:
        async with Deadline(LONG) as deadline:
            deadline.reschedule(SOON)
            await forever()

    with pytest.raises(TimeoutError):
        await work()


@pytest.mark.both_loops
async def test_a_deadline_moved_earlier_and_later_again_keeps_its_last_time() -> None:
    async with Deadline(LONG) as deadline:
        deadline.reschedule(SOON)
        deadline.reschedule(LONG)
        await outlast(4 * SOON)
        deadline.reschedule(SOON)
        deadline.reschedule(LONG)
        await outlast(4 * SOON)
    assert not deadline.expired


@pytest.mark.both_loops
async def test_a_deadline_that_every_token_moves_expires_only_after_the_last_one() -> None:
    tokens: list[int] = []

    async def work() -> None:
        async with Deadline(LONG) as deadline:
            for token in range(1000):
                deadline.reschedule(LONG)
                await asyncio.sleep(0)
                tokens.append(token)
            deadline.reschedule(SOON)
            await forever()

    with pytest.raises(TimeoutError):
        await work()
    assert len(tokens) == 1000


async def test_tokens_that_come_in_time_put_the_expiry_off_until_the_last_one_is_old_enough() -> (
    None
):
    tokens: list[int] = []

    async def work() -> None:
        async with Deadline(SOON) as deadline:
            for token in range(1000):
                await asyncio.sleep(SOON / 2)
                deadline.reschedule(SOON)
                tokens.append(token)
            await forever()

    began = now()
    with pytest.raises(TimeoutError):
        await work()
    assert len(tokens) == 1000
    assert now() == began + 1000 * SOON / 2 + SOON


@pytest.mark.parametrize(
    "moves", [[], [SOON / 4], [SOON / 2, SOON / 4], [LONG, SOON / 4], [4 * SOON], [0], [LONG]]
)
async def test_a_deadline_expires_at_the_very_instant_of_its_last_move(moves: list[float]) -> None:
    async def work() -> None:
        async with Deadline(SOON) as deadline:
            for seconds in moves:
                deadline.reschedule(seconds)
            await forever()

    began = now()
    with pytest.raises(TimeoutError):
        await work()
    assert now() == began + [SOON, *moves][-1]


@pytest.mark.both_loops
async def test_a_deadline_may_be_moved_before_it_is_entered() -> None:
    deadline = Deadline(LONG)
    deadline.reschedule(SOON)
    with pytest.raises(TimeoutError):
        async with deadline:
            await forever()


@pytest.mark.both_loops
async def test_a_cancellation_from_outside_passes_through_unchanged() -> None:
    waiting = asyncio.Event()

    async def work() -> None:
        async with Deadline(LONG):
            waiting.set()
            await forever()

    task = asyncio.create_task(work())
    await waiting.wait()
    task.cancel("a stop")
    with pytest.raises(asyncio.CancelledError, match="a stop"):
        await task
    assert task.cancelled()


@pytest.mark.both_loops
async def test_a_cancellation_in_the_same_instant_as_the_expiry_wins() -> None:
    deadlines: list[Deadline] = []

    async def work() -> None:
        task = asyncio.current_task()
        assert task is not None
        async with Deadline(SOON) as deadline:
            deadlines.append(deadline)
            asyncio.get_running_loop().call_later(SOON, task.cancel)
            stall(3 * SOON)
            await forever()

    task = asyncio.create_task(work())
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()
    assert deadlines[0].expired


@pytest.mark.both_loops
async def test_a_cancellation_after_the_expiry_wins() -> None:
    expired = asyncio.Event()

    async def work() -> None:
        async with Deadline(SOON):
            try:
                await forever()
            finally:
                expired.set()
                await forever()

    task = asyncio.create_task(work())
    await expired.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()


@pytest.mark.both_loops
async def test_an_expiry_while_a_cancelled_task_cleans_up_does_not_hide_the_cancellation() -> None:
    waiting = asyncio.Event()

    async def work() -> None:
        async with Deadline(LONG) as deadline:
            try:
                waiting.set()
                await forever()
            finally:
                deadline.reschedule(SOON)
                await forever()

    task = asyncio.create_task(work())
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()


@pytest.mark.both_loops
async def test_a_task_that_is_being_cancelled_can_use_a_deadline_for_its_clean_up() -> None:
    waiting = asyncio.Event()
    cleaned: list[str] = []

    async def work() -> None:
        try:
            waiting.set()
            await forever()
        finally:
            try:
                async with Deadline(SOON):
                    await forever()
            except TimeoutError:
                cleaned.append("gave up")

    task = asyncio.create_task(work())
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cleaned == ["gave up"]


@pytest.mark.both_loops
async def test_a_timeout_around_it_that_comes_together_with_it_is_the_outer_ones() -> None:
    inner_passed_on: list[str] = []

    async def work() -> None:
        async with asyncio.timeout(SOON):
            try:
                async with Deadline(SOON):
                    stall(3 * SOON)
                    await forever()
            except asyncio.CancelledError:
                inner_passed_on.append("the outer one's cancellation")
                raise

    with pytest.raises(TimeoutError):
        await work()
    assert inner_passed_on
    assert cancelling() == 0


@pytest.mark.both_loops
async def test_an_error_of_the_block_is_not_replaced_by_the_timeout() -> None:
    async def work() -> None:
        async with Deadline(SOON):
            try:
                await forever()
            except asyncio.CancelledError:
                raise ValueError("mine") from None

    with pytest.raises(ValueError, match="mine"):
        await work()
    assert cancelling() == 0


@pytest.mark.both_loops
async def test_a_timeout_error_of_the_blocks_own_is_not_taken_for_the_deadline() -> None:
    own, deadline = TimeoutError("mine"), Deadline(LONG)
    with pytest.raises(TimeoutError) as caught:
        async with deadline:
            raise own
    assert caught.value is own
    assert not deadline.expired


@pytest.mark.both_loops
async def test_a_block_that_ends_well_in_spite_of_the_expiry_has_ended_well() -> None:
    async with Deadline(SOON) as deadline:
        with suppress(asyncio.CancelledError):
            await forever()
    assert deadline.expired
    assert cancelling() == 0
    await asyncio.sleep(0)


@pytest.mark.both_loops
async def test_nothing_fires_after_the_block_was_left() -> None:
    async with Deadline(SOON):
        pass
    async with Deadline(2 * SOON) as earlier:
        earlier.reschedule(SOON)
    async with Deadline(SOON) as later:
        later.reschedule(2 * SOON)
    with pytest.raises(ValueError, match="left"):
        async with Deadline(SOON):
            raise ValueError("left")
    async with Deadline(LONG) as left:
        pass
    left.reschedule(SOON)
    await outlast(5 * SOON)
    assert cancelling() == 0
    assert [deadline.expired for deadline in (earlier, later, left)] == [False] * 3


async def test_a_timer_that_has_set_itself_again_does_not_outlive_the_block() -> None:
    async with Deadline(SOON) as deadline:
        deadline.reschedule(4 * SOON)
        await outlast(2 * SOON)
    await outlast(6 * SOON)
    assert cancelling() == 0
    assert not deadline.expired


@pytest.mark.both_loops
@pytest.mark.parametrize("limit", [math.inf, LONG])
async def test_moving_a_deadline_that_has_expired_does_not_bring_a_second_expiry(
    limit: float,
) -> None:
    outlasted: list[str] = []

    async def work() -> None:
        async with Deadline(SOON, limit=limit) as deadline:
            try:
                await forever()
            finally:
                deadline.reschedule(SOON)
                await outlast(4 * SOON)
                outlasted.append("the second deadline")

    with pytest.raises(TimeoutError):
        await work()
    assert outlasted
    assert cancelling() == 0


@pytest.mark.both_loops
async def test_a_timer_that_is_set_for_the_times_to_come_leaves_the_first_deadline_as_it_is() -> (
    None
):
    async with Deadline(LONG, least=SOON) as deadline:
        await outlast(3 * SOON)
    assert not deadline.expired
    with pytest.raises(TimeoutError):
        async with Deadline(2 * SOON, least=SOON):
            await forever()
    assert cancelling() == 0
