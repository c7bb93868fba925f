"""Which code a measurement was made with: a digest of the files it depends on, and the commit where there is one."""

import hashlib
import shutil
import subprocess
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parent.parent

MEASURED = ("kernels", "core/models", "core/training", "core/data/tokenizer.py", "core/gates", "core/evidence")
"Where a change could change what a gate of a fresh model measures or says."


@cache
def code_digest() -> str:
    """Digest of the source files under MEASURED, as they were when it was first asked for."""
    return digest_of(MEASURED)


def digest_of(places: tuple[str, ...]) -> str:
    """sha256 over the names and contents of the source files under `places` of this package."""
    found: set[Path] = set()
    for place in places:
        path = PACKAGE / place
        found.update([path] if path.is_file() else path.rglob("*.py"))
    total = hashlib.sha256()
    for path in sorted(found):
        total.update(path.relative_to(PACKAGE).as_posix().encode() + b"\0")
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


@cache
def commit() -> tuple[str | None, bool | None]:
    """The commit of this package's checkout and whether it has local changes; (None, None) when it is no checkout.

    A package installed inside somebody else's checkout has no commit of its own, so the file must be tracked.
    """
    git = shutil.which("git")
    if git is None:
        return None, None

    def ask(*arguments: str) -> str | None:
        answer = subprocess.run([git, "-C", str(PACKAGE), *arguments], capture_output=True, text=True, check=False)
        return answer.stdout.strip() if answer.returncode == 0 else None

    if ask("ls-files", "--error-unmatch", "__init__.py") is None:
        return None, None
    changes = ask("status", "--porcelain", "--untracked-files=no", "--", ".")
    return ask("rev-parse", "HEAD"), None if changes is None else bool(changes)
