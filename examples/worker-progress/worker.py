"""The worker: a plain function, in a process of its own."""

from __future__ import annotations

import sys
import time

from stream_serve import Stopped, Streams

ROWS = 500

streams = Streams.sqlite("data/app.db")


def import_rows(name: str) -> None:
    """Import all rows, unless somebody presses stop."""
    with streams.open_sync(name, again=True) as job:
        for row in range(1, ROWS + 1):
            job.check()
            time.sleep(0.02)  # the work
            job.progress(row / ROWS, "rows")
            if row % 100 == 0:
                job.log(f"{row} rows are imported")
        job.write({"imported": ROWS})


if __name__ == "__main__":
    try:
        import_rows(sys.argv[1])
    except Stopped:
        sys.exit("stopped")
