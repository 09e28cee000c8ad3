"""The application: it starts workers, and shows what they do."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from fastapi import FastAPI
from worker import streams

WORKER = Path(__file__).with_name("worker.py")

app = FastAPI(lifespan=streams.lifespan)
app.mount("/ai", streams.routes())


@app.post("/imports/{number}")
async def begin(number: int) -> dict[str, str]:
    """Start a worker; with Celery this is `import_rows.delay(name)`."""
    name = f"import-{number}"
    await asyncio.create_subprocess_exec(sys.executable, WORKER, name)
    return {"stream": f"/ai/v1/stream/{name}"}
