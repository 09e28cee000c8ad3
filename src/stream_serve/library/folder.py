"""`Folder`: what is in it ends with whoever has it."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path


class Folder:
    """A new folder, which is removed with this object, or at the end of the process."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="stream-serve-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)

    def clear(self) -> None:
        """Remove what is in it: a process that is ended by a signal does nothing at its end.

        The folder itself stays, since somebody else could make another one of its name.
        """
        for file in self.path.glob("*"):
            file.unlink(missing_ok=True)
