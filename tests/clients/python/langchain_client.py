"""Cases of LangChain's chat model for APIs like OpenAI's, by Chat Completions or by Responses."""

from __future__ import annotations

from typing import Any

from cases import serve
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI


@tool
def get_weather(city: str, unit: str = "celsius") -> str:
    """Return the weather of a city."""
    return f"22 °C in {city}, {unit}"


@tool
def get_time(city: str, unit: str = "") -> str:
    """Return the time in a city."""
    return f"noon in {city} {unit}"


TOOLS = {one.name: one for one in (get_weather, get_time)}


def chat(base_url: str, key: str, model: str, *, responses: bool = False) -> ChatOpenAI:
    return ChatOpenAI(
        model=model, base_url=base_url, api_key=key, max_retries=0, stream_usage=True,
        use_responses_api=responses,
    )  # fmt: skip


def invoke(base_url: str, key: str, model: str, responses: bool = False) -> Any:
    answer = chat(base_url, key, model, responses=responses).invoke("Hello")
    return {"text": answer.text, "usage": answer.usage_metadata,
            "told": answer.response_metadata}  # fmt: skip


def stream(base_url: str, key: str, model: str, responses: bool = False) -> Any:
    chunks = list(chat(base_url, key, model, responses=responses).stream("Hello"))
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    return {"text": whole.text, "usage": whole.usage_metadata, "chunks": len(chunks),
            "told": whole.response_metadata}  # fmt: skip


def failing_stream(base_url: str, key: str, model: str, responses: bool = False) -> Any:
    """Return the text before a failure, and the failure."""
    text = ""
    try:
        for chunk in chat(base_url, key, model, responses=responses).stream("Hello"):
            text += chunk.text
    except Exception as error:  # noqa: BLE001 - whichever it raises
        return {"text": text, "name": type(error).__name__, "message": str(error)}
    return {"text": text}


def close(base_url: str, key: str, model: str, responses: bool = False) -> Any:
    chunks = chat(base_url, key, model, responses=responses).stream("Hello")
    text = next(chunk.text for chunk in chunks if chunk.text)
    chunks.close()
    return text


def tools(base_url: str, key: str, model: str, turn: str, responses: bool = False) -> Any:
    """Return the calls of the first turn, and the answer to their results."""
    asking = chat(base_url, key, model, responses=responses).bind_tools(list(TOOLS.values()))
    question = HumanMessage("Hello")
    chunks = list(asking.stream([question]))
    called = chunks[0]
    for chunk in chunks[1:]:
        called += chunk
    results = [
        ToolMessage(TOOLS[call["name"]].invoke(call["args"]), tool_call_id=call["id"])
        for call in called.tool_calls
    ]
    answer = chat(base_url, key, turn, responses=responses).invoke([question, called, *results])
    return {"calls": called.tool_calls, "answer": answer.text}


if __name__ == "__main__":
    serve(invoke, stream, failing_stream, close, tools)
