"""The loop that runs the jobs of threads."""

from __future__ import annotations

import asyncio
from typing import Never

import pytest

from stream_serve.jobs.portal import Portal


def test_where_no_loop_can_be_made_nobody_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> Never:
        raise OSError("too many open files")

    portal = Portal()
    with monkeypatch.context() as broken:
        broken.setattr(asyncio, "Runner", fail)
        with pytest.raises(RuntimeError, match="no event loop"):
            portal.enter()
    portal.enter()
    assert portal.call(asyncio.sleep(0, "there")) == "there"
    portal.leave()
