"""`Patience`: of whoever tries again for hours."""

from __future__ import annotations

import pytest

from stream_serve.errors import ServiceUnreachable
from stream_serve.jobs.patience import Patience, Tries


@pytest.mark.parametrize("asked", [None, 0.0])
def test_no_outage_is_too_long_for_whoever_never_gives_up(asked: float | None) -> None:
    tries = Tries(Patience(attempts=1_000_000, longest=5.0), lambda: 0.0)
    why = ServiceUnreachable("away")
    pauses = [tries.pause(why, asked) for _ in range(5_000)]
    assert pauses[-1] == (5.0 if asked is None else asked)
