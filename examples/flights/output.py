"""Files that are written whole or not at all, where that was found possible before the work began."""

import os
import tempfile
from pathlib import Path


class OutputError(Exception):
    """A file cannot be written where it was asked for."""

    def __init__(self, file: Path, reason: str) -> None:
        self.file = file
        super().__init__(f"cannot write {file}: {reason}")


def check_writable(file: Path) -> None:
    """Raise OutputError unless the file can be written; leaves nothing behind."""
    if file.is_dir():
        raise OutputError(file, "it is a folder")
    try:
        if file.is_file():
            file.open("ab").close()
        if _is_ordinary(file):
            tempfile.TemporaryFile(dir=file.resolve().parent).close()
    except OSError as error:
        raise OutputError(file, error.strerror or str(error)) from error


def write(file: Path, text: str) -> None:
    """Write the file; raises OutputError."""
    try:
        if _is_ordinary(file):
            _replace(file.resolve(), text)
        else:
            file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(file, error.strerror or str(error)) from error


def _is_ordinary(file: Path) -> bool:
    """Whether it is a file or will be one, and not a device or a pipe, which must not be replaced."""
    return file.is_file() or not file.exists()


def _replace(file: Path, text: str) -> None:
    """Write next to the file, then put it in its place."""
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)
