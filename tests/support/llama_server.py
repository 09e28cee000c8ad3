"""llama.cpp's own server as a program: `llama_server.py MODEL PORT`, until it is killed."""

# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false

from __future__ import annotations

import sys
import threading

import xllamacpp


def main(model: str, port: int) -> None:
    """Serve a model on 127.0.0.1, one answer at a time, and show what it counts."""
    parameters = xllamacpp.CommonParams()
    parameters.model.path = model
    parameters.port = port
    parameters.n_parallel = 1
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
    parameters.fit_params = False
    parameters.force_pure_content_parser = True  # nothing of the text is taken for thinking
    parameters.endpoint_metrics = True
    parameters.endpoint_slots = True
    server = xllamacpp.Server(parameters)  # serves until it is forgotten
    threading.Event().wait()
    del server


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
