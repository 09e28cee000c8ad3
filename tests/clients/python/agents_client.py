"""Cases of OpenAI's agents for Python."""

from __future__ import annotations

import asyncio
from typing import Any

import agents
import openai
from cases import serve


def run(base_url: str, key: str, model: str, turn: str, responses: bool) -> Any:
    """Run an agent of `openai-agents`, which calls its tool and answers."""
    agents.set_tracing_disabled(True)
    api = openai.AsyncOpenAI(base_url=base_url, api_key=key, max_retries=0)
    called: list[str] = []

    kind = agents.OpenAIResponsesModel if responses else agents.OpenAIChatCompletionsModel

    class Models(kind):
        """The first turn is of one model, the rest are of another one."""

        async def stream_response(self, *words: Any, **named: Any) -> Any:
            async for event in super().stream_response(*words, **named):
                yield event
            self.model = turn

    @agents.function_tool
    def get_weather(city: str, unit: str) -> str:
        called.append(city)
        return "22 °C"

    @agents.function_tool
    def get_time(city: str, unit: str) -> str:
        called.append(city)
        return "noon"

    async def ask() -> Any:
        mine = agents.Agent(name="Weather", tools=[get_weather, get_time], model=Models(model, api))
        result = agents.Runner.run_streamed(mine, "Hello")
        kinds = [event.type async for event in result.stream_events()]
        await api.close()
        return {"answer": result.final_output, "called": called, "kinds": sorted(set(kinds))}

    return asyncio.run(ask())


if __name__ == "__main__":
    serve(run)
