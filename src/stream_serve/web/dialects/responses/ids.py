"""The ids of responses and of their items.

How it works: an id contains the id of its run, so that nothing has to be looked up in an index:
`resp_RUN` is a response, `msg_RUN_0` its first item of output, `msg_RUN_i0` its first item of input.
"""

from __future__ import annotations

from typing import Final

from stream_serve.runs import names

_RESPONSE: Final = "resp_"
_OUTPUT: Final = frozenset({"msg", "rs", "fc"})
_MAX: Final = 200


def response_id(run_id: str) -> str:
    """Return the id of the response that a run is."""
    return _RESPONSE + run_id


def run_of(response_id: str) -> str | None:
    """Return the id of the run that a response is; None for an id that no response has."""
    run_id = response_id[len(_RESPONSE) : _MAX]
    known = response_id.startswith(_RESPONSE) and len(response_id) < _MAX and names.fits(run_id)
    return run_id if known else None


def output_id(kind: str, run_id: str, index: int) -> str:
    """Return the id of an item of output; `kind` is msg, rs or fc."""
    return f"{kind}_{run_id}_{index}"


def input_id(kind: str, run_id: str, index: int) -> str:
    """Return the id of an item of input."""
    return f"{kind}_{run_id}_i{index}"


def run_of_item(item_id: str) -> str | None:
    """Return the id of the run whose output has an item; None for an id that no such item has."""
    kind, _, rest = item_id[:_MAX].partition("_")
    run_id, _, index = rest.rpartition("_")
    known = kind in _OUTPUT and index.isascii() and index.isdigit() and names.fits(run_id)
    return run_id if known else None
