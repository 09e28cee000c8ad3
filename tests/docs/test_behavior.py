"""Every promise in docs/behavior.md names tests, and they exist."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parent.parent
BEHAVIOR = TESTS.parent / "docs" / "behavior.md"


def test_every_promise_names_a_test_that_exists() -> None:
    defined = {
        name
        for path in TESTS.rglob("test_*.py")
        for name in re.findall(r"def (test_\w+)", path.read_text())
    }
    rows = [
        line
        for line in BEHAVIOR.read_text().splitlines()
        if line.startswith("| ") and not line.endswith("Test |")
    ]
    assert len(rows) > 30
    for row in rows:
        named = re.findall(r"`(test_\w+)`", row)
        assert named, f"no test is named: {row}"
        for name in named:
            assert name in defined, f"there is no {name}"


def test_every_file_that_a_promise_names_exists() -> None:
    named = set(re.findall(r"`tests/([\w/.*-]+)`", BEHAVIOR.read_text()))
    assert named
    assert [name for name in named if not (TESTS / name).exists()] == []
