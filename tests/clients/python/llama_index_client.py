"""Cases of LlamaIndex's class for servers like OpenAI's."""

from __future__ import annotations

from typing import Any

from cases import serve
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai_like import OpenAILike


def llm(base_url: str, key: str, model: str, *, chat: bool = True) -> OpenAILike:
    return OpenAILike(
        model=model, api_base=base_url, api_key=key, is_chat_model=chat, max_retries=0,
        is_function_calling_model=True,
    )  # fmt: skip


QUESTION = [ChatMessage(role="user", content="Hello")]


def chat(base_url: str, key: str, model: str) -> Any:
    answer = llm(base_url, key, model).chat(QUESTION)
    return {"text": answer.message.content, "role": answer.message.role.value}


def stream(base_url: str, key: str, model: str) -> Any:
    answers = list(llm(base_url, key, model).stream_chat(QUESTION))
    return {"text": answers[-1].message.content, "pieces": len(answers)}


def complete(base_url: str, key: str, model: str) -> Any:
    """Ask as it does by default, where nothing says that the model is for chats."""
    return llm(base_url, key, model, chat=False).complete("Hello").text


def failing_stream(base_url: str, key: str, model: str) -> Any:
    """Return the text before a failure, and the failure."""
    text = ""
    try:
        for answer in llm(base_url, key, model).stream_chat(QUESTION):
            text += answer.delta or ""
    except Exception as error:  # noqa: BLE001 - whichever it raises
        return {"text": text, "name": type(error).__name__, "message": str(error)}
    return {"text": text}


def tools(base_url: str, key: str, model: str) -> Any:
    def get_weather(city: str, unit: str = "celsius") -> str:
        """Return the weather of a city."""
        return f"22 °C in {city}, {unit}"

    asking = llm(base_url, key, model)
    answer = asking.chat_with_tools([FunctionTool.from_defaults(get_weather)], user_msg="Hello")
    calls = asking.get_tool_calls_from_response(answer)
    return [{"id": one.tool_id, "name": one.tool_name, "given": one.tool_kwargs} for one in calls]


if __name__ == "__main__":
    serve(chat, stream, complete, failing_stream, tools)
