"""A graph of LangGraph: uvicorn main:app."""

import asyncio
from collections.abc import AsyncGenerator
from typing import TypedDict

from fastapi import FastAPI
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, StateGraph

from stream_serve import ChatRequest, Streams


class State(TypedDict):
    """What goes through the graph."""

    question: str


async def think(state: State) -> State:
    """Say what comes, as a node that asks a model would."""
    write = get_stream_writer()
    for word in f"The graph was asked: {state['question']}".split():
        write(word + " ")
        await asyncio.sleep(0.1)
    return state


graph = StateGraph(State).add_node(think).add_edge(START, "think").add_edge("think", END).compile()
streams = Streams.memory()
app = FastAPI(lifespan=streams.lifespan)
app.mount("/ai", streams.routes())


@streams.chat
async def answer(request: ChatRequest) -> AsyncGenerator[str]:
    """Run the graph, and hand on what its nodes write."""
    async for piece in graph.astream({"question": request.question}, stream_mode="custom"):
        yield str(piece)
