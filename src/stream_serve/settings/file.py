"""The file `stream-serve.toml`: it is read, checked, and made into a catalog.

Everything that is wrong is named at once, each with its line. No message repeats a value, which might be
a secret: only keys, names of providers and names of models.
"""

from __future__ import annotations

import re
import tomllib
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from pydantic import ValidationError

from stream_serve.errors import SettingsError
from stream_serve.settings import syntax, tables, toml, values, words
from stream_serve.settings.catalog import (
    ENVIRONMENT,
    Catalog,
    ModelSettings,
    ProviderSettings,
    Target,
    Timeouts,
)
from stream_serve.settings.kinds import DASHSCOPE_MODEL, kind_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Problem = tuple[toml.Path, str]

DEFAULT: Final = "stream-serve.toml"

_MAX_BYTES: Final = 1_048_576
_MAX_PROBLEMS: Final = 20
_KEYS: Final = ("key", "key_env", "key_file")
_ARRAYS: Final = {("providers",), ("models",)}
_FILES: Final = ("ca_file", "client_cert", "client_key")
_WORDS: Final = {
    "missing": "this key is needed",
    "dict_type": "should be a table",
    "model_type": "should be a table",
    "string_type": "should be text, in quotes",
}
"""What is said otherwise in a file."""


_EXAMPLES: Final = {
    "targets": 'targets = [{ provider = "NAME" }]',
    "headers": 'headers = { Name = "value" }',
    "body": "body = { name = 1 }",
    "timeouts": "timeouts = { idle = 30 }",
}
"""What to write where a key has another form."""

_TOP: Final = "it belongs to the top of the file, before the first heading"
_MEANT: Final = {
    **dict.fromkeys((("providers", "api_key"), ("providers", "apikey")), "the key is called key"),
    **dict.fromkeys((("providers", "base_url"), ("providers", "endpoint")), "it is called url"),
    ("providers", "type"): "it is called kind",
    ("providers", "extra_body"): "it is called body",
    ("providers", "extra_headers"): "it is called headers",
    ("providers", "only_listed"): _TOP,
    ("models", "only_listed"): _TOP,
    **dict.fromkeys(
        (("providers", "model"), ("providers", "models")),
        "models have tables of their own, [[models]], whose targets name the provider",
    ),
    ("models", "provider"): 'write targets = [{ provider = "NAME" }]',
    ("models", "model"): 'write targets = [{ model = "NAME" }]',
    ("targets", "name"): "it is called model",
}
"""Keys that other programs have, and those of another table, with what to write."""
_ASSIGNED: Final = re.compile(r"\s*(export\s+)?[A-Z][A-Z0-9_]*\s*=\s*\S")


class Reader:
    """Reads one file.

    `variables` are the environment's, for keys that are there. `fallback` is the provider that they
    configure, for a file without providers. `common` are the timeouts that a provider does not set
    itself.
    """

    def __init__(
        self,
        path: Path,
        *,
        variables: Mapping[str, str | None],
        fallback: ProviderSettings | None,
        common: Timeouts,
    ) -> None:
        self._path = path
        self._variables = variables
        self._fallback = fallback
        self._common = common

    def read(self, default: str | None = None) -> Catalog:
        """Return the catalog; the model `default` wins over the default one of the file.

        Raises `SettingsError`, which names the file, and the line of everything that is wrong.
        """
        document = self._parse()
        try:
            root = tables.Root.model_validate(document.values)
        except ValidationError as error:
            raise self._refuse(document, _explained(error, document)) from None
        found = list(self._check(root))
        if found:
            raise self._refuse(document, found)
        names = [one.name for one in root.models]
        if default and root.only_listed and default not in names:
            raise SettingsError(
                f"the default model is not among those that {self._path} lists"
                f"{_hint(default, names)}",
                parameters=["Endpoint.model"],
            )
        return self._catalog(root, default)

    def _parse(self) -> toml.Document:
        try:
            with self._path.open("rb") as file:
                raw = file.read(_MAX_BYTES + 1)
            if len(raw) > _MAX_BYTES:
                raise SettingsError(f"{self._path}: the file is larger than {_MAX_BYTES} bytes")
            return toml.read(raw.decode("utf-8-sig"))
        except OSError as error:
            raise SettingsError(
                f"{self._path}: {error.strerror}", parameters=["STREAM_SERVE_CONFIG"]
            ) from None
        except UnicodeDecodeError as error:
            line = error.object.count(b"\n", 0, error.start) + 1
            raise SettingsError(
                f"{self._path}, line {line}: this is not UTF-8: save the file as UTF-8"
            ) from None
        except tomllib.TOMLDecodeError as error:
            line, what = syntax.explain(str(error))
            where = f", line {line}" if line is not None else ", at its end"
            raise SettingsError(f"{self._path}{where}: this is not TOML: {what}") from None
        except ValueError:
            raise SettingsError(
                "this is no path of a file", parameters=["STREAM_SERVE_CONFIG"]
            ) from None
        except RecursionError:
            raise SettingsError(f"{self._path}: tables are nested too deep") from None

    def _refuse(self, document: toml.Document, problems: list[Problem]) -> SettingsError:
        """Return the error that names all problems, in the order of their lines."""
        found = sorted((document.line(path), _dotted(path), what) for path, what in problems)
        lines = [f"line {line}: {key}: {what}" for line, key, what in found[:_MAX_PROBLEMS]]
        if len(found) > _MAX_PROBLEMS:
            lines.append(f"and {len(found) - _MAX_PROBLEMS} more")
        return SettingsError(f"wrong settings in {self._path}\n  " + "\n  ".join(lines))

    def _check(self, root: tables.Root) -> Iterator[Problem]:
        """Yield what is wrong about keys that depend on each other, or on files and variables."""
        if not root.providers and self._fallback is None:
            yield (("providers",), "there is none: add [[providers]] with a name and a url")
        yield from _repeated("providers", [one.name for one in root.providers])
        yield from _repeated("models", [one.name for one in root.models])
        if root.only_listed and not root.models:
            yield (("only_listed",), "it needs [[models]]: otherwise every model is refused")
        for number, provider in enumerate(root.providers):
            yield from self._check_provider(("providers", number), provider)
        defaults = [number for number, one in enumerate(root.models) if one.default]
        for number in defaults[1:]:
            yield (
                ("models", number, "default"),
                "one model is the default, and another is already",
            )
        names = [one.name for one in root.providers] or [ENVIRONMENT]
        for number, model in enumerate(root.models):
            for at, target in enumerate(model.targets):
                if target.provider is not None and target.provider not in names:
                    path = ("models", number, "targets", at, "provider")
                    hint = _hint(target.provider, names) or f": there are {', '.join(names)}"
                    if target.provider == ENVIRONMENT:
                        hint += "; that of the environment is not used beside [[providers]]"
                    yield (path, f"there is no provider of this name{hint}")

    def _check_provider(self, path: toml.Path, provider: tables.Provider) -> Iterator[Problem]:
        if provider.name == ENVIRONMENT:
            yield (
                (*path, "name"),
                "this is the name of the provider that the environment configures: take another one",
            )
        given = [name for name in _KEYS if getattr(provider, name) is not None]
        for name in given[1:]:
            yield ((*path, name), f"give one of {', '.join(_KEYS)}")
        if len(given) == 1:
            yield from _tried((*path, given[0]), lambda: self._key(provider))
        yield from _repeated_headers((*path, "headers"), provider.headers)
        for name, value in provider.headers.items():
            yield from _tried((*path, "headers", name), lambda n=name, v=value: values.header(n, v))
        for name, inner in provider.body.items():
            yield from _tried(
                (*path, "body", name), lambda n=name, v=inner: values.body_field(n, v)
            )
        for name in _FILES:
            file = getattr(provider, name)
            if file is not None and not self._beside(file).is_file():
                what = (
                    "there is no such file"
                    if not self._beside(file).exists()
                    else "this is no file"
                )
                yield ((*path, name), what)
        if provider.client_key is not None and provider.client_cert is None:
            yield ((*path, "client_key"), "it needs client_cert, too")

    def _key(self, provider: tables.Provider) -> tuple[str, str]:
        """Return a provider's key, and what it is called where it is set. Raises `ValueError`."""
        if provider.key_env is not None:
            value = (self._variables.get(provider.key_env) or "").strip()
            if not value:
                raise ValueError(
                    "this variable is neither in the environment nor in .env, or empty: key_env names "
                    "the variable that has the key"
                )
            return values.key(value), provider.key_env
        if provider.key_file is not None:
            try:
                text = self._beside(provider.key_file).read_text(encoding="utf-8-sig")
            except (OSError, UnicodeDecodeError) as error:
                reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
                raise ValueError(f"this file cannot be read: {reason}") from None
            if not text.strip():
                raise ValueError("this file is empty")
            if _ASSIGNED.match(text) is not None:
                raise ValueError("this file should have the key alone, without NAME= before it")
            return values.key(text), provider.key_file
        return provider.key or "", f"key of the provider {provider.name} in {self._path}"

    def _beside(self, file: str) -> Path:
        return self._path.parent / Path(file).expanduser()

    def _catalog(self, root: tables.Root, default: str | None) -> Catalog:
        fallback = [self._fallback] if self._fallback is not None else []
        providers = [self._provider(one) for one in root.providers] or fallback
        first = providers[0].name
        models = [_model(one, first) for one in root.models]
        flagged = [one.name for one in root.models if one.default] or [one.name for one in models]
        if not flagged and providers[0].kind == "dashscope":
            flagged = [DASHSCOPE_MODEL]
        chosen = default or (flagged[0] if flagged else "")
        return Catalog(
            providers=tuple(providers),
            models=tuple(models),
            default=chosen,
            fallback=next((m.targets[0].provider for m in models if m.name == chosen), first),
            only_listed=root.only_listed,
            file=str(self._path),
        )

    def _provider(self, given: tables.Provider) -> ProviderSettings:
        key, key_name = self._key(given)
        traits = {name: getattr(given, name) for name in tables.TRAITS}
        own, common = given.timeouts, self._common
        return ProviderSettings(
            name=given.name,
            kind=given.kind or kind_of(given.url),
            url=given.url,
            key=key,
            key_name=key_name,
            headers=given.headers,
            body=given.body,
            traits={name: value for name, value in traits.items() if value is not None},
            proxy="" if given.proxy == values.NO_PROXY else given.proxy,
            ca_file=self._absolute(given.ca_file),
            client_cert=self._absolute(given.client_cert),
            client_key=self._absolute(given.client_key),
            timeouts=common
            if own is None
            else Timeouts(
                own.connect or common.connect,
                own.first_token or common.first_token,
                own.idle or common.idle,
            ),
        )

    def _absolute(self, file: str | None) -> str | None:
        return None if file is None else str(self._beside(file))


def _model(given: tables.Model, first: str) -> ModelSettings:
    return ModelSettings(
        name=given.name,
        targets=tuple(
            Target(target.provider or first, target.model or given.name) for target in given.targets
        ),
        context=given.context,
        thinks=given.thinks,
        sees=given.sees,
        tools=given.tools,
        temperature=given.temperature,
    )


def _repeated(table: str, names: list[str]) -> Iterator[Problem]:
    for number, name in enumerate(names):
        if name in names[:number]:
            yield ((table, number, "name"), "this name is taken")


def _repeated_headers(path: toml.Path, headers: Mapping[str, str]) -> Iterator[Problem]:
    names: set[str] = set()
    for name in headers:
        if name.lower() in names:
            yield ((*path, name), "this header is there already, in other letters")
        names.add(name.lower())


def _tried(path: toml.Path, check: Callable[[], object]) -> Iterator[Problem]:
    try:
        check()
    except ValueError as error:
        yield (path, str(error))


def _explained(error: ValidationError, document: toml.Document) -> list[Problem]:
    """Return pydantic's errors in our words. Those of one key are one."""
    found: dict[toml.Path, str] = {}
    for one in error.errors(include_input=False, include_url=False):
        kind: str = one["type"]
        what = _said(kind, one.get("ctx", {}))
        path = one["loc"] if kind == "missing" else _present(one["loc"], document.values)
        if kind == "extra_forbidden":
            found.setdefault(path, f"there is no such key{_instead(path)}")
        elif kind in {"list_type", "dict_type", "model_type"} and path[-1] in _EXAMPLES:
            found[path] = f"{what}: write {_EXAMPLES[str(path[-1])]}"
        elif kind == "list_type" and path in _ARRAYS:
            found[path] = f"{what}: write [[{path[0]}]], in double brackets"
        elif kind == "literal_error" and path in found:  # a key of several types
            found[path] += what.replace("it should be", " or")
        else:
            found.setdefault(path, what)
    return list(found.items())


def _said(kind: str, context: Mapping[str, object]) -> str:
    said = words.words(kind, context, _WORDS)
    return f"it {said}" if said.startswith("should ") else said


def _present(path: toml.Path, value: object) -> toml.Path:
    """Return as much of a path as the document has: pydantic adds which of several types it tried."""
    for length, part in enumerate(path):
        if isinstance(value, dict) and part in value:
            value = cast("dict[object, object]", value)[part]
        elif isinstance(value, list) and isinstance(part, int):
            value = cast("list[object]", value)[part]
        else:
            return path[:length]
    return path


def _instead(path: toml.Path) -> str:
    """Return what to write instead of an unknown key."""
    name, known = str(path[-1]), _keys_at(path)
    table = str(path[0]) if len(path) > 1 else ""
    if "targets" in path:
        table = "targets"
    if (meant := _MEANT.get((table, name.lower()))) is not None:
        return f": {meant}"
    return _hint(name, known) or f": there are {', '.join(known)}"


def _keys_at(path: toml.Path) -> list[str]:
    """Return the keys of the table that a path's last key is in."""
    table: type[tables.Table] = tables.Root
    for part in path[:-1]:
        if isinstance(part, str):
            table = _table_in(table.model_fields[part].annotation) or table
    return list(table.model_fields)


def _table_in(annotation: object) -> type[tables.Table] | None:
    """Return the kind of table that an annotation is about."""
    if isinstance(annotation, type) and issubclass(annotation, tables.Table):
        return annotation
    found = map(_table_in, typing.get_args(annotation))
    return next((one for one in found if one is not None), None)


def _hint(name: str, known: list[str]) -> str:
    found = values.nearest(name, known)
    return f": did you mean {found}?" if found is not None else ""


def _dotted(path: toml.Path) -> str:
    """Return a path as people write it: `providers[0].headers.X-Team`; a key is cleaned and cut."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part[:60]}" for part in path)
    return "".join(letter if letter.isprintable() else "?" for letter in text).removeprefix(".")
