"""The trial of honesty: its client concludes what it was told, and our service passes every fault."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import pytest
from bench.honesty.client import Door, Seen, Verdict, ask
from bench.honesty.faults import FAULTS, LEAVING, WHOLE
from bench.honesty.peers import EVERYONE, OURS, PEERS, Place
from bench.honesty.table import Result, cell, table

from stream_serve.testing import SCENARIOS
from support.pages import pair, read
from support.service import Service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import aiohttp
    from bench.honesty.faults import Fault

    from stream_serve.testing import ScriptedUpstream

PATIENCE: Final = 20.0
TOLD: Final[dict[str, Verdict]] = {
    "answer": Verdict.COMPLETE,
    "incomplete": Verdict.UNSAID,
    "done-alone": Verdict.UNSAID,
    "half-event": Verdict.UNSAID,
    "close-mid": Verdict.CUT,
    "reset-mid": Verdict.CUT,
    "error-mid": Verdict.ERROR,
    "hang-mid": Verdict.WAITS,
    "close-early": Verdict.CUT,
    "rate-limited": Verdict.ERROR,
}
EVERY_FAULT: Final = pytest.mark.parametrize(
    "fault", [WHOLE, *FAULTS], ids=[fault.scenario for fault in (WHOLE, *FAULTS)]
)


@pytest.fixture
async def service(upstream: ScriptedUpstream) -> AsyncIterator[Service]:
    """The service, which gives up a silent provider soon."""
    async with Service(upstream_url=upstream.url, idle_timeout=0.2) as running:
        yield running


@EVERY_FAULT
async def test_without_anybody_between_the_client_concludes_what_the_provider_did(
    upstream: ScriptedUpstream, client: aiohttp.ClientSession, fault: Fault
) -> None:
    door = Door(f"{upstream.url}/chat/completions", native=False)
    patience = 0.2 if fault.scenario == "hang-mid" else PATIENCE
    seen = await ask(client, door, fault.scenario, patience)
    assert seen.verdict is TOLD[fault.scenario]
    assert bool(seen.text) is (fault.text or fault is WHOLE)


@EVERY_FAULT
async def test_our_service_calls_no_cut_answer_whole_and_loses_no_text(
    service: Service, client: aiohttp.ClientSession, fault: Fault
) -> None:
    seen = await ask(client, Door(service.url + OURS.path, native=True), fault.scenario, PATIENCE)
    assert seen.verdict is (Verdict.COMPLETE if fault.whole else Verdict.ERROR)
    assert bool(seen.text) is (fault.text or fault.whole)


def test_every_fault_is_a_scenario_that_needs_no_parameter() -> None:
    played = {fault.scenario for fault in (WHOLE, *FAULTS)} | {scenario for scenario, _ in LEAVING}
    assert played <= set(SCENARIOS)
    assert len(FAULTS) == 9


@pytest.mark.parametrize(
    "name", ["envoy/envoy.yaml", "litellm/honesty.yaml", "lm-proxy/config.toml"]
)
def test_every_word_of_a_peers_configuration_is_filled_in(tmp_path: Path, name: str) -> None:
    written = Place(tmp_path, 1, 2).write(PEERS / name).read_text()
    settings = [line for line in written.splitlines() if not line.startswith("#")]
    assert re.findall(r"\{\w+\}", "\n".join(settings)) == []


def test_what_is_untrue_is_bold() -> None:
    whole = Seen(status=200, text="some", finish="stop", done=True)
    (cut, *_), retried = FAULTS, FAULTS[7]
    assert cell(cut, whole) == "**complete**"
    assert cell(retried, whole) == cell(WHOLE, whole) == "complete"
    assert cell(cut, Seen(status=200, error="x")) == "error, text lost"
    assert cell(FAULTS[8], Seen(status=429, seconds=14.2)) == "error (429) after 14 s"
    result = Result(OURS, "1", {cut.scenario: whole}, {"hang-mid": None, "forever": 0.0123})
    lines = table([result], PATIENCE).splitlines()
    assert len(lines) == 2 + 1 + len(FAULTS) + len(LEAVING)
    assert "**not in 20 s**" in lines[-2]
    assert "12 ms" in lines[-1]


@pytest.mark.parametrize("page", pair("honesty"))
def test_the_page_shows_every_peer_and_as_many_rows_as_there_are_trials(page: str) -> None:
    text = read(page)
    assert all(peer.title in text for peer in EVERYONE)
    cells = [line for line in text.splitlines() if line.count(" | ") == len(EVERYONE)]
    assert len(cells) == 2 + 1 + len(FAULTS) + len(LEAVING)
