"""Kinds of texts that a script can make as well as a person: names, numbers, logs, drawings, code.

How it works: a text is made by chance from a seed. What is made for the fit and what is made for the
check come from other seeds, and the words in them from other halves of the lists.
"""

from __future__ import annotations

import base64
import json
import random
import uuid
from typing import TYPE_CHECKING, Final

from support.vocabulary import TEXTS

if TYPE_CHECKING:
    from collections.abc import Callable

_LISTS: Final[dict[str, list[str]]] = {
    name: words.split()
    for name, words in json.loads((TEXTS / "words.json").read_text(encoding="utf-8")).items()
}


class Chance(random.Random):
    """A source of chance that knows only its half of the words."""

    def __init__(self, seed: int, half: int) -> None:
        super().__init__(seed)
        self.half = half

    def one(self, of: str) -> str:
        """Return one of a half of a list."""
        return self.choice(_LISTS[of][self.half :: 2])

    def word(self) -> str:
        """Return a word."""
        return self.one("words")

    def number(self, most: int = 9999) -> int:
        """Return a number."""
        return self.randint(0, most)

    def hexadecimal(self, digits: int) -> str:
        """Return a number in hexadecimal digits."""
        return f"{self.getrandbits(4 * digits):0{digits}x}"

    def date(self) -> str:
        """Return a date."""
        return f"20{self.randint(10, 29)}-{self.randint(1, 12):02}-{self.randint(1, 28):02}"

    def time(self) -> str:
        """Return a time of the day."""
        return f"{self.randint(0, 23):02}:{self.randint(0, 59):02}:{self.randint(0, 59):02}"

    def name(self) -> str:
        """Return a person's name."""
        return f"{self.one('given')} {self.one('family')}"


def _names(by: Chance) -> str:
    return by.choice(
        [
            f"{by.name()}\n",
            f"- {by.name()}\n",
            f"{by.one('family')}, {by.one('given')}; ",
        ]
    )


def _art(by: Chance) -> str:
    width = by.randint(8, 30)
    return by.choice(
        [
            f"+{'-' * width}+\n|{by.word():^{width}}|\n+{'-' * width}+\n",
            f"{' ' * by.randint(2, 20)}/\\\n"
            f"{' ' * by.randint(2, 18)}/  \\\n{' ' * by.randint(1, 9)}/____\\\n",
            "".join(by.choice("#@%*+=-:. ") for _ in range(width)) + "\n",
            f"{by.choice('=*#~_') * (width * 2)}\n",
            f"   _{'_' * by.randint(2, 9)}    \n  ( o.o )\n   > ^ <   |\\_/|\n",
            f"{'  ' * by.randint(1, 8)}|{' ' * by.randint(3, 16)}|    [{by.word()}]--->[{by.word()}]\n",
            f"\\{'_' * by.randint(3, 9)}/  {'|' * by.randint(1, 4)}   ~~~~^~~~~\n",
        ]
    )


def _minified(by: Chance) -> str:
    a, b, c = (by.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(3))
    return by.choice(
        [
            f"function {a}({b},{c}){{return {b}.{by.word()}?{c}({b}.{by.word()}):null}}",
            f"var {a}={{{by.word()}:!0,{by.word()}:!1,{by.word()}:{by.number(99)}}};",
            f"for(let {a}=0;{a}<{b}.length;{a}++){c}.push({b}[{a}].{by.word()});",
            f'{a}.addEventListener("{by.word()}",({b}=>{{{c}({b})}}));',
            f'Object.defineProperty({a},"{by.word()}",{{value:{b}}}),{a}.{by.word()}={c}||[];',
        ]
    )


def _latex(by: Chance) -> str:
    x, y = by.choice("xyzabnktuv"), by.choice("ijklmnpqrs")
    return by.choice(
        [
            f"\\begin{{equation}}\n  \\frac{{\\partial {x}}}{{\\partial {y}}} = \\alpha "
            f"{x}^{{{by.number(9)}}} + \\beta\n\\end{{equation}}\n",
            f"\\section{{{by.word().title()} {by.word()}}}\n"
            f"Let ${x}_{y} \\in \\mathbb{{R}}^n$ be a {by.word()}. ",
            f"$$\\sum_{{{y}=0}}^{{\\infty}} \\frac{{{x}^{y}}}{{{y}!}} = e^{x}$$\n",
            f"\\item \\textbf{{{by.word()}}} \\label{{eq:{by.word()}}} see \\ref{{fig:{by.word()}}}\n",
        ]
    )


def _sql(by: Chance) -> str:
    table, one, two = by.word(), by.word(), by.word()
    return by.choice(
        [
            f"SELECT {one}, COUNT(*) AS {two}_count FROM {table}s WHERE {two} > {by.number()} "
            f"GROUP BY {one} ORDER BY {two}_count DESC LIMIT {by.number(99)};\n",
            f"INSERT INTO {table}s ({one}, {two}) VALUES ('{by.word()}', {by.number()});\n",
            f"UPDATE {table}s SET {one} = '{by.word()}' WHERE id = {by.number()};\n",
            f"CREATE TABLE {table}s (\n    id BIGINT PRIMARY KEY,\n    {one} VARCHAR(255) NOT NULL\n);\n",
            f"LEFT JOIN {table}s t ON t.{one}_id = u.id AND t.{two} IS NOT NULL\n",
        ]
    )


def _html(by: Chance) -> str:
    one, two = by.word(), by.word()
    return by.choice(
        [
            f'<div class="{one}-{two} mt-{by.number(9)}"><p>The {one} of the {two}.</p></div>\n',
            f'    <li><a href="/{one}/{by.number()}">{two.title()}</a></li>\n',
            f'<input type="text" name="{one}" id="{two}" placeholder="{one} {two}" required>\n',
            f"<tr><td>{one}</td><td>{by.number()}</td><td>{two}</td></tr>\n",
        ]
    )


def _yaml(by: Chance) -> str:
    deep = "  " * by.randint(1, 7)
    return by.choice(
        [
            f"{deep}{by.word()}:\n{deep}  {by.word()}: {by.word()}\n",
            f"{deep}- name: {by.word()}\n{deep}  {by.word()}: {by.number(99)}\n\n",
            f"{deep}{by.word()}: true\n\n",
        ]
    )


def _table(by: Chance) -> str:
    return f"| {by.word():<12} | {by.number():>8} | {by.word():<10} | {by.number(99)}.{by.number(9)}% |\n"


def _mixed(by: Chance) -> str:
    need = f"{by.one('chinese')}的{by.word()}需要{by.one('chinese')}"
    return f"{need},请用 {by.word()}_{by.word()} 来{by.one('chinese')}。"


def _amounts(by: Chance) -> str:
    return by.choice(
        [
            f"{by.number(10**9):,}\n",
            f"${by.number(10**6):,}.{by.number(99):02} ",
            f"{by.number(10**7):_} ",
        ]
    )


def _log(by: Chance) -> str:
    level = by.choice(["INFO", "WARN", "ERROR", "DEBUG"])
    return by.choice(
        [
            f"{by.date()}T{by.time()}.{by.number(999):03}Z {level} [{by.word()}-{by.number(9)}] "
            f"{by.word()} {by.word()} {by.word()}={by.number()}\n",
            f'{_ip(by).strip()} - - [{by.date()} {by.time()}] "GET /{by.word()}/{by.number()} '
            f'HTTP/1.1" 200 {by.number()}\n',
        ]
    )


def _ip(by: Chance) -> str:
    if by.random() < 0.2:
        return ":".join(by.hexadecimal(4) for _ in range(8)) + "\n"
    return (
        ".".join(str(by.number(255)) for _ in range(4)) + by.choice(["", f":{by.number()}"]) + "\n"
    )


def _url(by: Chance) -> str:
    host = f"{by.word()}.{by.word()}.{by.choice(['com', 'org', 'io', 'cn'])}"
    return (
        f"https://{host}/{by.word()}/{by.number()}"
        f"?{by.word()}={by.word()}&{by.word()}={by.number()}#{by.word()}\n"
    )


def _phone(by: Chance) -> str:
    return by.choice(
        [
            f"+{by.number(99)} {by.number(999)} {by.number(999):03} {by.number(9999):04}\n",
            f"({by.number(999):03}) {by.number(999):03}-{by.number(9999):04}\n",
            f"1{by.number(10**10 - 1):010}, ",
        ]
    )


def _json(by: Chance) -> str:
    value = {by.word(): by.number(), by.word(): by.word(), by.word(): [by.number(9), None, True]}
    return json.dumps(value, indent=by.choice([None, 2, 4])) + "\n"


def _csv(by: Chance) -> str:
    mail, amount = f"{by.word()}@{by.word()}.com", f"{by.number(999)}.{by.number(99):02}"
    return f"{by.number()},{by.name()},{mail},{by.date()},{amount}\n"


KINDS: Final[dict[str, Callable[[Chance], str]]] = {
    "names": _names,
    "drawings": _art,
    "minified code": _minified,
    "LaTeX": _latex,
    "SQL": _sql,
    "HTML": _html,
    "deep YAML": _yaml,
    "padded tables": _table,
    "Chinese with words of code": _mixed,
    "numbers with separators": _amounts,
    "logs with times": _log,
    "IP addresses": _ip,
    "URLs": _url,
    "phone numbers": _phone,
    "JSON": _json,
    "CSV": _csv,
    "UUIDs": lambda by: f"{uuid.UUID(int=by.getrandbits(128))}\n",
    "hexadecimal": lambda by: by.hexadecimal(64) + "\n",
    "base64": lambda by: base64.b64encode(by.randbytes(57)).decode() + "\n",
    "emoji with modifiers": lambda by: by.one("emoji") + by.choice([" ", "", f" {by.word()} "]),
}


def made(half: int, size: int = 3000) -> dict[str, str]:
    """Return a text of each kind: 0 has those for the fit, 1 those for the check."""
    texts: dict[str, str] = {}
    for place, (kind, make) in enumerate(KINDS.items()):
        by = Chance(1000 * half + place, half)
        parts: list[str] = []
        while sum(map(len, parts)) < size:
            parts.append(make(by))
        texts[kind] = "".join(parts)
    return texts
