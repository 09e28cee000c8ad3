"""What a command loads, and what it says when something is not installed."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from stream_serve.conversations.sql.schema import VERSION_TABLE
from support.process import running

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

BLOCK = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
"""
LOADED = "import sys; print(*sorted({name.split('.')[0] for name in sys.modules}))"


async def python(code: str, **environment: str) -> tuple[int, str]:
    """Run some code in a process of its own; return its exit code and all that it printed."""
    async with (
        running(
            *(sys.executable, "-c", code),
            env={"PATH": "/usr/bin:/bin", **environment},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        ) as process,
        asyncio.timeout(60),
    ):
        out, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode()


def command(*arguments: str) -> str:
    """Return the code that runs `stream-serve`."""
    argv = ["stream-serve", *arguments]
    return f"import sys; sys.argv = {argv!r}\nfrom stream_serve.commands.cli import main\nmain()\n"


HEAVY = {"fastapi", "starlette", "uvicorn", "sqlalchemy", "alembic", "redis", "asyncpg", "aiohttp"}


async def test_the_version_loads_no_library_but_typer() -> None:
    code, out = await python(command("--version") + LOADED)
    assert code == 0
    assert not (HEAVY | {"pydantic", "structlog", "rich", "msgspec"}) & set(out.split())


async def test_the_public_face_loads_no_library() -> None:
    code = "import stream_serve\nfrom stream_serve import Streams\nStreams.memory()\n"
    result, out = await python(code + LOADED)
    assert result == 0
    assert not (HEAVY | {"pydantic", "structlog", "rich", "typer"}) & set(out.split())
    count = "import sys; before = len(sys.modules)\n" + code + "print(len(sys.modules) - before)"
    result, out = await python(count)
    assert result == 0
    assert int(out) < 60, "modules that Python itself has not loaded, those of its library included"


async def test_a_client_alone_has_the_errors_of_streams_by_their_names() -> None:
    code = "from stream_serve.client import failures\n"
    code += 'print(type(failures.of_answer(404, {}, b\'{"code":"stream_not_found"}\')).__name__)\n'
    assert await python(code) == (0, "StreamNotFound\n")


async def test_every_public_name_is_there() -> None:
    code = "import stream_serve\nfor name in stream_serve.__all__: getattr(stream_serve, name)\n"
    assert await python(code) == (0, "")
    result, out = await python("import stream_serve\nstream_serve.nothing\n")
    assert result == 1
    assert "has no attribute 'nothing'" in out


async def test_chat_and_doctor_load_neither_a_database_nor_the_web() -> None:
    code = "from stream_serve.backends import local_runs\nfrom stream_serve.commands import chat\n"
    code += "from stream_serve.commands import doctor\n"
    result, out = await python(code + LOADED)
    assert result == 0
    assert not HEAVY & set(out.split())


async def test_the_service_loads_a_database_and_redis_only_where_they_are_used() -> None:
    code = "from stream_serve.server import lifetime\nfrom stream_serve.app import create_app\n"
    result, out = await python(code + "create_app()\n" + LOADED)
    assert result == 0
    assert not {"sqlalchemy", "alembic", "redis", "asyncpg", "aiohttp"} & set(out.split())


STARTED = """
import asyncio, sys
from stream_serve.app import Hooks, create_app
from stream_serve.settings import Settings
later = []
def databases():
    return sorted({"sqlalchemy", "alembic"} & sys.modules.keys())
async def main():
    app = create_app(Settings.load(), hooks=Hooks(open_later=later.append))
    async with app.router.lifespan_context(app):
        print("started", *databases())
        for open_them in later:
            await open_them()
            print("opened", *databases())
asyncio.run(main())
"""


async def test_a_start_with_a_current_file_loads_the_database_once_it_listens(
    tmp_path: Path,
) -> None:
    file = tmp_path / "chat.db"
    place = {"STREAM_SERVE_DATABASE_URL": str(file)}
    assert await python(STARTED, **place) == (0, "started\n")
    code, _ = await python(command("migrate"), **place)
    assert code == 0
    assert await python(STARTED, **place) == (0, "started\nopened alembic sqlalchemy\n")
    kept = {**place, "STREAM_SERVE_RUN_LOG": "disk"}
    before = (0, "started alembic sqlalchemy\n")
    assert await python(STARTED, **kept) == before, "runs that were left are stored as they open"
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    code, said = await python(STARTED, **place)
    assert code != 0
    assert "made by a newer stream-serve" in said


LEAN = "from stream_serve.server.loading import load_libraries\nload_libraries()\n"
DESCRIBED = """
import gc
from stream_serve.app import create_app
from stream_serve.server import roles
from stream_serve.settings import Settings
from stream_serve.web.openapi import describe
app = create_app(Settings.load())
loaded = {name for name, module in sys.modules.items() if module is not None}
print(len(loaded), gc.isenabled(), *sorted(loaded))
print(repr(describe(app)))
"""


async def test_the_service_loads_lean_and_is_the_same() -> None:
    usual_code, usual = await python("import sys\n" + DESCRIBED)
    lean_code, lean = await python("import sys\n" + LEAN + DESCRIBED)
    assert (usual_code, lean_code) == (0, 0)
    (said, described), (usually_said, usually_described) = lean.splitlines(), usual.splitlines()
    assert described == usually_described, (
        "models that are built when they are used are as complete"
    )
    count, collects, *loaded = said.split()
    assert not {"rich", "attr", "pygments", "alembic"} & set(loaded)
    assert "rich" in set(usually_said.split()), "these are what is left out"
    assert collects == "False"
    assert int(count) < 760


async def test_what_was_left_out_can_be_loaded_afterwards() -> None:
    code = LEAN + "import rich, pydantic\n"
    code += "class Late(pydantic.BaseModel): pass\n"
    code += "print(rich.__name__, Late.__pydantic_complete__, pydantic.BaseModel.model_config)\n"
    assert await python(code) == (0, "rich True {}\n")


@pytest.mark.parametrize(
    ("blocked", "extra", "setting", "value"),
    [
        ("redis", "redis", "STREAM_SERVE_REDIS_URL", "redis://localhost"),
        ("hiredis", "redis", "STREAM_SERVE_REDIS_URL", "redis://localhost"),
        ("asyncpg", "postgres", "STREAM_SERVE_DATABASE_URL", "postgresql://u@localhost/n"),
    ],
)
async def test_a_missing_extra_is_said_in_words_that_name_it(
    blocked: str, extra: str, setting: str, value: str
) -> None:
    code = f"BLOCKED = {{{blocked!r}}}" + BLOCK + command("serve", "--port", "0")
    result, out = await python(code, **{setting: value})
    assert result == 2
    assert f"install stream-serve[{extra}]" in out
    assert setting in out
    assert "Traceback" not in out


async def test_a_job_in_redis_names_the_extra_that_is_missing() -> None:
    code = "from stream_serve import Streams\n"
    code += "with Streams.redis('redis://localhost').open_sync('job-42'): pass\n"
    result, out = await python("BLOCKED = {'redis'}" + BLOCK + code)
    assert result == 1
    assert "install stream-serve[redis]" in out


async def test_the_tools_for_tests_name_their_extra() -> None:
    code = "BLOCKED = {'aiohttp'}" + BLOCK + "import stream_serve.testing\n"
    result, out = await python(code)
    assert result == 1
    assert "install stream-serve[testing]" in out


async def test_the_client_loads_no_part_of_the_service() -> None:
    result, out = await python("import stream_serve.client\n" + LOADED)
    assert result == 0
    assert not (HEAVY | {"pydantic", "structlog", "rich", "typer"}) & set(out.split())


async def test_the_client_names_its_extra_and_nobody_else_needs_it() -> None:
    blocked = "BLOCKED = {'httpx2'}" + BLOCK
    code, out = await python(blocked + "import stream_serve.client\n")
    assert code == 1
    assert "install stream-serve[client]" in out
    service = "import stream_serve\nfrom stream_serve.app import create_app\ncreate_app()\n"
    assert await python(blocked + service) == (0, "")


async def test_without_the_extras_the_service_is_whole() -> None:
    blocked = "BLOCKED = {'redis', 'hiredis', 'asyncpg', 'aiohttp', 'httpx2'}"
    code = (
        "from stream_serve.app import create_app\nimport stream_serve.conversations.sql.history\n"
    )
    result, out = await python(blocked + BLOCK + code + "create_app()\nprint('whole')")
    assert (result, out) == (0, "whole\n")
