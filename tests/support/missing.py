"""What a test needs and the machine does not have."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def lack(what: str) -> NoReturn:
    """Skip the test for what is not there, or fail in CI: there everything is brought."""
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)
