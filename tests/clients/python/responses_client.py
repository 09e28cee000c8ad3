"""Cases of OpenAI's Python client: Responses."""

from __future__ import annotations

from typing import Any

import openai
from cases import Json, serve


def client(base_url: str, key: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=base_url, api_key=key, max_retries=0)


def plain(base_url: str, key: str, model: str, more: Json | None = None) -> Any:
    with client(base_url, key) as api:
        answer = api.responses.create(model=model, input="Hello", **(more or {}))
        return {**answer.model_dump(mode="json"), "text_of_it": answer.output_text}


def stream(base_url: str, key: str, model: str) -> Any:
    with client(base_url, key) as api:
        events = api.responses.create(model=model, input="Hello", stream=True)
        return [event.model_dump(mode="json") for event in events]


def helper(base_url: str, key: str, model: str) -> Any:
    with client(base_url, key) as api:
        with api.responses.stream(model=model, input="Hello") as events:
            text = "".join(e.delta for e in events if e.type == "response.output_text.delta")
            final = events.get_final_response()
        return {"text": text, "final": final.model_dump(mode="json")}


def turns(base_url: str, key: str, model: str) -> Any:
    """Ask twice; the second question names the first answer."""
    with client(base_url, key) as api:
        first = api.responses.create(model=model, input="Hello")
        second = api.responses.create(model=model, input="And now?", previous_response_id=first.id)
        items = [item.model_dump(mode="json") for item in api.responses.input_items.list(first.id)]
        return {"first": first.id, "previous": second.previous_response_id,
                "text": second.output_text, "items": items}  # fmt: skip


def close(base_url: str, key: str, model: str) -> Any:
    with client(base_url, key) as api:
        events = api.responses.create(model=model, input="Hello", stream=True)
        first = next(event for event in events if event.type == "response.output_text.delta")
        events.close()
        return first.delta


def background(base_url: str, key: str, model: str) -> Any:
    """Begin in the background, leave, resume after what was read, and delete."""
    with client(base_url, key) as api:
        events = api.responses.create(model=model, input="Hello", stream=True, background=True)
        text, number, name = "", 0, ""
        for event in events:
            number = event.sequence_number
            if event.type == "response.created":
                name = event.response.id
            if event.type == "response.output_text.delta":
                text += event.delta
                break
        events.close()
        states = [api.responses.retrieve(name).status]
        for event in api.responses.retrieve(name, stream=True, starting_after=number):
            if event.type == "response.output_text.delta":
                text += event.delta
        final = api.responses.retrieve(name)
        states.append(final.status)
        api.responses.delete(name)
        return {"text": text, "whole": final.output_text, "states": states, "id": name}


def cancel(base_url: str, key: str, model: str) -> Any:
    """Cancel twice what goes on in the background."""
    with client(base_url, key) as api:
        events = api.responses.create(model=model, input="Hello", stream=True, background=True)
        name = ""
        for event in events:
            if event.type == "response.created":
                name = event.response.id
            if event.type == "response.output_text.delta":
                break
        events.close()
        cancelled = [api.responses.cancel(name).status for _ in range(2)]
        return [*cancelled, api.responses.retrieve(name).status]


def retrieve(base_url: str, key: str, name: str) -> Any:
    with client(base_url, key) as api:
        return api.responses.retrieve(name).status


if __name__ == "__main__":
    serve(plain, stream, helper, turns, close, background, cancel, retrieve)
