"""The command `stream-serve`, and `python -m stream_serve`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command. Exits with code 2, and says what to install, where only the core is there."""
    try:
        from stream_serve.commands.cli import main as run
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("stream_serve"):
            raise
        sys.stderr.write(
            f"stream-serve: the command needs the library {error.name}, which comes with the extra "
            "server: install stream-serve[server]\n"
        )
        raise SystemExit(2) from None
    run()


if __name__ == "__main__":
    main()
