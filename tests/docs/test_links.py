"""Every page's links lead somewhere, and the first page is short."""

from __future__ import annotations

import re
from typing import Final

import pytest

from support.pages import READMES, ROOT, everything, read

EXAMPLES: Final = ROOT / "examples"


def anchors(page: str) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", read(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", everything())
def test_files_and_headings_that_are_named_exist(page: str) -> None:
    for target, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", read(page)):
        found = ((ROOT / page).parent / target).resolve() if target else ROOT / page
        assert found.exists(), target
        if anchor:
            assert anchor in anchors(str(found.relative_to(ROOT))), f"{target}#{anchor}"


@pytest.mark.parametrize("page", [page for page in everything() if page.endswith(".zh-CN.md")])
def test_each_chinese_page_has_an_english_one_with_the_same_headings(page: str) -> None:
    english = page.replace(".zh-CN", "")
    assert f"]({english.rpartition('/')[2]})" in read(page)
    assert f"]({page.rpartition('/')[2]})" in read(english)
    if page != "docs/performance.zh-CN.md":  # a summary
        levels = [re.findall(r"^(#+) ", read(one), re.MULTILINE) for one in (english, page)]
        assert levels[0] == levels[1]


@pytest.mark.parametrize("example", sorted(one.name for one in EXAMPLES.iterdir() if one.is_dir()))
def test_each_example_is_listed_explained_in_a_few_lines_and_named_by_a_test(example: str) -> None:
    for page in ("README.md", "README.zh-CN.md"):
        assert f"| [{example}]({example}) |" in (EXAMPLES / page).read_text(encoding="utf-8")
    words = (EXAMPLES / example / "README.md").read_text(encoding="utf-8").splitlines()
    assert 3 <= len([line for line in words if line]) <= 6
    tests = [
        one
        for folder in ("docs", "clients")
        for one in (ROOT / "tests" / folder).rglob("*")
        if one.suffix in {".py", ".mjs"} and "node_modules" not in one.parts
    ]
    assert any(example in one.read_text(encoding="utf-8") for one in tests), example


@pytest.mark.parametrize("page", READMES)
def test_the_first_page_is_short(page: str) -> None:
    assert len(read(page).splitlines()) <= 220
