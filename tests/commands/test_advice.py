"""The advice of doctor: there is some for every error, in the names of where the provider is set."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from stream_serve.commands.advice import ADVICE, advice
from stream_serve.errors import (
    EventsLost,
    InternalError,
    RunFailure,
    RunInterrupted,
    StreamMoved,
    UpstreamError,
)
from stream_serve.events.types import Error
from stream_serve.settings import Catalog, ProviderSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

GIVEN = ProviderSettings(name="p", kind="generic", url="http://h/v1")
FILE = Catalog(providers=(GIVEN,), file="stream-serve.toml")


def kinds(kind: type[RunFailure]) -> Iterator[type[RunFailure]]:
    yield kind
    for one in kind.__subclasses__():
        yield from kinds(one)


def test_there_is_advice_for_every_error_that_has_to_do_with_a_provider() -> None:
    ours = {EventsLost, InternalError, RunInterrupted, RunFailure, StreamMoved}
    for kind in set(kinds(RunFailure)) - ours:
        for begun in (True, False):
            error = Error("it is so", kind.code, retryable=False)
            assert advice(error, GIVEN, None, begun=begun), kind
    assert (
        advice(Error("a defect", "internal_error", retryable=False), GIVEN, None, begun=True) == ""
    )
    assert {key.partition(",")[0] for key in ADVICE} <= {kind.code for kind in kinds(RunFailure)}
    assert UpstreamError.code in ADVICE


@pytest.mark.parametrize("key", ADVICE)
def test_advice_names_the_keys_of_the_file_or_the_variables(key: str) -> None:
    code, _, reason = key.partition(", ")
    said = {"url": "url", "finish": "require_finish"}.get(reason, "?")
    for catalog in (None, FILE):
        named = "STREAM_SERVE_UPSTREAM_URL STREAM_SERVE_REQUIRE_FINISH" if catalog is None else ""
        error = Error(f"x ({said} of the provider p {named})", code, retryable=False)
        text = advice(error, GIVEN, catalog, begun=reason == "begun")
        assert "{" not in text
        for name in ("UPSTREAM_URL", "REQUIRE_FINISH", "IDLE_TIMEOUT", "FIRST_TOKEN_TIMEOUT"):
            assert catalog is None or f"STREAM_SERVE_{name}" not in text
