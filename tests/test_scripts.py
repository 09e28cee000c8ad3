"""What the scripts and the hooks name exists: a renamed folder would otherwise be missed in silence."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).parent.parent


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_every_folder_that_the_matrix_leaves_out_exists() -> None:
    left_out = re.findall(r"--ignore=(\S+)", read("scripts/matrix"))
    assert left_out
    assert [path for path in left_out if not (ROOT / path).exists()] == []


def test_every_path_that_the_groups_of_tests_name_exists() -> None:
    named = re.findall(r"\btests/[\w/.*]+", read("scripts/test"))
    assert named
    assert [path for path in named if not list(ROOT.glob(path))] == []


def test_every_folder_whose_tests_are_slow_exists() -> None:
    (names,) = re.findall(r"SLOW_FOLDERS: Final = \{(.+)\}", read("tests/conftest.py"))
    slow = set(re.findall(r'"(\w+)"', names))
    assert slow
    folders = {path.name for path in (ROOT / "tests").rglob("*") if path.is_dir()}
    assert slow - folders == set()


def test_every_test_file_that_contributors_are_told_of_exists() -> None:
    named = re.findall(r"\btests/[\w/.*-]+\w", read("CONTRIBUTING.md"))
    assert named
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_every_supported_python_is_one_that_the_matrix_looks_for() -> None:
    (pattern,) = re.findall(r"sed -n 's/\.\*(.+?)\.\*/", read("scripts/matrix"))
    python = pattern.replace(r"\(", "(").replace(r"\)", ")")
    assert re.findall(python, read("pyproject.toml"))[:2] == ["3.11", "3.12"]


def test_ci_runs_the_scripts_that_a_person_runs() -> None:
    named = re.findall(r"^scripts/(\w+)", read(".ci/run"), re.MULTILINE)
    assert named == ["check", "test", "matrix", "bench"]
    assert all(os.access(ROOT / "scripts" / name, os.X_OK) for name in named)


def test_the_hooks_are_the_projects_own_tools_and_download_nothing() -> None:
    hooks: dict[str, Any] = yaml.safe_load(read(".pre-commit-config.yaml"))
    (local,) = hooks["repos"]
    assert local["repo"] == "local"
    for hook in local["hooks"]:
        assert hook["language"] == "system"
        assert os.access(ROOT / hook["entry"].split()[0], os.X_OK)
    checked = re.findall(
        r"^\.venv/bin/((?:ruff|basedpyright).*)", read("scripts/check"), re.MULTILINE
    )
    assert [hook["entry"] for hook in local["hooks"]] == [f".venv/bin/{tool}" for tool in checked]
