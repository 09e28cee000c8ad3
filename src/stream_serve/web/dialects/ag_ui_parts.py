"""The contents of AG-UI's messages, as content parts of Chat Completions.

What a provider cannot be given is an error in words: a file that was left out without a word would be an
answer to another question.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from stream_serve.web.body import invalid

if TYPE_CHECKING:
    from collections.abc import Mapping

Json = dict[str, Any]

_FORMATS: Final = {"mpeg": "mp3", "x-wav": "wav", "wave": "wav", "vnd.wave": "wav", "x-m4a": "m4a"}
_TAKEN: Final[Mapping[str, tuple[str, ...]]] = {
    "image": ("data", "url"),
    "audio": ("data",),
    "document": ("data",),
}


def content_of(value: object, where: str) -> str | list[Json] | None:
    """Return the content of a message: text, content parts, or None where it is absent.

    Raises `InvalidFields`.
    """
    if value is None or isinstance(value, str):
        return value
    if not isinstance(value, list):
        raise invalid(where, "should be text, or a list of content parts")
    parts = cast("list[object]", value)
    return [_part(part, f"{where}[{number}]") for number, part in enumerate(parts)]


def _part(value: object, where: str) -> Json:
    part = cast("Json", value) if isinstance(value, dict) else {}
    kind = part.get("type")
    if kind == "text":
        return {"type": "text", "text": text_of(part, "text", where)}
    if not isinstance(kind, str) or kind not in _TAKEN:
        raise invalid(f"{where}.type", f"may be one of text, {', '.join(_TAKEN)} here")
    source = cast("Json", part["source"]) if isinstance(part.get("source"), dict) else {}
    if source.get("type") not in _TAKEN[kind]:
        raise invalid(
            f"{where}.source.type",
            f"may be {' or '.join(_TAKEN[kind])} here, where the part is {kind}: send the data itself",
        )
    value = text_of(source, "value", f"{where}.source")
    if source["type"] == "url":
        return {"type": "image_url", "image_url": {"url": value}}
    media_type = text_of(source, "mimeType", f"{where}.source")
    if kind == "audio":
        subtype = media_type.partition("/")[2].partition(";")[0].lower()
        data = {"data": value, "format": _FORMATS.get(subtype, subtype)}
        return {"type": "input_audio", "input_audio": data}
    address = f"data:{media_type};base64,{value}"
    if kind == "image":
        return {"type": "image_url", "image_url": {"url": address}}
    return {"type": "file", "file": {"filename": _filename(part), "file_data": address}}


def _filename(part: Json) -> str:
    """Return the name of a document, which providers insist on."""
    metadata = part.get("metadata")
    found = cast("Json", metadata).get("filename") if isinstance(metadata, dict) else None
    return found if isinstance(found, str) and found else "document"


def text_of(fields: Json, name: str, where: str) -> str:
    """Return a field of an object, which is text and has to be there. Raises `InvalidFields`."""
    value = fields.get(name)
    if not isinstance(value, str):
        raise invalid(f"{where}.{name}", "should be text")
    return value
