"""The provider behind TLS: our service and nginx, whose provider is an nginx that ends the encryption.

That nginx has the tools' processors, and costs the target nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import trustme

from bench.processes import free_port
from bench.targets import (
    CHAT_PATH,
    COMPLETIONS_PATH,
    Place,
    Running,
    Target,
    need_nginx,
    serve_nginx,
    serve_ours,
)

if TYPE_CHECKING:
    from contextlib import ExitStack
    from pathlib import Path


def encrypt(place: Place, upstream: int, stack: ExitStack) -> tuple[int, Path]:
    """Put TLS in front of a port until the stack is closed; return the new port, and the certificate of
    the authority to trust."""
    folder = place.folder / "tls"
    folder.mkdir(exist_ok=True)
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    certificate, trusted = folder / "provider.pem", folder / "authority.pem"
    issued.private_key_and_cert_chain_pem.write_to_path(str(certificate))
    authority.cert_pem.write_to_path(str(trusted))
    front = replace(place, folder=folder, port=free_port(), cpus=place.tool_cpus)
    stack.enter_context(serve_nginx(front, upstream, certificate=certificate))
    return front.port, trusted


def _ours(place: Place, stack: ExitStack) -> Running:
    port, trusted = encrypt(place, place.upstream.port, stack)
    server = serve_ours(
        place,
        STREAM_SERVE_UPSTREAM_URL=f"https://localhost:{port}/v1",
        SSL_CERT_FILE=str(trusted),
    )
    return Running(stack.enter_context(server))


def _nginx(place: Place, stack: ExitStack) -> Running:
    port, trusted = encrypt(place, place.upstream.port, stack)
    return Running(stack.enter_context(serve_nginx(place, port, authority=trusted)))


OURS_TLS: Final = Target(
    "ours-tls", "stream-serve, TLS to the provider", CHAT_PATH, _ours, need_nginx
)
NGINX_TLS: Final = Target(
    "nginx-tls", "nginx, pass-through, TLS to the provider", COMPLETIONS_PATH, _nginx, need_nginx
)
