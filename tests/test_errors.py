"""The tree of errors: as it is drawn, with the names that programs rely on."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from stream_serve import errors
from stream_serve.errors import RequestError, RunFailure, StreamServeError

if TYPE_CHECKING:
    from collections.abc import Iterator

_DRAWN = re.compile(r"^ {4}(?P<indent>[│ ]*)(?:[├└]── )?(?P<name>[A-Z]\w+)(?P<note>.*)$")

FAILURES = {
    "UpstreamUnreachable": ("upstream_unreachable", True),
    "UpstreamAuth": ("upstream_auth", False),
    "UpstreamRejected": ("upstream_rejected", False),
    "UpstreamContextExceeded": ("upstream_context_exceeded", False),
    "UpstreamRateLimited": ("upstream_rate_limited", True),
    "UpstreamFailed": ("upstream_error", True),
    "UpstreamProtocol": ("upstream_protocol", False),
    "UpstreamDisconnected": ("upstream_disconnected", True),
    "UpstreamIncomplete": ("upstream_incomplete", True),
    "UpstreamTimeout": ("upstream_timeout", True),
    "UpstreamTooLarge": ("upstream_too_large", False),
    "RunTimeout": ("run_timeout", False),
    "RunInterrupted": ("run_interrupted", True),
    "EventsLost": ("events_lost", True),
    "StreamMoved": ("stream_moved", True),
    "InternalError": ("internal_error", False),
}
REQUESTS = {
    "BadRequest": ("bad_request", None),
    "Unauthorized": ("unauthorized", None),
    "ForeignOrigin": ("foreign_origin", None),
    "RunNotFound": ("run_not_found", None),
    "RunConflict": ("run_conflict", None),
    "StoppedEarly": ("stopped_before_start", None),
    "CursorBeyondLog": ("cursor_beyond_log", None),
    "BodyTooLarge": ("body_too_large", None),
    "NotJSON": ("not_json", None),
    "ForeignHost": ("foreign_host", None),
    "InvalidFields": ("invalid_fields", None),
    "ResponseNotFound": ("response_not_found", None),
    "ItemNotFound": ("item_not_found", None),
    "UnknownModel": ("unknown_model", None),
    "ModelsUnavailable": ("models_unavailable", 2.0),
    "TooManyRuns": ("too_many_runs", 2.0),
    "TooManyReaders": ("too_many_readers", 2.0),
    "HeadTooLarge": ("head_too_large", None),
    "Full": ("full", 2.0),
    "Draining": ("draining", 5.0),
    "NotStarted": ("not_started", 2.0),
    "RunUnreachable": ("run_unreachable", 2.0),
}


def drawn() -> Iterator[tuple[str, str | None, str]]:
    """The tree of the module's docstring: (name, parent, note)."""
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        found = _DRAWN.match(line)
        if found is None:
            continue
        depth = 0 if "── " not in line else len(found["indent"]) // 4 + 1
        del above[depth:]
        yield found["name"], above[-1] if above else None, found["note"].strip()
        above.append(found["name"])


def real(kind: type[StreamServeError] = StreamServeError) -> Iterator[tuple[str, str | None]]:
    """The tree of the classes: (name, parent)."""
    yield kind.__name__, None if kind is StreamServeError else kind.__bases__[0].__name__
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from real(child)


def leaves(kind: type[StreamServeError]) -> set[str]:
    """Return those without the branch of streams, which is drawn where it is."""
    found = {child.__name__ for child in subclasses(kind) if not child.__subclasses__()}
    return found - {child.__name__ for child in subclasses(errors.StreamError)}


def subclasses(kind: type[StreamServeError]) -> Iterator[type[StreamServeError]]:
    for child in kind.__subclasses__():
        yield child
        yield from subclasses(child)


def test_the_tree_is_drawn_as_it_is_and_in_its_order() -> None:
    assert [(name, parent) for name, parent, _ in drawn()] == list(real())


def test_every_error_of_the_module_is_in_the_tree() -> None:
    kinds = {name for name, thing in vars(errors).items() if isinstance(thing, type)}
    assert kinds == {name for name, _ in real()}


def test_the_drawing_says_of_each_error_that_is_raised_what_it_is() -> None:
    notes = {name: note for name, _, note in drawn() if name in {*REQUESTS, *FAILURES}}
    assert set(notes) == {*REQUESTS, *FAILURES}
    assert [name for name, note in notes.items() if not note] == []


def test_no_error_knows_of_http_or_of_the_environment() -> None:
    for name, _ in real():
        kind: type[StreamServeError] = getattr(errors, name)
        assert not {"status", "title", "headers"} & set(dir(kind))
    assert "STREAM_SERVE_" not in Path(errors.__file__).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", REQUESTS)
def test_a_refused_request_has_its_code_and_says_when_to_try_again(name: str) -> None:
    kind: type[RequestError] = getattr(errors, name)
    refused = kind("what to do")
    assert (refused.code, refused.retry_after) == REQUESTS[name]
    assert refused.retryable is (refused.retry_after is not None)
    assert str(refused) == "what to do"
    assert list(refused.parameters) == []


def test_the_fields_of_a_wrong_request_are_kept() -> None:
    assert errors.InvalidFields("what to do", fields=(("a", "b"),)).fields == (("a", "b"),)
    assert list(errors.InvalidFields("what to do").fields) == []


@pytest.mark.parametrize("name", ["SettingsError", "TooManyRuns", "RunTimeout", "LogUnavailable"])
def test_an_error_names_the_parameters_that_it_is_about_beside_its_words(name: str) -> None:
    kind: type[StreamServeError] = getattr(errors, name)
    error = kind("what to do", parameters=["Patience.idle"])
    assert error.parameters == ["Patience.idle"]
    assert str(error) == "what to do"


@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_has_its_code_and_says_whether_to_try_again(name: str) -> None:
    kind: type[RunFailure] = getattr(errors, name)
    failure = kind("why")
    assert (failure.code, failure.retryable) == FAILURES[name]
    assert str(failure) == "why"
    assert (failure.retry_after, failure.provider_code, failure.request_id) == (None, None, None)


def test_these_are_all_the_ways_to_fail() -> None:
    assert leaves(RunFailure) == set(FAILURES)
    assert leaves(RequestError) == set(REQUESTS)


def test_no_two_errors_that_are_raised_share_a_code() -> None:
    codes = [code for code, _ in FAILURES.values()] + [code for code, _ in REQUESTS.values()]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", code) for code in codes)


@pytest.mark.parametrize("retryable", [True, False])
def test_one_failure_can_say_otherwise_and_leaves_the_others_alone(retryable: bool) -> None:
    failure = errors.UpstreamRateLimited(
        "m", retryable=retryable, retry_after=2.0, provider_code="c", request_id="i"
    )
    assert failure.retryable is retryable
    assert (failure.retry_after, failure.provider_code, failure.request_id) == (2.0, "c", "i")
    assert errors.UpstreamRateLimited("m").retryable is True
