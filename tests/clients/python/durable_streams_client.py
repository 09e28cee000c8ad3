"""Cases of the Python client of Durable Streams: streams that are written, read, followed and removed."""

from __future__ import annotations

import threading
from typing import Any

from cases import Json, serve
from durable_streams import DurableStream, DurableStreamError, stream

JSON = "application/json"
TEXT = "text/plain"
BYTES = "application/octet-stream"
SPLIT = "杭州 ✓".encode()
TIMEOUT = 20.0


def headed(key: str, **more: str) -> Json:
    return {"timeout": TIMEOUT, "headers": {"Authorization": f"Bearer {key}", **more}}


def create(url: str, key: str, content_type: str, **more: Any) -> DurableStream:
    return DurableStream.create(url, content_type=content_type, **headed(key), **more)


def close(url: str, key: str, content_type: str) -> None:
    """Close a stream with its last message: the client has no word for it, but lets headers pass."""
    ending = DurableStream(
        url, content_type=content_type, **headed(key, **{"Stream-Closed": "true"})
    )
    with ending:
        ending.append({"number": "last"} if content_type == JSON else b"last")


def write_and_read(url: str, key: str) -> Any:
    """Append to streams of JSON and of bytes, and read them from the beginning."""
    with create(f"{url}-json", key, JSON, ttl_seconds=3600, body='{"number":0}') as one:
        one.append({"number": 1})
        last = one.append([2, "二"])
        with stream(one.url, live=False, **headed(key)) as reading:
            messages = reading.read_json()
            offset = reading.offset
        head = DurableStream.connect(one.url, **headed(key)).head()
    with create(f"{url}-bytes", key, BYTES) as other:
        for piece in (bytes(range(256)), b"end"):
            other.append(piece)
        with stream(other.url, live=False, **headed(key)) as reading:
            data = reading.read_bytes()
    return {
        "messages": messages,
        "at_end": last.next_offset == offset == head.offset,
        "content_type": head.content_type,
        "data": list(data),
    }


def write_at_once(url: str, key: str) -> Any:
    """Append from many threads with one handle, which joins what waits."""
    with create(url, key, JSON) as one:
        threads = [
            threading.Thread(target=one.append, args=({"number": number},)) for number in range(50)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with stream(url, live=False, **headed(key)) as reading:
            return sorted(message["number"] for message in reading.read_json())


def follow(url: str, key: str, live: Any) -> Any:
    """Follow a stream: each message is appended when the one before has been seen."""
    with create(url, key, JSON) as one:
        one.append({"number": 0})
        seen: list[Any] = []
        with stream(url, offset="-1", live=live, **headed(key)) as reading:
            for message in reading.iter_json():
                seen.append(message["number"])
                if message["number"] == "last":
                    break
                if message["number"] < 3:
                    one.append({"number": message["number"] + 1})
                else:
                    close(url, key, JSON)
    return seen


def follow_text(url: str, key: str) -> Any:
    """Follow a text that is appended byte by byte, so that characters are divided."""
    with create(url, key, TEXT) as one:
        seen = ""
        with stream(url, offset="-1", live="sse", **headed(key)) as reading:
            threading.Thread(target=write_bytes, args=(one, url, key)).start()
            for piece in reading.iter_text():
                seen += piece
    return seen


def write_bytes(one: DurableStream, url: str, key: str) -> None:
    for place in range(len(SPLIT)):
        one.append(SPLIT[place : place + 1])
    close(url, key, TEXT)


def resume(url: str, key: str) -> Any:
    """Read, and go on later from the offset that was reached, in each mode."""
    with create(url, key, JSON) as one:
        one.append({"number": 0})
        with stream(url, live=False, **headed(key)) as reading:
            first = reading.read_json()
            offset = reading.offset
        one.append({"number": 1})
        close(url, key, JSON)
        rest: Json = {}
        for mode in (False, "long-poll", "sse"):
            rest[str(mode).lower()] = numbers = []
            with stream(url, offset=offset, live=mode, **headed(key)) as reading:
                for message in reading.iter_json():
                    numbers.append(message["number"])
                    if message["number"] == "last":
                        break
    return {"first": first, "rest": rest}


def fork(url: str, key: str, path: str) -> Any:
    """Fork a stream by headers, and append to both."""
    with create(url, key, JSON) as one:
        at = one.append({"number": 0}).next_offset
        one.append({"number": 1})
        asked = {"Stream-Forked-From": path, "Stream-Fork-Offset": at}
        DurableStream.create(f"{url}-fork", **headed(key, **asked)).close()
    with DurableStream.connect(f"{url}-fork", **headed(key)) as other:
        other.append({"number": "fork"})
    found = []
    for which in (url, f"{url}-fork"):
        with stream(which, live=False, **headed(key)) as reading:
            found.append([message["number"] for message in reading.read_json()])
    return found


def remove(url: str, key: str) -> Any:
    with create(url, key, TEXT) as one:
        one.delete()
        return error(lambda: stream(url, live=False, **headed(key)).read_text())


def errors(url: str, key: str, size: int) -> Any:
    """Return what is raised for what a client may do wrong."""
    with create(url, key, TEXT) as one, create(f"{url}-closed", key, JSON) as closed:
        close(closed.url, key, JSON)
        return {
            "missing": error(lambda: DurableStream.connect(f"{url}-none", **headed(key))),
            "other": error(lambda: create(url, key, JSON)),
            "seq": error(lambda: [one.append("a", seq="2"), one.append("a", seq="1")]),
            "closed": error(lambda: closed.append({"number": 1})),
            "large": error(lambda: one.append("a" * size)),
            "offset": error(lambda: stream(url, offset="x", **headed(key))),
            "key": error(lambda: DurableStream.connect(url, **headed("wrong"))),
        }


def error(attempt: Any) -> Any:
    """Return the status and the code of what an attempt raises."""
    try:
        attempt()
    except DurableStreamError as found:
        return [found.status, found.code]
    return None


def run(url: str, key: str, live: Any) -> Any:
    """Read a chat run to its end, as a stream of its events."""
    events: list[Any] = []
    with stream(url, offset="-1", live=live, **headed(key)) as reading:
        for event in reading.iter_json():
            events.append(event)
            if event["type"] in {"end", "error"}:
                break
    return events


if __name__ == "__main__":
    serve(write_and_read, write_at_once, follow, follow_text, resume, fork, remove, errors, run)
