"""`python -m stream_serve`: the same as the command `stream-serve`."""

from stream_serve.commands.cli import main

main()
