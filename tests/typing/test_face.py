"""The public face: its names and signatures change on purpose only, and its types are right."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from support import face

HERE = Path(__file__).parent


def test_the_public_names_and_signatures_are_those_of_the_snapshot() -> None:
    kept = face.SNAPSHOT.read_text(encoding="utf-8")
    assert face.face() == kept, (
        "the public face has changed. If that is meant: is it a new major version (docs/embedding.md)? "
        "Then write it anew with PYTHONPATH=tests .venv/bin/python -m support.face"
    )


@pytest.mark.slow
def test_the_types_are_right_and_what_should_be_an_error_is_one() -> None:
    checked = subprocess.run(
        [sys.executable, "-m", "basedpyright", HERE],
        cwd=HERE.parent.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout
