"""The doors for clients of OpenAI's Responses API.

A response is a run: its id has the run's id in it, so that every process finds it. With `background` it
goes on whoever reads it; otherwise a client that closes its connection stops it, also one that waits for
an answer in one piece.
"""

from __future__ import annotations

import secrets
from contextlib import suppress
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from stream_serve.errors import ForeignOrigin, ResponseNotFound, RunNotFound, RunUnreachable
from stream_serve.events.types import End, MessageRef
from stream_serve.runs.spec import OnDisconnect
from stream_serve.runs.subscription import Subscription
from stream_serve.web import whole
from stream_serve.web.asking import Asking, asking_of, fingerprint_of, run_id_of
from stream_serve.web.body import invalid, read_object
from stream_serve.web.dialects import failures
from stream_serve.web.dialects.base import Translator
from stream_serve.web.dialects.responses import ids, kept, request
from stream_serve.web.dialects.responses.items import IN_PROGRESS
from stream_serve.web.dialects.responses.object import NAME, QUEUED, Door, ResponseObject
from stream_serve.web.dialects.responses.stored import StoredResponses
from stream_serve.web.dialects.responses.translation import Responses
from stream_serve.web.fields import disconnect_of
from stream_serve.web.response import ignored_fields
from stream_serve.web.security import ASK, check_origin_trusted, cors_headers, guarded
from stream_serve.web.stream import EventStream

router = APIRouter(include_in_schema=False)

Json = dict[str, Any]
Ask = Annotated[Asking, Depends(asking_of)]

_MAX_DIGITS: Final = 9
_PAGE: Final = 20
_MAX_PAGE: Final = 100
_MAX_DOOR: Final = 786_432
"""The most bytes of what a response was asked with that are kept; messages and answers are beside.

What the object repeats of the request (`Door.echo`) can be no larger: several events have it.
"""


@router.post("/v1/responses", response_class=Response)
@guarded(ASK)
async def create_response(http: Request, asking: Ask) -> Response:
    """Answer as OpenAI's Responses API does: as an object, as streaming events, or in the background."""
    body = await read_object(http, max_bytes=asking.settings.max_body_bytes)
    run_id = run_id_of(http) or secrets.token_urlsafe(16)
    asked = request.read(body, run_id)
    if not asking.settings.store_responses:
        asked = msgspec.structs.replace(asked, store=False)
    subscription = await _start(http, asking, asked, run_id)
    headers = {
        **_headers(http),
        **ignored_fields(asked.ignored),
        "X-Run-Id": run_id,
        "X-Request-Id": run_id,
    }
    if asked.stream:
        return _stream(asking, subscription, Responses(), headers)
    if asked.background:
        subscription.close()
        return _json(await _accepted(asking, run_id), headers)
    found = ResponseObject(run_id)
    end = await whole.gather(subscription, http, found.add)
    if not isinstance(end, End):
        return failures.response_of(end, headers)
    found.add(end)
    return _json(found.shown(), headers)


@router.get("/v1/responses/{response_id}", response_class=Response)
@guarded(ASK)
async def show_response(http: Request, response_id: str, asking: Ask) -> Response:
    """Show a response as it is now; with `stream=true` its events after `starting_after`, or all."""
    run_id = _run_of(response_id)
    responses = _responses(asking)
    if http.query_params.get("stream", "").lower() != "true":
        found = await responses.find(asking.owner, run_id)
        return _json(found.shown, _headers(http))
    dialect = Responses(starting_after=_starting_after(http))
    try:
        await responses.logged.door(asking.owner, run_id)
        subscription = await asking.runs.subscribe(run_id, owner=asking.owner)
    except (ResponseNotFound, RunNotFound):
        await responses.door(asking.owner, run_id)
        subscription = None
    if subscription is None:
        raise invalid("stream", "This response can no longer be streamed: get it as a whole.")
    return _stream(asking, subscription, dialect, {**_headers(http), "X-Run-Id": run_id})


@router.post("/v1/responses/{response_id}/cancel", response_class=Response)
@guarded(ASK)
async def cancel_response(http: Request, response_id: str, asking: Ask) -> Response:
    """Stop a response in the background, and show it. For one that has ended, this changes nothing."""
    run_id = _run_of(response_id)
    responses = _responses(asking)
    door = await _own_door(responses, asking.owner, run_id)
    if not door.background:
        raise invalid("response_id", "Cannot cancel a synchronous response.")
    unreachable = False
    with suppress(RunNotFound):
        receipt = await asking.runs.stop(run_id, owner=asking.owner)
        unreachable = receipt.outcome == "unreachable"
    found = await responses.find(asking.owner, run_id)
    # After a crash, nobody has ended it yet.
    if unreachable or found.shown["status"] == IN_PROGRESS:
        raise RunUnreachable("the process that has this response does not answer: try again")
    return _json(found.shown, _headers(http))


@router.delete("/v1/responses/{response_id}", response_class=Response)
@guarded(ASK)
async def delete_response(http: Request, response_id: str, asking: Ask) -> Response:
    """Forget a response; one that goes on is stopped before."""
    run_id = _run_of(response_id)
    responses = _responses(asking)
    await _own_door(responses, asking.owner, run_id)
    await responses.delete(asking.owner, run_id)
    gone = {"id": response_id, "object": "response.deleted", "deleted": True}
    return _json(gone, _headers(http))


@router.get("/v1/responses/{response_id}/input_items", response_class=Response)
@guarded(ASK)
async def list_input_items(http: Request, response_id: str, asking: Ask) -> Response:
    """List the items that a response was asked with, the newest first unless `order` is asc."""
    run_id = _run_of(response_id)
    responses = _responses(asking)
    one = await responses.find(asking.owner, run_id, whole=True)
    items = await kept.input_of(responses, asking.owner, one)
    return _json(_page(http, items), _headers(http))


async def _start(http: Request, asking: Asking, asked: request.Asked, run_id: str) -> Subscription:
    """Start the run of a response, or join it."""
    responses = _responses(asking)
    items = await kept.resolve(responses, asking.owner, asked.input)
    before = await kept.chain(responses, asking.owner, asked.previous_response_id)
    on_disconnect = disconnect_of(
        asked.fields.get("on_disconnect"), asking.on_disconnect(NAME), name="on_disconnect"
    )
    door = asked.door(items if asked.store or asked.background else [])
    if not _fits(http, door):
        door = msgspec.structs.replace(door, input=[], store=False)
        _check_echo(door)

    async def keep(run_id: str, model: str) -> tuple[MessageRef | None, Json]:
        return await responses.keep(asking.owner, door, run_id=run_id, model=model)

    return await asking.start(
        asked.question([*before, *items]),
        run_id=run_id,
        fingerprint=fingerprint_of(asked.fields),
        on_disconnect=OnDisconnect.FINISH if asked.background else on_disconnect,
        keep=keep if door.store else None,
        door=door.as_start(),
    )


def _fits(http: Request, door: Door) -> bool:
    """Return whether what a response was asked with may be kept: for its size, and for who asks."""
    try:
        check_origin_trusted(http)
    except ForeignOrigin:
        return False
    return len(msgspec.json.encode(door)) <= _MAX_DOOR


async def _own_door(responses: StoredResponses, owner: str | None, run_id: str) -> Door:
    """Return what a response was asked with.

    Raises `InvalidFields` for a run that was not started as a response: it is only read here.
    """
    door = await responses.door(owner, run_id)
    if door.foreign:
        message = "This run was not started as a response: stop it by POST /ai/runs/{runId}/stop."
        raise invalid("response_id", message)
    return door


def _check_echo(door: Door) -> None:
    """Check that what the object repeats of the request is not too large. Raises `InvalidFields`."""
    if len(msgspec.json.encode(door)) <= _MAX_DOOR:
        return
    largest = max(door.echo, key=lambda name: len(msgspec.json.encode(door.echo[name])))
    raise invalid(
        largest,
        f"instructions, tools and what else a response repeats may have {_MAX_DOOR} bytes "
        "together: send less here, or use /v1/chat/completions",
    )


def _responses(asking: Asking) -> StoredResponses:
    budget = kept.Budget(asking.settings.max_body_bytes)
    return StoredResponses(asking.runs, asking.conversations, budget)


async def _accepted(asking: Asking, run_id: str) -> Json:
    """Return a response in the background: queued, unless it has said something by now."""
    found = await _responses(asking).logged.read(asking.owner, run_id)
    new = found.end is None and not found.output.items
    return found.shown(QUEUED if new else None)


def _stream(
    asking: Asking, subscription: Subscription, dialect: Responses, headers: dict[str, str]
) -> EventStream:
    return EventStream(
        subscription,
        heartbeat=asking.settings.heartbeat_interval,
        headers={**headers, **dialect.headers},
        translator=Translator(dialect.translation(subscription.run_id)),
    )


def _run_of(response_id: str) -> str:
    """Return the run of a response. Raises `ResponseNotFound` for an id that none has."""
    run_id = ids.run_of(response_id)
    if run_id is None:
        raise ResponseNotFound(f"Response with id '{response_id[:100]}' not found.")
    return run_id


def _starting_after(http: Request) -> int:
    """Return the number of the last event that the client has, -1 for none. Raises `InvalidFields`."""
    text = http.query_params.get("starting_after", "")
    if text == "-1":
        return -1
    if text and not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS):
        raise invalid("starting_after", "should be the sequence_number of an event")
    return int(text) if text else -1


def _page(http: Request, items: list[Json]) -> Json:
    """Return the page of items that is asked for. Raises `InvalidFields`."""
    query = http.query_params
    order = query.get("order", "desc")
    if order not in {"asc", "desc"}:
        raise invalid("order", "may be asc or desc")
    limit = query.get("limit", str(_PAGE))
    if not (
        limit.isascii()
        and limit.isdigit()
        and len(limit) <= len(str(_MAX_PAGE))
        and 1 <= int(limit) <= _MAX_PAGE
    ):
        raise invalid("limit", f"should be a number from 1 to {_MAX_PAGE}")
    ordered = items if order == "asc" else items[::-1]
    if (after := query.get("after")) is not None:
        place = next((n for n, item in enumerate(ordered) if item["id"] == after), None)
        if place is None:
            raise invalid("after", "should be the id of an item of this list")
        ordered = ordered[place + 1 :]
    page = ordered[: int(limit[:4])]
    return {
        "object": "list",
        "data": page,
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
        "has_more": len(ordered) > len(page),
    }


def _headers(http: Request) -> dict[str, str]:
    return {"Cache-Control": "no-store", **cors_headers(http.scope)}


def _json(value: Json, headers: dict[str, str]) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json", headers=headers)
