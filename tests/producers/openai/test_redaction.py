"""A secret in the words of a provider, however it is written."""

from __future__ import annotations

import base64
import html
import json
import urllib.parse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_serve.producers.openai import failures
from stream_serve.producers.openai.redaction import hide, hide_parts
from support.properties import steady

STEADY = steady(1)
KEY = "sk-canary/0123+4567=89&ab"
VISIBLE = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=8, max_size=60)


def percent(text: str) -> str:
    return "".join(f"%{ord(character):02X}" for character in text)


def escaped(text: str) -> str:
    return "".join(f"\\u{ord(character):04x}" for character in text)


@pytest.mark.parametrize(
    "written",
    [
        KEY,
        KEY.upper(),
        json.dumps(KEY)[1:-1],
        json.dumps(KEY)[1:-1].replace("/", "\\/"),
        json.dumps(json.dumps(KEY.replace("+", "\\u002b")))[3:-3],
        escaped(KEY),
        urllib.parse.quote(KEY),
        urllib.parse.quote(KEY, safe=""),
        urllib.parse.quote(urllib.parse.quote(KEY, safe=""), safe=""),
        percent(KEY),
        percent(KEY).lower(),
        html.escape(KEY),
        "".join(f"&#{ord(character)};" for character in KEY),
        "".join(f"&#x{ord(character):x};" for character in KEY),
    ],
)
def test_the_secret_is_found_in_every_spelling(written: str) -> None:
    assert hide(f"the key {written}, twice: {written}.", KEY) == "the key ***, twice: ***."


@pytest.mark.parametrize("length", range(8, len(KEY)))
@pytest.mark.parametrize("after", ["", "…", "...", "****", '"', " "])
def test_a_beginning_of_the_secret_is_hidden_where_a_text_was_cut(length: int, after: str) -> None:
    assert hide(f"the key {KEY[:length]}{after}", KEY) == f"the key ***{after}"


@pytest.mark.parametrize("dummy", ["", "x", "e", "EMPTY", "token", "ollama", "1234567"])
def test_a_dummy_key_spoils_no_words(dummy: str) -> None:
    words = "the token EMPTY exceeds 1234567 of ollama"
    assert hide(words, dummy) == words
    assert failures.read(words, key=dummy).message == words
    assert failures.shown(words, dummy) == words


def test_a_word_that_only_begins_like_the_secret_stays() -> None:
    assert hide("password0 and password12", "password123") == "password0 and ***"
    assert hide("a password of yours", "password123") == "a password of yours"


@STEADY
@given(VISIBLE, st.text(), st.text())
def test_no_secret_is_left_anywhere(secret: str, before: str, after: str) -> None:
    for written in (secret, json.dumps(secret)[1:-1], percent(secret)):
        assert written not in hide(f"{before} {written} {after}", secret).replace("***", " ")


@STEADY
@given(
    st.integers(450, 520), st.integers(0, 30), st.sampled_from(["", "\x1b[1m", "\u200b", "\x00"])
)
def test_neither_our_cut_nor_our_cleaning_leaves_a_part_of_it(
    before: int, more: int, between: str
) -> None:
    written = between.join(KEY)
    message = failures.read("x" * before + f" {written} " + "y" * more, key=KEY).message
    assert KEY[:4] not in message
    assert len(message) <= 501


@pytest.mark.parametrize(
    "shown", ["sk-can***ab", "sk-c...9&ab", "****=89&", "ending in 9&ab", "'0123+4567'", "xxxx&ab"]
)
def test_of_a_rejected_key_no_part_is_shown(shown: str) -> None:
    text = hide_parts(f"Your key {shown} may not use the model qwen-plus.", KEY)
    assert text.startswith("Your key ")
    assert text.endswith(" may not use the model qwen-plus.")
    assert "***" in text
    assert not any(part in text for part in ("sk-c", "9&ab", "0123", "&ab"))


def test_a_long_secret_is_no_burden() -> None:
    secret = base64.b64encode(bytes(range(256)) * 12).decode()
    assert hide(f"a {secret} b {secret[:100]}", secret) == "a *** b ***"
    assert hide(secret[:-1] * 20 + "!", secret).endswith("!")


def test_many_beginnings_of_a_secret_cost_little() -> None:
    words = "sk-canary" * 7000 + " end"
    assert hide(words, KEY) == words


@STEADY
@given(
    st.lists(
        st.sampled_from(
            [KEY, KEY[:9], KEY[:-1], percent(KEY), escaped(KEY), "a", " ", "word ", "…"]
        ),
        max_size=12,
    ).map("".join),
    st.integers(0, 60),
)
def test_what_is_kept_is_the_same_where_the_rest_is_not_read(text: str, limit: int) -> None:
    kept, whole = hide(text, KEY, limit=limit), hide(text, KEY)
    assert kept[: limit + 1] == whole[: limit + 1]
