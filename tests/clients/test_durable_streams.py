"""The official conformance suite of Durable Streams, on each kind of store."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final

import pytest

from support.clients import NODE_MODULES, PROGRAMS, environment, node
from support.process import running
from support.service import Service
from support.streams import BACKENDS, Place

if TYPE_CHECKING:
    from pathlib import Path

SUITE: Final = "durable_streams.test.mjs"
PATIENCE: Final = 300
MANDATORY: Final = 332
"""Those that are skipped are optional: subscriptions by webhooks."""


async def conformance(url: str, report: Path) -> dict[str, Any]:
    """Run the suite against a service, and return what vitest says of it."""
    vitest = NODE_MODULES / "vitest" / "vitest.mjs"
    options = ["--testTimeout=30000", "--reporter=json", f"--outputFile={report}"]
    async with running(
        *(str(node()), str(vitest), "run", SUITE, *options),
        cwd=PROGRAMS / "node",
        env=environment(DS_URL=url),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    ) as process:
        await asyncio.wait_for(process.wait(), PATIENCE)
    return json.loads(report.read_text(encoding="utf-8"))


@pytest.mark.timeout(PATIENCE + 60)
@pytest.mark.parametrize("kind", BACKENDS)
async def test_all_mandatory_tests_of_the_conformance_suite_pass(kind: str, tmp_path: Path) -> None:
    where = Place(kind, tmp_path).url
    # One of its tests asks as a page of another site, which has to be allowed.
    origins = "https://example.com"
    async with Service(streams_url=where, long_poll_timeout=3, cors_origins=origins) as service:
        found = await conformance(service.url, tmp_path / "report.json")
    tests = [one for part in found["testResults"] for one in part["assertionResults"]]
    failed = [one["fullName"] for one in tests if one["status"] == "failed"]
    assert failed == []
    assert sum(one["status"] == "passed" for one in tests) == MANDATORY
