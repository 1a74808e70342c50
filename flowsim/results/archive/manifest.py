"""The list of a run's files with sizes and SHA-256, which marks a folder as a complete run."""

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
    """The content of a run folder.

    Attributes
    ----------
    name, digest
        The scenario's name and digest.
    files
        Size and hash of each file, by path relative to the folder, without those of variants.
    variants
        The digest of each variant by name; a variant's folder has its own manifest.
    state
        `"complete"`, or `"writing"` while files are being moved in.

    """

    name: str
    digest: str
    files: Mapping[str, Entry]
    variants: Mapping[str, str] = field(default_factory=dict)
    state: str = "complete"

    def variant_folders(self, folder: Path) -> dict[str, Path]:
        """Return the folder of each variant of the run in `folder`, by name."""
        return {name: folder / VARIANTS / name for name in self.variants}


def find(folder: Path) -> Manifest | None:
    """Return the manifest in `folder`, or None if it is not a run of flowsim.

    Raises
    ------
    ArchiveError
        If the manifest was modified after the run.

    """
    content = _content(folder)
    if content is None:
        return None
    text = json.dumps(content["body"], sort_keys=True)
    if content.get("sha256") != _sha256(text) or content.get("format") != _FORMAT:
        raise ArchiveError(
            f"{str(folder / NAME)!r} was modified after the run, or belongs to another version of "
            f"flowsim; simulate again with --force."
        )
    return _parsed(content["body"])


def recorded(folder: Path) -> Manifest | None:
    """Return the manifest in `folder`, modified or not, or None if there is no manifest."""
    content = _content(folder)
    return None if content is None else _parsed(content["body"])


def save(folder: Path, manifest: Manifest) -> None:
    """Write the manifest into `folder`, atomically and flushed to disk."""
    body = asdict(manifest)
    text = json.dumps(body, sort_keys=True)
    content = {"marker": _MARKER, "format": _FORMAT, "sha256": _sha256(text), "body": body}
    # Readers see the old manifest or the new one: renaming is atomic, and the contents are on disk
    # before the name is.
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
    """Return the entries of all files of the run in `folder`, without those of variants."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    names = {path.relative_to(folder): path for path in paths}
    return {
        name.as_posix(): entry(path)
        for name, path in names.items()
        if name.parts[0] not in (NAME, VARIANTS)
    }


def damage(folder: Path, manifest: Manifest) -> Iterator[str]:
    """Yield one phrase per damaged file of the run in `folder`; figures are not checked."""
    if manifest.state != "complete":
        yield "it was not finished"
    for name, written in manifest.files.items():
        if name.startswith(f"{FIGURES}/"):
            continue
        path = folder / name
        if path.is_symlink() or not path.is_file():
            yield f"{name} is missing"
        # sizes first: they cost nothing, hashes of large files take long
        elif path.stat().st_size != written.size:
            yield f"{name} has {path.stat().st_size} bytes instead of {written.size}"
        elif entry(path) != written:
            yield f"{name} was modified"


def intact_figures(folder: Path, manifest: Manifest) -> list[str]:
    """Return the names of the figures, or [] if one of them was changed."""
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
    """Return the raw manifest if it has our marker and names nothing outside its folder."""
    try:
        content: dict[str, Any] = json.loads((folder / NAME).read_text(encoding="utf-8"))
        found = _parsed(content["body"])
        ours = content["marker"] == _MARKER
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    # files are deleted by this list: a forged one must not reach outside its folder
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
