"""What people write wrong into `stream-serve.toml`: each message says which line, and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from stream_serve.errors import SettingsError
from stream_serve.settings import Settings, explain
from stream_serve.settings.syntax import explain as explain_syntax

if TYPE_CHECKING:
    from collections.abc import Callable

CANARY = "canary-7f3a"
ONE = '[[providers]]\nname = "p"\nurl = "http://h/v1"\n'
MODEL = '[[models]]\nname = "m"\n'
FILE = "stream-serve.toml"


def refusal(text: str | bytes) -> str:
    """The whole refusal of a file, which does not repeat the canary."""
    Path(FILE).write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(SettingsError) as caught:
        Settings.load()
    said = explain(caught.value)
    assert CANARY not in said
    return said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[[providers]]\nname = "p\n', "line 2: this is not TOML: a text does not end on its line"),
        (
            "[[providers]]\nname = p\n",
            "line 2: this is not TOML: this is no value: a text stands in",
        ),
        ("[[providers]]\nname = “p”\n", "a text stands in straight quotes"),
        (ONE + "stream_options = True\n", "line 4: this is not TOML: this is no value: "),
        (
            '[[providers]]\nname: "p"\n',
            "line 2: this is not TOML: after a key come = and its value",
        ),
        ("providers:\n  - name: p\n", "line 1: this is not TOML: after a key come = and its value"),
        ('{"providers": []}', 'line 1: this is not TOML: a line is name = "value", a heading such'),
        ('[[providers]\nname = "p"\n', "line 1: this is not TOML: a heading with [[ ends with ]]"),
        ("[providers\n", "line 1: this is not TOML: a heading with [ ends with ]"),
        (ONE + 'name = "q"\n', "line 4: this is not TOML: this key is there already"),
        (ONE + "[providers.body]\n" * 2, "line 5: this is not TOML: this table is there already"),
        (
            ONE + MODEL + "context = 32k\n",
            "line 6: this is not TOML: something follows after the value",
        ),
        (
            ONE + MODEL + 'targets = [{ provider = "p",\n model = "x" }]\n',
            "line 6: this is not TOML: a key is missing: { … } stands on one line",
        ),
        (
            ONE + 'ca_file = "C:\\Users\\x"\n',
            "line 4: this is not TOML: a backslash begins an escape",
        ),
        (ONE + 'ca_file = "C:\\x"\n', "line 4: this is not TOML: a backslash begins an escape"),
        (ONE + 'name2 = "\x01"\n', "line 4: this is not TOML: here is a control character"),
        (ONE + "body = [1,\n", "at its end: this is not TOML: a list or a table is not closed"),
        (ONE + 'key = """x\n', "at its end: this is not TOML: "),
        (ONE.replace("\n", "\r"), "line 1: this is not TOML: "),
        (ONE.encode("utf-16"), "line 1: this is not UTF-8: save the file as UTF-8"),
        (ONE.encode() + b"# caf\xe9", "line 4: this is not UTF-8: save the file as UTF-8"),
        (
            '[providers]\nname = "p"\n',
            "line 1: providers: it should be a list: write [[providers]]",
        ),
        ('[providers.p]\nurl = "http://h"\n', "line 1: providers: it should be a list: write [["),
        ("port = 3000\n" + ONE, "line 1: port: there is no such key: there are only_listed, prov"),
    ],
)
def test_a_mistake_of_the_form_is_named_with_its_line(text: str | bytes, said: str) -> None:
    assert said in refusal(text)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (f'api_key = "{CANARY}"', "api_key: there is no such key: the key is called key"),
        ('base_url = "http://h"', "base_url: there is no such key: it is called url"),
        ('type = "vllm"', "type: there is no such key: it is called kind"),
        ("extra_body = { a = 1 }", "extra_body: there is no such key: it is called body"),
        (
            'extra_headers = { A = "1" }',
            "extra_headers: there is no such key: it is called headers",
        ),
        (
            "only_listed = true",
            "only_listed: there is no such key: it belongs to the top of the file",
        ),
        ('model = "x"', "model: there is no such key: models have tables of their own, [[models]]"),
        ("idle_timeout = 3", "idle_timeout: there is no such key: did you mean timeouts?"),
        ("timeouts = 30", "timeouts: it should be a table: write timeouts = { idle = 30 }"),
        ('timeouts = { idle = "30s" }', "timeouts.idle: it should be a number"),
        ("timeouts = { idle = -1 }", "timeouts.idle: it should be more than 0"),
        ("timeouts = { idle = inf }", "timeouts.idle: it should be at most 86400"),
        ('headers = "X: 1"', 'headers: it should be a table: write headers = { Name = "value" }'),
        ('headers = ["X"]', 'headers: it should be a table: write headers = { Name = "value" }'),
        ('headers = { X = "1", x = "2" }', "headers.x: this header is there already"),
        ('headers = { "X:" = "1" }', "this is not the name of a header"),
        ('headers = { X = "a\\nb" }', "headers.X: a header's value has only printable ASCII"),
        ('body = "x"', "body: it should be a table: write body = { name = 1 }"),
        ('body = { model = "x" }', "body.model: this field is the service's own"),
        (f"body = {{ a = 1{'0' * 40} }}", "body.a: it should be a number of at most 64 bits"),
        ("key = 5", "key: it should be text, in quotes"),
        (f'key = "{CANARY}\\nx"', "key: a key has only printable ASCII characters, no spaces"),
        (f'key_env = "{CANARY}"', "or empty: key_env names the variable that has the key"),
        (
            'key_env = "BLANK"',
            "key_env: this variable is neither in the environment nor in .env, or",
        ),
        ('key_file = "/"', "key_file: this file cannot be read: Is a directory"),
        ('key_file = "a\\u0000b"', "key_file: it should have no control characters"),
        ('ca_file = "/"', "ca_file: this is no file"),
        ('client_key = "stream-serve.toml"', "client_key: it needs client_cert, too"),
        ('kind = "Azure"', "kind: it should be 'dashscope', 'openai', 'azure', "),
        ("thinking = false", "thinking: it should be 'enable_thinking', 'chat_template_kwargs' or"),
        ("max_tokens = 4096", "max_tokens: it should be 'max_tokens' or 'max_completion_tokens'"),
        (
            'proxy = "proxy:3128"',
            "proxy: it must be the http:// or https:// address of a proxy, such as",
        ),
    ],
)
def test_a_mistake_in_a_provider_says_what_to_write(
    monkeypatch: pytest.MonkeyPatch, line: str, said: str
) -> None:
    monkeypatch.setenv("BLANK", " ")
    found = refusal(f"{ONE}{line}\n")
    assert "\n  line 4: providers[0]." in found
    assert said in found


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("h/v1", "it must be an http:// or https:// address, such as http://"),
        ("ftp://h/v1", "it must be an http:// or https:// address"),
        ("http:/h/v1", "it must be an http:// or https:// address"),
        ("http://h:99999/v1", "it must be an http:// or https:// address"),
        ("http://h/v1 x", "it must be an http:// or https:// address"),
        ("", "it must be an http:// or https:// address"),
        ("http://h/v1#x", "it must not have a fragment: leave out # and what follows"),
        (f"http://u:{CANARY}@h/v1", "it must not carry a credential: the key has its own setting"),
    ],
)
def test_a_mistake_in_a_url_says_what_to_write(url: str, said: str) -> None:
    assert f"line 3: providers[0].url: {said}" in refusal(ONE.replace("http://h/v1", url))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('targets = "p"', 'targets: it should be a list: write targets = [{ provider = "NAME" }]'),
        ('targets = { provider = "p" }', "targets: it should be a list: write targets = [{ prov"),
        ('targets = ["p"]', "targets[0]: it should be a table"),
        ("targets = []", "targets: it should not be empty"),
        (
            'targets = [{ provider = "q" }]',
            "targets[0].provider: there is no provider of this name",
        ),
        ('targets = [{ name = "x" }]', "targets[0].name: there is no such key: it is called model"),
        ('provider = "p"', "provider: there is no such key: write targets = [{ provider ="),
        ("context = 0", "context: it should be at least 1"),
        ('context = "32768"', "context: it should be a whole number"),
        ('default = "yes"', "default: it should be true or false"),
        ("tool = true", "tool: there is no such key: did you mean tools?"),
    ],
)
def test_a_mistake_in_a_model_says_what_to_write(line: str, said: str) -> None:
    assert f"line 6: models[0].{said}" in refusal(f"{ONE}{MODEL}{line}\n")


@pytest.mark.parametrize("name", [" ", "m ", " m"])
def test_a_name_has_no_spaces_around_it(name: str) -> None:
    said = refusal(f'{ONE}[[models]]\nname = "{name}"\n')
    assert "line 5: models[0].name: it should not begin or end with a space" in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "this file is empty"),
        (" \n", "this file is empty"),
        (f"{CANARY}\nsecond\n", "a key has only printable ASCII characters, no spaces and no line"),
        (f"API_KEY={CANARY}\n", "this file should have the key alone, without NAME= before it"),
        (f"export KEY = {CANARY}", "this file should have the key alone, without NAME= before it"),
    ],
)
def test_a_mistake_in_the_file_of_a_key_says_what_it_should_have(text: str, said: str) -> None:
    Path("key").write_text(text, encoding="utf-8")
    assert f"line 4: providers[0].key_file: {said}" in refusal(ONE + 'key_file = "key"\n')


@pytest.mark.parametrize("text", [f"{CANARY}\n", f"\ufeff{CANARY}\r\n", f" {CANARY} ", "abc=="])
def test_a_file_has_a_key_however_an_editor_saves_it(text: str) -> None:
    Path("key").write_text(text, encoding="utf-8")
    Path(FILE).write_text(ONE + 'key_file = "key"\n', encoding="utf-8")
    catalog = Settings.load().catalog
    assert catalog is not None
    assert catalog.providers[0].key in {CANARY, "abc=="}


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Path(FILE).mkdir(), "stream-serve.toml: this is no file that can be read"),
        (
            lambda: Path(FILE).symlink_to("no"),
            "stream-serve.toml: this is no file that can be read",
        ),
        (
            lambda: Path(".env").write_text("STREAM_SERVE_CONFIG=/", encoding="utf-8"),
            "/: Is a directory (STREAM_SERVE_CONFIG)",
        ),
        (
            lambda: Path(".env").write_text("STREAM_SERVE_CONFIG=a\0b", encoding="utf-8"),
            "this is no path of a file (STREAM_SERVE_CONFIG)",
        ),
    ],
)
def test_what_is_no_file_is_not_passed_over(make: Callable[[], object], said: str) -> None:
    make()
    with pytest.raises(SettingsError) as caught:
        Settings.load()
    assert said in explain(caught.value)


def test_an_error_of_the_parser_that_nobody_knows_is_not_repeated() -> None:
    assert explain_syntax("Odd thing (at line 3, column 4)") == ("3", "its syntax is wrong")
