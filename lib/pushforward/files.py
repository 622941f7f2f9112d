"""Writing files whole or not at all: a killed process leaves the old file, never half a new one."""

import json
import os
from pathlib import Path


def write_atomic(path: Path | str, content: bytes | str) -> Path:
    """Write ``content`` (text as UTF-8) to ``path``, making its folder; readers see the old file or the new one."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode() if isinstance(content, str) else content
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # a rename that reaches the disk before the bytes would leave an empty file
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def write_json(path: Path | str, value: object) -> Path:
    """Write ``value`` as indented JSON, atomically; NaN and infinity raise ValueError, for they are not JSON."""
    return write_atomic(path, json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False) + "\n")
