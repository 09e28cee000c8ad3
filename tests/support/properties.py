"""How many examples a property is tried with: fewer in `scripts/test --fast`."""

from __future__ import annotations

from hypothesis import settings


def examples(times: float) -> int:
    """Return `times` as many examples as are usual in this run of the tests."""
    usual = settings.default
    assert usual is not None
    return round(times * usual.max_examples)


def steady(times: float) -> settings:
    """Settings for a property that is tried with the same examples in every run."""
    return settings(derandomize=True, deadline=None, max_examples=examples(times))
