"""An application that has a login of its own: uvicorn main:app."""

import secrets
from collections.abc import AsyncGenerator
from typing import Annotated

from fastapi import Cookie, Depends, FastAPI, HTTPException, Response

from stream_serve import ChatRequest, Streams

sessions: dict[str, str] = {}


async def current_user(session: Annotated[str | None, Cookie()] = None) -> str:
    """Return who is logged in."""
    if session not in sessions:
        raise HTTPException(401, "log in first: POST /login?name=…")
    return sessions[session]


streams = Streams.sqlite("conversations.db", owner=current_user)
app = FastAPI(lifespan=streams.lifespan)
app.mount("/ai", streams.routes())


@app.post("/login")
async def login(name: str, response: Response) -> dict[str, str]:
    """Let anybody in, under any name."""
    session = secrets.token_urlsafe(16)
    sessions[session] = name
    response.set_cookie("session", session, httponly=True, samesite="lax")
    return {"user": name}


@app.get("/me")
async def me(user: Annotated[str, Depends(current_user)]) -> str:
    """A route of the application itself."""
    return user


@streams.chat
async def answer(request: ChatRequest) -> AsyncGenerator[str]:
    """Greet whoever asks."""
    yield f"Hello {request.owner}, you have sent {len(request.messages)} messages."
