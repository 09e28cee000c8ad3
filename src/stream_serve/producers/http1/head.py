"""The head of a response, read as the large HTTP clients read it.

How it works: servers and gateways write heads in ways that RFC 9112 forbids or leaves open: a length
beside chunks, a length twice, lines that end with LF alone or are folded, names with spaces. `HeadReader`
takes them and decides once how the body is framed (RFC 9112, 6.3). The parser of bodies never sees the
server's own head but `Head.canonical`, which leaves nothing to decide. A provider says nearly the same
in each head, so what its lines mean is kept.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from msgspec import Struct

from stream_serve.producers.http1.base import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_MAX_HEAD: Final = 65_536
_USUAL_HEAD: Final = 4_096
"""Bytes of a head up to which what its lines mean is kept for the next heads."""
_KEPT: Final = 256
"""How many lines of each kind are kept: those that were read last."""
_FOLDED: Final = " "
"""Stands for the name of a line that goes on with the header before it; no header has this name."""
_MAX_DIGITS: Final = 18
_BEGIN: Final = b"http/"
_STATUS: Final = re.compile(
    rb"http/([0-9])(?:\.([0-9]))?[ \t]+([1-9][0-9]{2})(?![0-9])", re.IGNORECASE
)
_END: Final = re.compile(rb"\n\r?\n")
_CLEAN: Final = bytes(range(256)).translate(
    bytes(32 if (code < 32 and code != 10) or code == 127 else code for code in range(256))
)
_NO_CODINGS: Final = {"none", "utf-8", "utf8", "7bit", "8bit", "binary", "chunked"}
"""What servers call a content coding and is none."""

_WITHOUT_BODY: Final = {204, 304}


class Head(Struct, frozen=True):
    """The head of a final response.

    - `headers` have their names in small letters; several of one name are one value (RFC 9110, 5.3).
    - `chunked` and `length` say how the body is framed; with neither it ends with the connection.
    - `codings` are those of the body in the order in which they were applied, and then the transfer's.
    - `persistent` says whether the connection can carry another exchange (RFC 9112, 9.3).
    """

    status: int
    headers: Mapping[str, str]
    chunked: bool
    length: int | None
    codings: tuple[str, ...]
    persistent: bool

    @property
    def framed(self) -> bool:
        """Whether the body says itself where it ends."""
        return self.chunked or self.length is not None

    @property
    def canonical(self) -> bytes:
        """A head that says of the framing what this one does, and nothing else."""
        if self.chunked:
            return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        if self.length is not None:
            return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % self.length
        return b"HTTP/1.1 200 OK\r\n\r\n"


class HeadReader:
    """Collects the bytes of a response up to the end of the final head."""

    __slots__ = ("_data", "_size")

    def __init__(self) -> None:
        self._data = b""
        self._size = 0

    @property
    def empty(self) -> bool:
        """True before the first byte."""
        return self._size == 0

    def feed(self, data: bytes) -> tuple[Head, bytes] | None:
        """Take bytes; return the head and what came after it, or None as long as it is not whole.

        Interim responses (RFC 9110, 15.2) are left out, and count as a part of the head, whose size is
        bounded. Raises `ProtocolError` for what is not the head of a response to a POST.
        """
        self._size += len(data)
        searched = max(len(self._data) - 2, 0)
        rest = self._data + data
        while True:
            begin = rest.lstrip(b"\r\n")  # RFC 9112, 2.2, has it for requests
            searched = max(searched - len(rest) + len(begin), 0)
            rest = begin
            if not _BEGIN.startswith(rest[: len(_BEGIN)].lower()):
                raise ProtocolError("what came is not HTTP")
            end = _END.search(rest, searched)
            consumed = self._size - len(rest) + (end.end() if end else len(rest))
            if consumed > _MAX_HEAD:
                raise ProtocolError("the response's head is too large")
            if end is None:
                self._data = rest
                return None
            lines, rest, searched = rest[: end.start()], rest[end.end() :], 0
            if (head := _read(lines)) is not None:
                return head, rest


class _Framing(NamedTuple):
    """How a body is framed and coded, and whether the connection is kept; see `Head`."""

    chunked: bool
    length: int | None
    codings: tuple[str, ...]
    persistent: bool


def _read(lines: bytes) -> Head | None:
    """Return the head of a final response; None for an interim one. Raises `ProtocolError`."""
    usual = len(lines) <= _USUAL_HEAD
    line, _, fields = lines.partition(b"\n")
    status, version = (_usual_status if usual else _read_status)(line)
    if status == 101:
        # We ask for no upgrade, so a server must not switch (RFC 9110, 7.8).
        raise ProtocolError("the server changes to another protocol, which nobody asked for")
    if status < 200:
        return None
    headers: dict[str, str] = {}
    read_field = _usual_field if usual else _read_field
    key = ""
    for field in fields.translate(_CLEAN).decode("latin-1").split("\n"):
        name, value = read_field(field)
        if name == _FOLDED:
            if key:
                headers[key] += f" {value}"
        elif name:
            key = name
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
    framing = (_usual_framing if usual else _read_framing)(
        status,
        version,
        headers.get("transfer-encoding"),
        headers.get("content-length"),
        headers.get("content-encoding"),
        headers.get("connection"),
    )
    return Head(status, headers, *framing)


def _read_status(line: bytes) -> tuple[int, tuple[bytes, bytes]]:
    """Return the status code and the version of a status line. Raises `ProtocolError`."""
    found = _STATUS.match(line)
    if found is None:
        raise ProtocolError("what came is not HTTP")
    return int(found[3]), (found[1], found[2] or b"0")


def _read_field(line: str) -> tuple[str, str]:
    """Return a header's name and its value; `_FOLDED` as the name of one that goes on (RFC 9112, 5.2).

    The name of a line without a colon is empty: it is left out.
    """
    if line.startswith(" "):
        return _FOLDED, line.strip(" ")
    name, colon, value = line.partition(":")
    return (name.strip(" ").lower(), value.strip(" ")) if colon else ("", "")


def _read_framing(
    status: int,
    version: tuple[bytes, bytes],
    transfer_encoding: str | None,
    content_length: str | None,
    content_encoding: str | None,
    connection: str | None,
) -> _Framing:
    """Return how the body of a final response is framed (RFC 9112, 6.3). Raises `ProtocolError`."""
    transfer = _tokens(transfer_encoding)
    while transfer[-2:] == ["chunked", "chunked"]:
        transfer.pop()  # two of a chain have each said it
    chunked = transfer[-1:] == ["chunked"]
    if "chunked" in transfer[: -1 if chunked else None]:
        raise ProtocolError("the body was encoded again after it was cut into chunks")
    length = None if transfer else _read_length(content_length or "")
    if status in _WITHOUT_BODY:
        chunked, length = False, 0
    codings = [coding for coding in _tokens(content_encoding) if coding not in _NO_CODINGS]
    codings += [coding for coding in transfer if coding != "chunked"]
    persistent = _persists(
        version,
        _tokens(connection),
        coded=transfer_encoding is not None,
        sized=content_length is not None,
    )
    return _Framing(chunked, length, tuple(codings), persistent and (chunked or length is not None))


_usual_status = lru_cache(_KEPT)(_read_status)
_usual_field = lru_cache(_KEPT)(_read_field)
_usual_framing = lru_cache(_KEPT)(_read_framing)


def _read_length(text: str) -> int | None:
    """Return a Content-Length; the same one may be there several times (RFC 9112, 6.3, rule 5)."""
    lengths = {part.strip() for part in text.split(",")} - {""}
    if not lengths:
        return None
    length = lengths.pop()
    if lengths or not (length.isascii() and length.isdigit() and len(length) <= _MAX_DIGITS):
        raise ProtocolError("the response's Content-Length is not one number")
    return int(length)


def _persists(
    version: tuple[bytes, bytes], options: Sequence[str], *, coded: bool, sized: bool
) -> bool:
    """Return whether the server keeps the connection (RFC 9112, 9.3), and says one length only.

    A length beside a transfer coding, or a transfer coding in HTTP/1.0, may be an attack, or a gateway
    that has understood only one of them (RFC 9112, 6.1 and 6.3): such a connection is not used again.
    """
    major, minor = version
    new = major == b"1" and minor >= b"1"
    if coded and (not new or sized):
        return False
    return major == b"1" and "close" not in options and (new or "keep-alive" in options)


def _tokens(text: str | None) -> list[str]:
    """Return the members of a list in small letters, without parameters and `identity`."""
    if not text:
        return []
    tokens = [part.partition(";")[0].strip().lower() for part in text.split(",")]
    return [token for token in tokens if token not in {"", "identity"}]
