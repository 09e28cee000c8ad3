"""A process that works on a job. Arguments: what it does, the file or the service, the job's name."""

from __future__ import annotations

import os
import sys
import time

from stream_serve import Stopped, Streams


def main(what: str, path: str, name: str) -> None:
    """Work: `hang` until it is killed, or `check` until somebody stops the job."""
    streams = Streams.sqlite(path)
    with streams.open_sync(name, owner="alice", lease=1.0) as job:
        job.log("begun")
        job.flush()
        os.write(1, b"begun\n")
        try:
            while True:
                time.sleep(0.01)
                if what == "check":
                    job.check()
        except Stopped:
            os.write(1, b"stopped\n")
            raise


if __name__ == "__main__":
    main(*sys.argv[1:])
