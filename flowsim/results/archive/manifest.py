"""The list of a run's files with sizes and SHA-256: what marks a folder as ours and as whole."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from flowsim.results.archive.errors import ArchiveError

NAME = "manifest.json"
FIGURES = "figures"
VARIANTS = "variants"
_MARKER = "flowsim run"
_FORMAT = 1


@dataclass(frozen=True)
class Entry:
    """A file's size in bytes and the SHA-256 of its contents."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What a run folder holds.

    `name` and `digest` are those of the scenario that was run.
    `files` maps paths relative to the folder to their entries, those of variants left out:
    a variant's folder has its own manifest, and `variants` maps its name to its digest.
    `state` is `"complete"`, or `"writing"` while files are being moved in.
    """

    name: str
    digest: str
    files: Mapping[str, Entry]
    variants: Mapping[str, str] = field(default_factory=dict)
    state: str = "complete"


def find(folder: Path) -> Manifest | None:
    """Return the manifest in `folder`, or None where no flowsim run is.

    Raises
    ------
    ArchiveError
        If there is one of ours but it has been changed since it was written.

    """
    content = _content(folder)
    if content is None:
        return None
    text = json.dumps(content["body"], sort_keys=True)
    if content.get("sha256") != _sha256(text) or content.get("format") != _FORMAT:
        raise ArchiveError(
            f"{str(folder / NAME)!r} has been changed since flowsim wrote it, or belongs to "
            f"another version; simulate again with --force."
        )
    return _parsed(content["body"])


def recorded(folder: Path) -> Manifest | None:
    """Return the manifest in `folder` as it stands, changed since or not; None where none is."""
    content = _content(folder)
    return None if content is None else _parsed(content["body"])


def save(folder: Path, manifest: Manifest) -> None:
    """Write the manifest into `folder`, at one stroke and flushed to disk."""
    body = asdict(manifest)
    text = json.dumps(body, sort_keys=True)
    content = {"marker": _MARKER, "format": _FORMAT, "sha256": _sha256(text), "body": body}
    temporary = folder / f".{NAME}.{os.getpid()}"
    try:
        with temporary.open("w", encoding="utf-8") as file:
            json.dump(content, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(folder / NAME)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(folder)


def entry(path: Path) -> Entry:
    """Return the size and hash of the file at `path`, which is flushed to disk first."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        return Entry(path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest())


def entries(folder: Path) -> dict[str, Entry]:
    """Return the entries of all files of the run in `folder`, its variants' files left out."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    names = {path.relative_to(folder): path for path in paths}
    return {
        name.as_posix(): entry(path)
        for name, path in names.items()
        if name.parts[0] not in (NAME, VARIANTS)
    }


def damage(folder: Path, manifest: Manifest) -> Iterator[str]:
    """Yield what is wrong with the run in `folder`, a phrase a file; figures are not looked at."""
    if manifest.state != "complete":
        yield "the writing of it was not finished"
    for name, wanted in manifest.files.items():
        if name.startswith(f"{FIGURES}/"):
            continue
        path = folder / name
        if path.is_symlink() or not path.is_file():
            yield f"{name} is missing"
        elif path.stat().st_size != wanted.size:
            yield f"{name} has {path.stat().st_size} bytes instead of {wanted.size}"
        elif entry(path) != wanted:
            yield f"{name} has other contents than were written"


def intact_figures(folder: Path, manifest: Manifest) -> list[str]:
    """Return the names of the figures, or none if one of them is not as it was drawn."""
    names = [name for name in manifest.files if name.startswith(f"{FIGURES}/")]
    intact = all(
        (folder / name).is_file() and entry(folder / name) == manifest.files[name] for name in names
    )
    return names if intact else []


def sync_folder(folder: Path) -> None:
    """Flush the names in `folder` to disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _content(folder: Path) -> dict[str, Any] | None:
    """Return the raw manifest if it carries our marker and names nothing outside its folder."""
    try:
        content: dict[str, Any] = json.loads((folder / NAME).read_text(encoding="utf-8"))
        found = _parsed(content["body"])
        ours = content["marker"] == _MARKER
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    inside = all(_stays_inside(name) for name in (*found.files, *found.variants))
    return content if ours and inside else None


def _parsed(body: Mapping[str, Any]) -> Manifest:
    files = {path: Entry(**entry) for path, entry in body["files"].items()}
    return Manifest(body["name"], body["digest"], files, dict(body["variants"]), body["state"])


def _stays_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and bool(path.parts)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
