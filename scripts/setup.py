"""Makes .venv and installs what requirements.lock pins, unless that was done before. Needs only Python 3.11+.

`uv` is used when it is on the PATH, because it is faster; else, or when it fails, the venv and pip that come with
Python. Nothing is written outside the project's folder, the installers' caches apart. Exits with 1, and words, when
it cannot be done.
"""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
# Written last: where .venv was made, and from what. A set-up that broke off leaves none.
STAMP = VENV / "made-from"
SOURCES = ("requirements.lock", "pyproject.toml", "scripts/setup.py")
OLDEST = (3, 11)
LOCKED = ("--require-hashes", "--requirement", "requirements.lock")
# The build backend is locked like the rest, so that nothing is looked up for it.
OURSELVES = ("--no-deps", "--no-build-isolation", "--editable", ".")
NO_VENV = "could not make .venv: on Debian or Ubuntu `sudo apt install python3-venv`, or install uv, then try again"


def main() -> None:
    if sys.version_info < OLDEST:
        sys.exit(f"this is Python {sys.version.split()[0]}; Roadmap needs 3.11 or later: try `make PYTHON=python3.11`")
    wanted, found = f"{ROOT}\n{digest()}\n", STAMP.read_text() if STAMP.exists() else ""
    if found == wanted and starts():
        return
    say("setting up .venv (once)")
    if found and not found.startswith(f"{ROOT}\n"):
        shutil.rmtree(VENV)  # the folder was moved, and the commands in .venv name the old place
    STAMP.unlink(missing_ok=True)
    uv = shutil.which("uv")
    if not (uv and set_up_with_uv(uv)) and not set_up_with_pip():
        sys.exit("could not install the packages: what the installer says is above")
    STAMP.write_text(wanted)


def digest() -> str:
    """Changes when .venv has to be brought up to date."""
    return hashlib.sha256(b"\0".join((ROOT / name).read_bytes() for name in SOURCES)).hexdigest()


def starts() -> bool:
    """Whether .venv has a Python that starts and is new enough; not so when the Python it was made from is gone."""
    return PYTHON.exists() and run(str(PYTHON), "-c", f"import sys; assert sys.version_info >= {OLDEST}", quiet=True)


def set_up_with_uv(uv: str) -> bool:
    made = starts() or run(uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(VENV))
    if made and install(uv, "pip", "install", "--quiet", "--python", str(PYTHON)):
        return True
    say("uv could not; trying pip")
    return False


def set_up_with_pip() -> bool:
    pip = (str(PYTHON), "-m", "pip")
    # A .venv that uv made has no pip.
    if not (starts() and run(*pip, "--version", quiet=True)):
        make_venv()
    # Warnings are about the machine's own configuration; compiling what nobody may import takes a third of the time.
    return install(*pip, "install", "-qq", "--no-compile", "--no-input", "--disable-pip-version-check")


def make_venv() -> None:
    """Exits when it cannot: Debian ships ensurepip, which venv needs, as a package of its own."""
    if run(sys.executable, "-m", "venv", "--clear", str(VENV)):
        return
    shutil.rmtree(VENV, ignore_errors=True)
    sys.exit(NO_VENV)


def install(*installer: str) -> bool:
    return run(*installer, *LOCKED) and run(*installer, *OURSELVES)


def run(*command: str, quiet: bool = False) -> bool:
    """Whether the command ended well."""
    output = subprocess.DEVNULL if quiet else None
    return subprocess.run(command, cwd=ROOT, stdout=output, stderr=output, check=False).returncode == 0  # noqa: S603


def say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
