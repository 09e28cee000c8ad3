"""The public face of the package: every public name and its signature, as text.

`PYTHONPATH=tests .venv/bin/python -m support.face` writes it to where a test compares it.
"""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_type_hints

if TYPE_CHECKING:
    from collections.abc import Iterator

SNAPSHOT: Final = Path(__file__).parent.parent / "typing" / "face.txt"
MODULES: Final = ("stream_serve", "stream_serve.client")
"""What semantic versioning is about: `__all__` of these."""

_MARKS: Final = {
    inspect.Parameter.VAR_POSITIONAL: "*",
    inspect.Parameter.VAR_KEYWORD: "**",
}


def face() -> str:
    """Return the public face, a line for each name, method and property."""
    lines: list[str] = []
    seen: list[object] = []
    for name in MODULES:
        module = import_module(name)
        lines.append(f"# {name}")
        for public in sorted(module.__all__):
            thing = getattr(module, public)
            lines += [public] if thing in seen else _described(public, thing)
            seen.append(thing)
    return "\n".join(lines) + "\n"


def _described(name: str, thing: Any) -> Iterator[str]:
    if not inspect.isclass(thing):
        yield f"{name}: {type(thing).__name__}"
        return
    bases = ", ".join(base.__name__ for base in thing.__bases__ if base is not object)
    hints = get_type_hints(thing) if hasattr(thing, "__struct_fields__") else {}
    yield f"class {name}({bases}){_signature(thing, hints)}"
    for one, member in sorted(_members(thing)):
        if isinstance(member, property) or inspect.isdatadescriptor(member):
            if one not in getattr(thing, "__struct_fields__", ()):
                yield f"    {one}"
        elif callable(inspect.unwrap(getattr(thing, one))):
            function = getattr(thing, one)
            waits = inspect.iscoroutinefunction(function)
            yield f"    {'async ' if waits else ''}{one}{_signature(function, {})}"


def _members(thing: type) -> Iterator[tuple[str, Any]]:
    """Yield the public members of a class that are ours and not its base's, which is public itself."""
    for one, member in vars(thing).items():
        if not one.startswith("_") or one in {"__iter__", "__aiter__", "__enter__", "__aenter__"}:
            yield one, member


def _signature(thing: Any, hints: dict[str, Any]) -> str:
    """Return a signature; `hints` wins over its annotations, of which it leaves out what is no type."""
    signature = inspect.signature(thing)
    parts: list[str] = []
    keyword_only = False
    for one in signature.parameters.values():
        if one.kind is one.KEYWORD_ONLY and not keyword_only:
            keyword_only = True
            parts.append("*")
        if one.kind is one.VAR_POSITIONAL:
            keyword_only = True
        part = f"{_MARKS.get(one.kind, '')}{one.name}{_type(hints.get(one.name, one.annotation), ': ')}"
        parts.append(part if one.default is one.empty else f"{part} = …")
    returned = "" if inspect.isclass(thing) else _type(signature.return_annotation, " -> ")
    return f"({', '.join(parts)}){returned}"


def _type(annotation: Any, before: str) -> str:
    if annotation is inspect.Parameter.empty:
        return ""
    if isinstance(annotation, str):
        return before + annotation
    # A generic such as `list[str]` is a class for `isclass` in some versions: its name is not all of it.
    plain = isinstance(annotation, type) and not getattr(annotation, "__args__", ())
    text = annotation.__name__ if plain else str(annotation)
    text = re.sub(r"\btyping\.|\bstream_serve[\w.]*\.", "", text)
    return before + re.sub(r"^Optional\[(.*)\]$", r"\1 | None", text)


if __name__ == "__main__":
    SNAPSHOT.write_text(face(), encoding="utf-8")
