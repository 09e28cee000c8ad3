"""What may be a run's id, in every place that takes one; and the names that are made of ids."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from stream_serve.cluster.local import LocalPeers
from stream_serve.errors import RunNotFound
from stream_serve.eventlog.memory import MemoryEventLog
from stream_serve.quotas.local import LocalQuotas
from stream_serve.runs import names
from stream_serve.runs.names import name_of, parts_of
from stream_serve.runs.service import Runs
from stream_serve.runs.spec import Plan, RunSpec
from stream_serve.web.dialects.native import ChatBody
from stream_serve.web.fields import RunId
from support.limits import limits
from support.upstream import StepProvider

if TYPE_CHECKING:
    from collections.abc import Callable

GOOD = ["a" * 16, "a" * 128, "order-2026-11-23-0001", "_" * 22]
RIGHT = "a" * 16
BAD = [
    "",
    "a" * 15,
    "a" * 129,
    "a" * 200_000,
    f"x/{RIGHT}",
    f"{RIGHT}/{RIGHT}",
    f"/{RIGHT}",
    f"{RIGHT}\n",
    f"{RIGHT}\r\n",
    f"{RIGHT}\r\nX-Injected: 1",
    f"\n{RIGHT}",
    f"{RIGHT}\0",
    f"{RIGHT} ",
    f" {RIGHT}",
    f"{RIGHT}.",
    f"{RIGHT}\u00e9",
    f"{RIGHT}\u0661",
    "\uff41" * 16,
]


@pytest.mark.parametrize("text", GOOD)
def test_an_id_is_taken_everywhere(text: str) -> None:
    assert names.check(text) == text
    assert TypeAdapter(RunId).validate_python(text) == text
    assert ChatBody.model_validate({"message": "x", "runId": text}).run_id == text
    assert RunSpec(prepare=prepare, run_id=text).run_id == text
    assert parts_of(name_of(None, text)) == (None, text)
    assert parts_of(name_of("anna", text)) == ("anna", text)


@pytest.mark.parametrize("text", BAD)
def test_what_is_no_id_is_refused_everywhere_and_not_repeated(text: str) -> None:
    makers: tuple[Callable[[], Any], ...] = (
        lambda: names.check(text),
        lambda: RunSpec(prepare=prepare, run_id=text),
        lambda: name_of(None, text),
        lambda: name_of("anna", text),
        lambda: parts_of(f"anna//{text}"),
    )
    for make in makers:
        with pytest.raises(ValueError, match=r"run_id|owner|letters") as caught:
            make()
        assert len(str(caught.value)) < 100
    with pytest.raises(ValidationError) as refused:
        ChatBody.model_validate({"message": "x", "runId": text})
    assert [error["loc"] for error in refused.value.errors()] == [("runId",)]


@pytest.mark.parametrize(
    "owner", ["", "a/b", "a" * 129, "a\n", "a b", "{a}", "a\0", "\u00e9", "a/../b"]
)
def test_what_is_no_owner_is_refused(owner: str) -> None:
    for refuse in (lambda: name_of(owner, RIGHT), lambda: parts_of(f"{owner}/{RIGHT}")):
        with pytest.raises(ValueError, match="owner"):
            refuse()


@given(st.none() | st.text(max_size=20), st.text(max_size=40) | st.from_regex(r"[\w/-]{16,20}"))
def test_a_name_has_the_parts_that_it_was_made_of_or_is_not_made(
    owner: str | None, run_id: str
) -> None:
    try:
        name = name_of(owner, run_id)
    except ValueError:
        return
    assert parts_of(name) == (owner, run_id)


def test_the_schema_means_the_same_where_a_pattern_is_searched_for() -> None:
    schema = ChatBody.model_json_schema()["properties"]["runId"]
    pattern = schema["anyOf"][0]["pattern"]
    for text in GOOD:
        assert re.search(pattern, text)
    for text in BAD:
        # Python's $ also matches before a last line end; that of JSON Schema does not.
        assert text.endswith("\n") or not re.search(pattern, text)


@pytest.mark.parametrize("text", BAD)
async def test_a_run_that_cannot_be_is_unknown_and_nobody_is_asked(text: str) -> None:
    log = SilentLog()
    runs = Runs(log, LocalPeers(), LocalQuotas(), limits())
    for owner in (None, "anna"):
        with pytest.raises(RunNotFound):
            runs.get(text, owner=owner)
        with pytest.raises(RunNotFound):
            await runs.subscribe(text, owner=owner)
        with pytest.raises(RunNotFound):
            await runs.state(text, owner=owner)
        with pytest.raises(RunNotFound):
            await runs.stop(text, owner=owner)
    await runs.close()


async def test_an_owner_that_is_none_is_refused_before_anything_is_made() -> None:
    runs = Runs(SilentLog(), LocalPeers(), LocalQuotas(), limits())
    with pytest.raises(ValueError, match="owner"):
        await runs.start(RunSpec.of(StepProvider().ask()), owner="a/b")
    assert runs.running == 0
    await runs.close()


class SilentLog(MemoryEventLog):
    """A log that nobody may ask anything."""

    async def look(self, name: str) -> Any:
        raise AssertionError(name)

    async def forbid(self, name: str, seconds: float) -> bool:
        raise AssertionError((name, seconds))

    async def create(self, name: str, fingerprint: bytes = b"") -> Any:
        raise AssertionError((name, fingerprint))


async def prepare(run_id: str) -> Plan:
    del run_id
    return Plan(StepProvider().ask())
