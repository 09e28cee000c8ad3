"""The examples of docs/clients.md, run as they stand, in both languages."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import pytest

from stream_serve.testing import ANSWER, ScriptedUpstream
from support.pages import blocks, pair
from support.process import running

if TYPE_CHECKING:
    from support.service import Service

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("page", pair("clients"))
async def test_the_examples_of_the_python_client_print_the_answer(
    page: str, service: Service, upstream: ScriptedUpstream
) -> None:
    examples = blocks(page, "python")
    assert len(examples) == 2
    for example in examples:
        async with (
            running(
                *(sys.executable, "-c", example.replace("http://localhost:3000", service.url)),
                stdout=asyncio.subprocess.PIPE,
            ) as process,
            asyncio.timeout(60),
        ):
            out, _ = await process.communicate()
        assert out.decode() == ANSWER
    assert len(upstream.requests) == 2
