"""What a number was made with: commit, versions, machine and pins of this process."""

import hashlib
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from pushforward import paths
from pushforward.errors import InputError

PACKAGES = ("pushforward", "torch", "torchdiffeq", "numpy", "scipy", "scikit-learn", "pandas", "matplotlib")
UNKNOWN = "unknown"


def surroundings() -> dict[str, Any]:
    """Commit, versions, machine and pins of this process; unknown commit and pins outside a checkout."""
    try:
        root = paths.root()
    except InputError:
        root = None
    commit, dirty = commit_and_dirt(root) if root else (UNKNOWN, None)
    return {
        "commit": commit,
        "dirty": dirty,
        "python": platform.python_version(),
        "versions": {name: version for name in PACKAGES if (version := _version(name))},
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": cpu_model(),
        "gpu": gpu_model(),
        "threads": _torch("get_num_threads"),
        "constraints_sha256": _sha256(root / "constraints.txt") if root else None,
    }


def commit_and_dirt(folder: Path) -> tuple[str, bool | None]:
    """The git commit of the checkout and whether its tree differs from it; ("unknown", None) without git."""
    command = ["git", "-C", str(folder)]
    try:
        commit = subprocess.run([*command, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout
        status = subprocess.run([*command, "status", "--porcelain"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return UNKNOWN, None
    return commit.strip(), bool(status.strip())


def cpu_model() -> str:
    """The processor's model name, as far as the system tells."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or UNKNOWN


def gpu_model() -> str | None:
    """The accelerator's name, None without one."""
    torch = sys.modules.get("torch")
    return torch.cuda.get_device_name() if torch and torch.cuda.is_available() else None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _torch(function: str) -> Any:
    """The answer of a torch function, None where torch was never imported: a report need not load it."""
    torch = sys.modules.get("torch")
    return getattr(torch, function)() if torch else None


def _sha256(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
