"""Cases of OpenAI's Python client: Chat Completions, models, and what is not offered."""

from __future__ import annotations

import asyncio
from typing import Any

import openai
from cases import QUESTION, Json, serve


def client(base_url: str, key: str, retries: int = 0, **more: Any) -> openai.OpenAI:
    return openai.OpenAI(base_url=base_url, api_key=key, max_retries=retries, **more)


def plain(base_url: str, key: str, model: str, retries: int = 0, more: Json | None = None) -> Any:
    with client(base_url, key, retries) as api:
        answer = api.chat.completions.create(model=model, messages=QUESTION, **(more or {}))
        return answer.model_dump(mode="json")


def stream(base_url: str, key: str, model: str, more: Json | None = None) -> Any:
    with client(base_url, key) as api:
        chunks = api.chat.completions.create(
            model=model, messages=QUESTION, stream=True, **(more or {})
        )
        return [chunk.model_dump(mode="json", exclude_unset=True) for chunk in chunks]


def failing_stream(base_url: str, key: str, model: str) -> Any:
    """Return the text before a failure, and the failure."""
    text = ""
    with client(base_url, key) as api:
        try:
            for chunk in api.chat.completions.create(model=model, messages=QUESTION, stream=True):
                text += chunk.choices[0].delta.content or ""
        except openai.APIError as error:
            return {"text": text, "name": type(error).__name__, "message": error.message,
                    "code": error.code}  # fmt: skip
    return {"text": text}


def helper(base_url: str, key: str, model: str, more: Json | None = None) -> Any:
    """Return the kinds of events of the client's own helper for streams, and its final completion."""
    with (
        client(base_url, key) as api,
        api.chat.completions.stream(model=model, messages=QUESTION, **(more or {})) as events,
    ):
        kinds = {event.type for event in events}
        final = events.get_final_completion()
    return {"kinds": sorted(kinds), "final": final.model_dump(mode="json")}


def close(base_url: str, key: str, model: str) -> Any:
    with client(base_url, key) as api:
        chunks = api.chat.completions.create(model=model, messages=QUESTION, stream=True)
        first = next(chunk for chunk in chunks if chunk.choices[0].delta.content)
        chunks.close()
        return first.choices[0].delta.content


def cancel(base_url: str, key: str, model: str) -> Any:
    """Cancel a task that reads a stream."""

    async def run() -> str:
        begun = asyncio.Event()

        async def read() -> None:
            async with openai.AsyncOpenAI(base_url=base_url, api_key=key) as api:
                chunks = await api.chat.completions.create(
                    model=model, messages=QUESTION, stream=True
                )
                async for chunk in chunks:
                    if chunk.choices[0].delta.content:
                        begun.set()

        reading = asyncio.create_task(read())
        await begun.wait()
        reading.cancel()
        await asyncio.wait([reading])
        return "cancelled" if reading.cancelled() else "finished"

    return asyncio.run(run())


def give_up(base_url: str, key: str, model: str) -> Any:
    """Wait half a second for an answer in one piece."""
    with client(base_url, key, timeout=0.5) as api:
        api.chat.completions.create(model=model, messages=QUESTION)


def tools(base_url: str, key: str, model: str, turn: str, tool: Any) -> Any:
    """Return what a call in two turns says in each: the call, and the answer to its result."""
    with client(base_url, key) as api:
        chunks = api.chat.completions.create(
            model=model, messages=QUESTION, tools=[tool], stream=True
        )
        calls: dict[int, dict[str, str]] = {}
        reason = None
        for chunk in chunks:
            for part in chunk.choices[0].delta.tool_calls or ():
                call = calls.setdefault(part.index, {"id": "", "name": "", "arguments": ""})
                call["id"] = part.id or call["id"]
                call["name"] += part.function.name or ""
                call["arguments"] += part.function.arguments or ""
            reason = chunk.choices[0].finish_reason or reason
        asked = [
            {
                "id": call["id"],
                "type": "function",
                "function": {"name": call["name"], "arguments": call["arguments"]},
            }
            for call in calls.values()
        ]
        results = [
            {"role": "tool", "tool_call_id": call["id"], "content": "22 °C"} for call in asked
        ]
        answer = api.chat.completions.create(
            model=turn,
            messages=[
                *QUESTION,
                {"role": "assistant", "content": None, "tool_calls": asked},
                *results,
            ],
            tools=[tool],
        )
    return {"calls": list(calls.values()), "reason": reason,
            "answer": answer.choices[0].message.content}  # fmt: skip


def models(base_url: str, key: str) -> Any:
    with client(base_url, key) as api:
        listed = [model.id for model in api.models.list()]
        return {"listed": listed, "shown": api.models.retrieve(listed[0]).id}


def model(base_url: str, key: str, name: str) -> Any:
    with client(base_url, key) as api:
        return api.models.retrieve(name).id


def completion(base_url: str, key: str, model: str) -> Any:
    with client(base_url, key) as api:
        whole = api.completions.create(model=model, prompt="Hello")
        chunks = api.completions.create(model=model, prompt="Hello", stream=True)
        return {"whole": whole.choices[0].text,
                "streamed": "".join(chunk.choices[0].text for chunk in chunks)}  # fmt: skip


def embeddings(base_url: str, key: str) -> Any:
    with client(base_url, key) as api:
        api.embeddings.create(model="any", input="Hello")


if __name__ == "__main__":
    serve(
        plain, stream, failing_stream, helper, close, cancel, give_up, tools, models, model,
        completion, embeddings,
    )  # fmt: skip
