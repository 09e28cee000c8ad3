"""The models that callers may name."""

from __future__ import annotations

from stream_serve.producers.provider import Model, offered


def test_the_list_of_models_has_those_that_may_be_named() -> None:
    known = [Model(name="m", default=True), Model(name="a", context=5), Model(name="c")]
    assert offered(known, (), only_listed=False) == known
    assert offered(known, ("b", "a"), only_listed=False) == [*known[:2], Model(name="b")]
    assert offered(known, ("b", "a"), only_listed=True) == known[:2]
    assert offered([], ("b", "a"), only_listed=False) == [Model(name="b"), Model(name="a")]
