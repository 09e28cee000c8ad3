"""The file `stream-serve.toml`: what it makes, and what is refused by its line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args, get_type_hints

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_serve.errors import SettingsError
from stream_serve.producers.openai.endpoint import Traits
from stream_serve.producers.openai.kinds import KINDS
from stream_serve.settings import Catalog, Settings, Target, explain, kinds, tables
from stream_serve.settings.catalog import Timeouts

CANARY = "canary-7f3a"
ONE = '[[providers]]\nname = "p"\nurl = "http://h/v1"\n'

WHOLE = """
only_listed = true

[[providers]]
name = "azure"
url = "https://me.openai.azure.com/openai/deployments/d/chat/completions?api-version=2024-10-21"
key = "sk-1"
headers = { X-Team = "a b" }
body = { user = "x", nested = { list = [1, 2.5, true] } }
stream_options = false
system_role = "developer"
thinking = "none"
timeouts = { connect = 1, idle = 2.5 }
proxy = "http://user:pw@proxy.example:3128"
ca_file = "ca.pem"
client_cert = "client.pem"
client_key = "client.key"

[[providers]]
name = "local"
kind = "vllm"
url = "http://localhost:8000/v1/"
proxy = "none"

[[models]]
name = "small"
targets = [{ provider = "local", model = "Qwen/Qwen3-8B" }, { provider = "azure" }]
context = 32768
thinks = true

[[models]]
name = "large"
targets = [{}]
sees = true
tools = false
temperature = false
default = true
"""


def write(text: str, name: str = "stream-serve.toml") -> None:
    Path(name).write_text(text, encoding="utf-8")


def load(text: str) -> Catalog:
    write(text)
    catalog = Settings.load().catalog
    assert catalog is not None
    return catalog


def refusal(text: str) -> list[str]:
    """The lines of the refusal of a file; none repeats the canary."""
    write(text)
    with pytest.raises(SettingsError) as caught:
        Settings.load()
    said = str(caught.value)
    assert CANARY not in said
    assert caught.value.__cause__ is None
    return [line.strip() for line in said.splitlines()]


# What it makes


def test_without_a_file_the_environment_configures_one_provider() -> None:
    catalog = Settings.load(upstream_url="http://h/v1", model="m").catalog
    assert catalog is not None
    assert catalog.file is None
    assert [(one.name, one.url) for one in catalog.providers] == [("environment", "http://h/v1")]
    assert catalog.default == "m"


@pytest.fixture
def whole() -> Catalog:
    """What a file makes that says all that a file may say."""
    for name in ("ca.pem", "client.pem", "client.key"):
        write("", name)
    return load(WHOLE)


def test_the_providers_of_a_whole_file_are_read(whole: Catalog) -> None:
    azure, local = whole.providers
    assert (azure.name, azure.kind, azure.key) == ("azure", "azure", "sk-1")
    assert azure.url == "https://me.openai.azure.com/openai/deployments/d?api-version=2024-10-21"
    assert azure.headers == {"X-Team": "a b"}
    assert azure.body == {"user": "x", "nested": {"list": [1, 2.5, True]}}
    assert azure.traits == {
        "stream_options": False,
        "system_role": "developer",
        "thinking": "none",
    }
    assert azure.timeouts == Timeouts(1, 60.0, 2.5)
    assert azure.proxy == "http://user:pw@proxy.example:3128"
    assert local.proxy == "", "there is none, whatever the environment says"
    assert [azure.ca_file, azure.client_cert, azure.client_key] == [
        *("ca.pem", "client.pem", "client.key"),
    ]
    assert (local.kind, local.url, local.key, local.traits) == (
        "vllm",
        "http://localhost:8000/v1",
        "",
        {},
    )


def test_the_models_of_a_whole_file_are_read(whole: Catalog) -> None:
    small, large = whole.models
    assert small.targets == (Target("local", "Qwen/Qwen3-8B"), Target("azure", "small"))
    assert (small.context, small.thinks, small.sees, small.tools) == (32768, True, None, None)
    assert large.targets == (Target("azure", "large"),)
    assert (large.sees, large.tools, large.temperature) == (True, False, False)
    assert (whole.default, whole.fallback, whole.only_listed) == ("large", "azure", True)
    assert whole.file == "stream-serve.toml"


def test_the_first_model_is_the_default_unless_one_says_so_and_the_environment_wins() -> None:
    two = ONE + '[[models]]\nname = "a"\n[[models]]\nname = "b"\n'
    assert load(two).default == "a"
    assert load(two + "default = true\n").default == "b"
    catalog = Settings.load(model="a").catalog
    assert catalog is not None
    assert catalog.default == "a"


def test_a_model_that_is_not_listed_goes_to_the_provider_of_the_default_one() -> None:
    two = ONE + '[[providers]]\nname = "q"\nurl = "http://i/v1"\n'
    assert load(two).fallback == "p"
    assert load(two + '[[models]]\nname = "m"\ntargets = [{provider = "q"}]\n').fallback == "q"


def test_a_file_with_models_only_is_about_the_provider_of_the_environment() -> None:
    write('[[models]]\nname = "m"\ncontext = 8\n')
    catalog = Settings.load(upstream_url="http://h/v1").catalog
    assert catalog is not None
    assert catalog.models[0].targets == (Target("environment", "m"),)
    assert catalog.fallback == "environment"


def test_dashscope_has_a_default_model_in_the_file_too() -> None:
    url = "https://dashscope.aliyuncs.com/compatible-mode/v1"
    assert load(f'[[providers]]\nname = "p"\nurl = "{url}"\n').default == "qwen-plus"
    assert load(ONE).default == ""


def test_a_key_comes_from_a_variable_the_env_file_or_a_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    env = ONE + 'key_env = "MY_KEY"\n'
    Path(".env").write_text(f"MY_KEY={CANARY}\n", encoding="utf-8")
    provider = load(env).providers[0]
    assert (provider.key, provider.key_name) == (CANARY, "MY_KEY")
    monkeypatch.setenv("MY_KEY", "sk-2")
    assert load(env).providers[0].key == "sk-2"
    write(f" {CANARY}\n", "secret.txt")
    provider = load(ONE + 'key_file = "secret.txt"\n').providers[0]
    assert (provider.key, provider.key_name) == (CANARY, "secret.txt")
    provider = load(ONE + 'key = "sk-your-api-key-here"\n').providers[0]
    assert provider.key == ""
    assert "provider p" in provider.key_name


def test_another_file_is_named_by_a_setting_and_its_paths_begin_at_its_folder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path("etc").mkdir()
    write("sk-3", "etc/key")
    write(ONE + 'key_file = "key"\n', "etc/other.toml")
    monkeypatch.setenv("STREAM_SERVE_CONFIG", "etc/other.toml")
    catalog = Settings.load().catalog
    assert catalog is not None
    assert (catalog.file, catalog.providers[0].key) == ("etc/other.toml", "sk-3")
    monkeypatch.setenv("STREAM_SERVE_CONFIG", "etc/missing.toml")
    with pytest.raises(SettingsError, match=r"etc/missing\.toml: No such file") as caught:
        Settings.load()
    assert explain(caught.value).endswith("(STREAM_SERVE_CONFIG)")


# What is refused


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (f'[[providers]]\nname = "{CANARY}\n', "stream-serve.toml, line 2: this is not TOML: "),
        ("a = [\n1,\n", "stream-serve.toml, at its end: this is not TOML: "),
    ],
)
def test_a_syntax_error_names_the_file_and_the_line(text: str, line: str) -> None:
    (said,) = refusal(text)
    assert said.startswith(line)


def test_another_encoding_is_refused_with_its_line() -> None:
    Path("stream-serve.toml").write_bytes(ONE.encode() + "# 密钥".encode("gbk"))
    with pytest.raises(SettingsError, match="line 4: this is not UTF-8"):
        Settings.load()
    Path("stream-serve.toml").write_bytes(b"\xef\xbb\xbf" + ONE.encode())
    assert Settings.load().catalog is not None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1: providers: there is none: add [[providers]] with a name and a url"),
        (
            ONE.replace("url", "urll"),
            "line 3: providers[0].urll: there is no such key: did you mean url?",
        ),
        (
            ONE + "streamoptions = true\n",
            "line 4: providers[0].streamoptions: there is no such key: ",
        ),
        (ONE + "timeouts = { first_tokn = 1 }\n", "did you mean first_token?"),
        ("[[provider]]\n" + ONE, "line 1: provider: there is no such key: did you mean providers?"),
        ('[[providers]]\nname = "p"\n', "line 1: providers[0].url: this key is needed"),
        (ONE + ONE, "line 5: providers[1].name: this name is taken"),
        (
            ONE.replace('"p"', '"environment"'),
            "line 2: providers[0].name: this is the name of the provider that the environment",
        ),
        (
            ONE + '[[models]]\nname = "m"\ntargets = [{ provider = "environment" }]\n',
            "there is no provider of this name: there are p; that of the environment is not used",
        ),
        (ONE + 'kind = "vlm"\n', "line 4: providers[0].kind: it should be 'dashscope', "),
        (
            ONE + 'require_finish = "no"\n',
            "line 4: providers[0].require_finish: it should be true or",
        ),
        (ONE + f'url2 = "{CANARY}"\n', "line 4: providers[0].url2: "),
        (
            f'[[providers]]\nname = "p"\nurl = "https://u:{CANARY}@h/v1"\n',
            "line 3: providers[0].url: it must not carry a credential",
        ),
        (ONE + f'key = "{CANARY} x"\n', "line 4: providers[0].key: a key has only printable ASCII"),
        (
            ONE + f'key_env = "NOT_{CANARY}"\n',
            "line 4: providers[0].key_env: this variable is neither in the environment nor in .env",
        ),
        (ONE + 'key_file = "nowhere"\n', "line 4: providers[0].key_file: this file cannot be read"),
        (ONE + 'key_file = "/dev/null"\n', "line 4: providers[0].key_file: this file is empty"),
        (ONE + f'key = "{CANARY}"\nkey_env = "X"\n', "line 5: providers[0].key_env: give one of"),
        (ONE + 'ca_file = "nowhere"\n', "line 4: providers[0].ca_file: there is no such file"),
        (ONE + 'proxy = "socks5://h"\n', "line 4: providers[0].proxy: it must be the http://"),
        (ONE + "proxy = false\n", "line 4: providers[0].proxy: it should be text, in quotes"),
        (
            ONE + f'headers = {{ A = "1",  "X Y" = "{CANARY}" }}\n',
            "line 4: providers[0].headers.X Y: this is not the name of a header",
        ),
        (
            ONE + f'[providers.headers]\nok = "1"\nX-A = "{CANARY}\\n"\n',
            "line 6: providers[0].headers.X-A: a header's value has only",
        ),
        (ONE + 'headers = { host = "x" }\n', "this header is the service's own"),
        (
            ONE + "body = { stream = false }\n",
            "providers[0].body.stream: this field is the service's",
        ),
        (ONE + "body = { a = [1979-05-27] }\n", "providers[0].body.a: JSON has no dates"),
        (ONE + "body = { a = nan }\n", "providers[0].body.a: JSON has no such number"),
        (
            ONE + 'continuous_usage = "x"\n',
            "line 4: providers[0].continuous_usage: it should be true or false or 'timings_per_token'",
        ),
        ("providers = 1\n", "line 1: providers: it should be a list: write [[providers]]"),
        (
            '[models]\nname = "m"\n',
            "line 1: models: it should be a list: write [[models]], in double",
        ),
        ("providers = [1]\n", "line 1: providers[0]: it should be a table"),
        (ONE + "headers = { X = 1 }\n", "line 4: providers[0].headers.X: it should be text"),
        (
            ONE + "timeouts = { idle = 0 }\n",
            "timeouts.idle: it should be more than 0",
        ),
        (
            ONE + '[[models]]\nname = "m"\ntargets = [\n  { provider = "pp" },\n]\n',
            "line 7: models[0].targets[0].provider: there is no provider of this name: there are p",
        ),
        (
            ONE + '[[models]]\nname = "m"\ntargets = []\n',
            "line 6: models[0].targets: it should not be",
        ),
        (
            ONE + '[[models]]\nname = "m"\ncontext = 0\n',
            "line 6: models[0].context: it should be at",
        ),
        (
            ONE
            + '[[models]]\nname = "a"\ndefault = true\n[[models]]\nname = "b"\ndefault = true\n',
            "line 9: models[1].default: one model is the default, and another is already",
        ),
        ("only_listed = true\n" + ONE, "line 1: only_listed: it needs [[models]]"),
        (
            ONE + '[[models]]\nname = "a\\u0007"\n',
            "line 5: models[0].name: it should have no control",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_line(text: str, said: str) -> None:
    lines = refusal(text)
    assert lines[0] == "wrong settings in stream-serve.toml"
    assert any(said in line for line in lines[1:]), lines


def test_two_keys_are_one_mistake() -> None:
    lines = refusal(ONE + f'key = "{CANARY}"\nkey_env = "X"\n')
    assert lines[1:] == ["line 5: providers[0].key_env: give one of key, key_env, key_file"]


def test_everything_that_is_wrong_is_named_at_once_in_the_order_of_the_lines() -> None:
    lines = refusal(ONE + 'kind = "x"\nurll = 1\n[[models]]\n')
    assert [line.split(":")[0] for line in lines[1:]] == ["line 4", "line 5", "line 6"]


VALUES = st.recursive(
    st.one_of(
        st.sampled_from(
            ["true", "0", "-1.5", "nan", "[]", "{}", "1979-05-27", '"p"', '"http://h"']
        ),
        st.just(f'"{CANARY}"'),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2).map(lambda items: f"[{', '.join(items)}]"),
        st.dictionaries(
            st.sampled_from(["provider", "model", "idle", "X-A", "z"]), inner, max_size=2
        ).map(
            lambda items: "{" + ", ".join(f"{key} = {value}" for key, value in items.items()) + "}"
        ),
    ),
    max_leaves=4,
)


def table(heading: str, kind: type[tables.Table]) -> st.SearchStrategy[str]:
    """A table with some of its keys, and with others, of any values."""
    keys = st.sampled_from([*kind.model_fields, "nam", "x"])
    return st.dictionaries(keys, VALUES, max_size=6).map(
        lambda items: "\n".join([heading, *(f"{key} = {value}" for key, value in items.items())])
    )


@given(
    st.lists(
        st.one_of(
            table("[[providers]]", tables.Provider),
            table("[[models]]", tables.Model),
            st.just(ONE),
        ),
        max_size=4,
    )
)
def test_any_file_is_a_catalog_or_a_refusal_that_names_lines(parts: list[str]) -> None:
    write("\n".join(parts))
    said = ""
    try:
        assert Settings.load().catalog is not None
    except SettingsError as error:
        said = str(error)
    first, *lines = said.splitlines() or [""]
    assert first == ("wrong settings in stream-serve.toml" if said else "")
    assert bool(lines) is bool(said)
    assert all(re.match(r"  (line \d+: \S+: \S|and \d+ more)", line) for line in lines)
    assert CANARY not in said


def test_a_thousand_wrong_keys_are_not_a_thousand_lines() -> None:
    lines = refusal(ONE + "".join(f"k{number} = 1\n" for number in range(1000)))
    assert len(lines) == 22
    assert lines[-1] == "and 980 more"


def test_a_file_that_is_too_large_or_too_deep_is_refused() -> None:
    assert "larger" in refusal("# " + "x" * 1_048_576)[0]
    refusal("a = " + "[" * 100_000)


def test_a_default_model_that_is_not_among_the_only_ones_is_refused() -> None:
    write("only_listed = true\n" + ONE + '[[models]]\nname = "qwen"\n')
    with pytest.raises(SettingsError, match="did you mean qwen") as caught:
        Settings.load(model="qwenn")
    assert caught.value.parameters == ["Endpoint.model"]


def test_no_secret_is_shown_by_the_catalog() -> None:
    write(
        f'[[providers]]\nname = "p"\nurl = "http://h/v1?key={CANARY}"\nkey = "{CANARY}"\n'
        f'headers = {{ X = "{CANARY}" }}\nbody = {{ x = "{CANARY}" }}\n'
        f'proxy = "http://u:{CANARY}@h:1"\n'
    )
    settings = Settings.load()
    assert settings.catalog is not None
    assert CANARY in settings.catalog.providers[0].key
    for shown in (repr(settings.catalog), repr(settings), settings.model_dump_json()):
        assert CANARY not in shown


# What two rooms have to agree on


def test_every_kind_has_its_defaults() -> None:
    assert set(KINDS) == set(get_args(kinds.Kind))


def test_every_trait_can_be_set_in_the_file_to_all_that_it_may_be() -> None:
    hints, fields = get_type_hints(Traits), tables.Provider.model_fields
    assert set(tables.TRAITS) == set(Traits.__struct_fields__)
    for name in tables.TRAITS:
        values = flat(fields[name].annotation) - {None}
        assert {None if value == "none" else value for value in values} == flat(hints[name]), name
        if name == "thinking":
            msgspec.structs.replace(Traits(), thinking=None)


def flat(hint: object) -> set[object]:
    """The values of literals, and the types, in an annotation."""
    if hint is type(None):
        return {None}
    parts = get_args(hint)
    return {one for part in parts for one in flat(part)} if parts else {hint}
