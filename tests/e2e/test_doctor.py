"""`stream-serve doctor` and `models` as a person types them: what they show, and what they advise."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from stream_serve.testing import ScriptedUpstream, unused_port
from support.process import command

if TYPE_CHECKING:
    from support.redis import Redis

KEY = "sk-canary-0123456789abcdef"
SECRET = "canary-header-0123456789"


def provider(upstream: ScriptedUpstream, model: str = "answer") -> dict[str, str]:
    return {
        "STREAM_SERVE_UPSTREAM_URL": upstream.url,
        "STREAM_SERVE_UPSTREAM_API_KEY": KEY,
        "STREAM_SERVE_MODEL": model,
    }


async def doctor(**settings: str) -> tuple[int, str]:
    """Run doctor; return the exit code, and what it printed without line breaks."""
    code, out, err = await command("doctor", COLUMNS="200", **settings)
    for text in (out, err):
        assert KEY not in text
        assert SECRET not in text
        assert "Traceback" not in text
    return code, " ".join(out.split())


def configure(text: str) -> None:
    Path("stream-serve.toml").write_text(text, encoding="utf-8")


async def test_doctor_says_that_all_is_well(upstream: ScriptedUpstream) -> None:
    code, out = await doctor(**provider(upstream))
    assert code == 0
    assert "The model answers." in out
    assert "first token" in out
    assert f"{upstream.url}/chat/completions" in out


async def test_doctor_says_which_files_and_settings_it_has_read(upstream: ScriptedUpstream) -> None:
    Path(".env").write_text(f"DASHSCOPE_API_KEY={KEY}\nSTREAM_SERVE_MODELL=x\n", encoding="utf-8")
    code, out = await doctor(**provider(upstream))
    assert code == 0
    assert ".env, no stream-serve.toml" in out
    assert "DASHSCOPE_API_KEY (.env)" in out
    assert "STREAM_SERVE_UPSTREAM_URL (environment)" in out
    assert "did you mean STREAM_SERVE_MODEL?" in out


@pytest.mark.parametrize(
    ("model", "advice"),
    [
        ("unauthorized", "Put a valid key into STREAM_SERVE_UPSTREAM_API_KEY"),
        ("html", "must be the base that ends before"),
        ("refused?status=404&shape=path", "must be the base that ends before"),
        ("bad-request", "STREAM_SERVE_MODEL"),
        ("incomplete", "set STREAM_SERVE_REQUIRE_FINISH to false"),
        ("half-event", "Its stream ends in the middle"),
        ("empty", "STREAM_SERVE_MODEL is a model for chats"),
        ("only-done", "STREAM_SERVE_MODEL is a model for chats"),
        ("rate-limited", "the quota and the bill"),
        ("forbidden", "that STREAM_SERVE_MODEL is a model that it may use"),
        ("arrearage", "look into the provider's console"),
        ("lost-part", "look for a gateway before it"),
        ("bad-status-line", "must be the base that ends before"),
        ("endless-line", "raise STREAM_SERVE_MAX_EVENT_BYTES"),
    ],
)
async def test_doctor_says_what_to_change(
    upstream: ScriptedUpstream, model: str, advice: str
) -> None:
    code, out = await doctor(**provider(upstream, model))
    assert code == 1
    assert advice in out
    assert f"POST {upstream.url}/chat/completions" in out


@pytest.mark.parametrize(
    ("model", "setting"),
    [
        ("silent", "FIRST_TOKEN_TIMEOUT"),
        ("hang-mid", "IDLE_TIMEOUT"),
        ("hang-after-finish", "IDLE_TIMEOUT"),
        ("comments-forever", "RUN_TIMEOUT"),
    ],
)
async def test_doctor_names_the_time_that_was_too_short(
    upstream: ScriptedUpstream, model: str, setting: str
) -> None:
    code, out = await doctor(**provider(upstream, model), **{f"STREAM_SERVE_{setting}": "1"})
    assert code == 1
    assert f"raise STREAM_SERVE_{setting}" in out


async def test_doctor_names_the_time_of_a_provider_in_the_file(upstream: ScriptedUpstream) -> None:
    configure(
        f'[[providers]]\nname = "p"\nurl = "{upstream.url}"\ntimeouts = {{ idle = 0.5 }}\n'
        '[[models]]\nname = "hang-mid"\n'
    )
    code, out = await doctor()
    assert code == 1
    assert "within 0.5 s (timeouts.idle of the provider p)" in out
    assert "raise timeouts.idle." in out


async def test_advice_about_regions_is_for_dashscope_only(upstream: ScriptedUpstream) -> None:
    _, out = await doctor(**provider(upstream, "unauthorized"))
    assert "dashscope" not in out.lower()
    _, out = await doctor(
        **provider(upstream, "unauthorized"), STREAM_SERVE_UPSTREAM_KIND="dashscope"
    )
    assert "dashscope-intl.aliyuncs.com" in out


async def test_doctor_says_that_a_path_is_wrong_and_not_the_model(
    upstream: ScriptedUpstream,
) -> None:
    settings = {**provider(upstream), "STREAM_SERVE_UPSTREAM_URL": upstream.origin}
    code, out = await doctor(**settings)
    assert code == 1
    assert f"POST {upstream.origin}/chat/completions" in out
    assert "The path of the URL is wrong" in out
    assert "STREAM_SERVE_MODEL is" not in out


async def test_doctor_takes_a_model_that_has_only_thought_for_one_that_answers(
    upstream: ScriptedUpstream,
) -> None:
    code, out = await doctor(**provider(upstream, "only-thinks"))
    assert code == 0
    assert "The model answers: it has only thought so far." in out


@pytest.mark.parametrize(
    ("model", "code", "verdict"),
    [
        ("tools", 0, "The model answers: it calls a tool, though it was given none."),
        ("forever?interval=0", 0, "The model answers: it went on and on, so it was stopped."),
        ("role-only", 1, "The model does not answer: it ends without a word."),
    ],
)
async def test_doctor_says_what_is_true_of_an_answer_without_words_or_without_an_end(
    upstream: ScriptedUpstream, model: str, code: int, verdict: str
) -> None:
    found, out = await doctor(**provider(upstream, model))
    assert (found, verdict in out) == (code, True)
    assert "The model answers." not in out


async def test_doctor_names_the_tool_where_a_model_calls_one_instead_of_answering(
    upstream: ScriptedUpstream,
) -> None:
    code, out = await doctor(**provider(upstream, "tool-call"))
    assert code == 0
    assert "The model answers: it calls a tool, though it was given none." in out
    assert "'get_weather' (tool_calls)" in out


async def test_doctor_names_the_models_where_none_is_configured(upstream: ScriptedUpstream) -> None:
    upstream.models = ["answer", "thinking"]
    code, out = await doctor(STREAM_SERVE_UPSTREAM_URL=upstream.url)
    assert code == 1
    assert "answer, thinking" in out
    assert "STREAM_SERVE_MODEL" in out
    upstream.models = ["answer"]
    code, out = await doctor(STREAM_SERVE_UPSTREAM_URL=upstream.url)
    assert code == 0
    assert "model answer" in out


async def test_doctor_names_the_models_that_there_are_where_one_was_refused(
    upstream: ScriptedUpstream,
) -> None:
    upstream.models = ["answer", "thinking"]
    code, out = await doctor(**provider(upstream, "bad-request"))
    assert code == 1
    assert "models there answer, thinking" in out


async def test_doctor_asks_every_provider_of_the_file(upstream: ScriptedUpstream) -> None:
    upstream.models = ["a", "b"]
    configure(f'''
[[providers]]
name = "good"
url = "{upstream.url}?token={SECRET}"
key = "{KEY}"
headers = {{ X-Team = "{SECRET}" }}
body = {{ user = "{SECRET}" }}
stream_options = false
[[providers]]
name = "bad"
kind = "azure"
url = "{upstream.url}"
key = "{KEY}"
[[providers]]
name = "away"
url = "http://127.0.0.1:{unused_port()}/v1"
[[providers]]
name = "unused"
url = "{upstream.url}"
[[models]]
name = "first"
targets = [{{ provider = "good", model = "answer" }}]
[[models]]
name = "second"
targets = [{{ provider = "bad", model = "unauthorized" }}]
[[models]]
name = "third"
targets = [{{ provider = "away", model = "x" }}]
''')
    code, out = await doctor()
    assert code == 1
    assert out.count("The model answers.") == 1
    assert "token=…" in out
    assert "X-Team" in out
    assert "stream_options = False" in out
    assert "Put a valid key into key of the provider bad in stream-serve.toml" in out
    assert "Microsoft Entra" in out
    assert "upstream_unreachable" in out
    assert "no connection to the provider: Connection refused [127.0.0.1:" in out
    assert "a, b" in out
    assert "STREAM_SERVE_" not in out.partition("provider good")[2]
    assert [record.model for record in upstream.requests if record.method == "POST"] == [
        "answer",
        "unauthorized",
    ]


async def test_a_provider_that_no_model_needs_may_have_several(upstream: ScriptedUpstream) -> None:
    upstream.models = ["a", "b"]
    configure(
        f'[[providers]]\nname = "p"\nurl = "{upstream.url}"\n'
        f'[[providers]]\nname = "q"\nurl = "{upstream.url}"\n'
        '[[models]]\nname = "answer"\n'
    )
    code, out = await doctor()
    assert code == 0
    assert "a, b" in out


async def test_doctor_looks_at_redis_and_the_database(
    upstream: ScriptedUpstream, server: Redis
) -> None:
    settings = provider(upstream)
    code, out = await doctor(**settings, STREAM_SERVE_REDIS_URL=server.url)
    assert code == 0
    assert "Redis: replies" in out
    assert "conversations: the file data/stream-serve.db, which is made at its first use" in out
    assert "streams: in Redis" in out
    assert "appendonly is no, so all streams are gone when Redis ends: set it to yes" in out
    code, out = await doctor(
        **settings, STREAM_SERVE_REDIS_URL=server.url, STREAM_SERVE_STREAMS_URL="own/s.db"
    )
    assert code == 0
    assert "streams: the file own/s.db, which is made at its first use" in out
    assert "appendonly" not in out
    code, out = await doctor(**settings, STREAM_SERVE_STREAMS_URL="memory")
    assert "streams: in memory" in out
    assert not Path("data").exists()
    code, out = await doctor(**settings, STREAM_SERVE_RUN_LOG="disk")
    assert (
        "Redis: not used: runs live in one process, and in the file data/runs.db, which is" in out
    )
    assert not Path("data").exists()
    code, out = await doctor(
        **settings,
        STREAM_SERVE_REDIS_URL=f"redis://:{SECRET}@127.0.0.1:{unused_port()}",
        STREAM_SERVE_STREAMS_URL=f"redis://:{SECRET}@127.0.0.1:{unused_port()}",
        STREAM_SERVE_DATABASE_URL=f"postgresql://u:{SECRET}@127.0.0.1:{unused_port()}/x",
    )
    assert code == 1
    assert "Redis: Redis cannot be reached" in out
    assert "streams: Redis cannot be reached" in out
    assert "(STREAM_SERVE_STREAMS_URL)" in out
    assert "[127.0.0.1:" in out
    assert "STREAM_SERVE_DATABASE_URL" in out


async def test_doctor_says_that_the_file_wins_over_the_url(upstream: ScriptedUpstream) -> None:
    configure(f'[[providers]]\nname = "p"\nurl = "{upstream.url}"\n[[models]]\nname = "answer"\n')
    code, out = await doctor(STREAM_SERVE_UPSTREAM_URL="http://127.0.0.1:1/v1")
    assert code == 0
    assert "STREAM_SERVE_UPSTREAM_URL is not used: stream-serve.toml has the providers" in out


async def test_doctor_says_of_each_address_what_is_wrong_with_it(
    upstream: ScriptedUpstream,
) -> None:
    code, out = await doctor(
        **provider(upstream),
        STREAM_SERVE_REDIS_URL="http://x",
        STREAM_SERVE_STREAMS_URL="http://y",
        STREAM_SERVE_DATABASE_URL="mysql://x/y",
    )
    assert code == 1
    assert "streams: it should be the path of a file" in out
    assert "Redis: the URL of Redis is not one" in out
    assert "conversations: the database's URL must begin" in out


async def test_doctor_explains_the_demo() -> None:
    code, out = await doctor(DASHSCOPE_API_KEY="sk-your-api-key-here")
    assert code == 0
    assert "placeholder" in out
    assert "DASHSCOPE_API_KEY" in out


async def test_a_wrong_file_is_refused_by_every_command_with_its_line() -> None:
    configure(f'[[providers]]\nname = "p"\nkey = "{KEY}"\nur = "{SECRET}"\n')
    for name in ("serve", "doctor", "models", "chat"):
        code, out, err = await command(name, *(["hi"] if name == "chat" else []))
        assert (code, out) == (2, "")
        assert "line 4: providers[0].ur: there is no such key: did you mean url?" in err
        assert KEY not in err
        assert SECRET not in err


# models


async def test_the_models_are_listed(upstream: ScriptedUpstream) -> None:
    configure(
        f'[[providers]]\nname = "p"\nurl = "{upstream.url}"\n'
        '[[models]]\nname = "a"\ncontext = 4096\nthinks = true\n[[models]]\nname = "b"\n'
    )
    code, out, _ = await command("models", COLUMNS="200")
    assert code == 0
    lines = [line.split() for line in out.splitlines()]
    assert lines[:3] == [
        ["model", "default", "context", "thinks", "sees", "tools"],
        ["a", "yes", "4096", "yes"],
        ["b"],
    ]
    assert upstream.requests == []


async def test_the_models_of_a_server_are_listed_where_none_is_configured(
    upstream: ScriptedUpstream,
) -> None:
    upstream.models = ["a", "b"]
    code, out, _ = await command("models", STREAM_SERVE_UPSTREAM_URL=upstream.url)
    assert code == 1
    assert [line.split()[0] for line in out.splitlines()[:3]] == ["model", "a", "b"]
    upstream.models = ["a"]
    code, out, _ = await command("models", STREAM_SERVE_UPSTREAM_URL=upstream.url)
    assert code == 0
    assert out.splitlines()[1].split() == ["a", "yes"]


async def test_chat_says_which_models_there_are(upstream: ScriptedUpstream) -> None:
    upstream.models = ["a", "b"]
    code, _, err = await command("chat", "hi", STREAM_SERVE_UPSTREAM_URL=upstream.url)
    assert code == 2
    assert "a, b" in err
