"""The destination of a run: who may write there, and how the run appears there atomically."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from flowsim.results.archive import locks, manifest
from flowsim.results.archive.errors import ArchiveError, sentences

_OURS = re.compile(
    r"\.(?P<name>.+)\.flowsim-(?:lock|(?P<kind>new|old)-(?P<pid>\d+)-[0-9a-f]{8})", re.DOTALL
)


@dataclass(frozen=True)
class Place:
    """A destination that this process holds; `force` allows replacing an existing run.

    A run is prepared beside its destination and renamed. A folder that is a mount point, or
    contains the working folder, cannot be renamed and is filled `in_place`.
    """

    final: Path
    force: bool
    in_place: bool

    @classmethod
    def at(cls, directory: str | os.PathLike[str], *, force: bool = False) -> Place:
        """Return the place of `directory`, symbolic links followed."""
        final = Path(os.path.realpath(directory))
        in_place = final.is_dir() and (os.path.ismount(final) or Path.cwd().is_relative_to(final))
        return cls(final, force, in_place)

    def temporary(self, kind: str) -> Path:
        """Return a new name for a run being written (`"new"`) or replaced (`"old"`)."""
        folder = self.final if self.in_place else self.final.parent
        return folder / f".{self.final.name}.flowsim-{kind}-{os.getpid()}-{secrets.token_hex(4)}"

    def abandon(self) -> None:
        """Remove what this process is writing there, before it exits at once."""
        lock = _lock_of(self.final)
        for path in _leftovers(self.final):
            match = _OURS.fullmatch(path.name)
            if match is not None and match["pid"] == str(os.getpid()):
                _tidy(path, match["kind"], self.final)
        if locks.holder(lock) == os.getpid():
            lock.unlink(missing_ok=True)


@contextmanager
def reserve(directory: str | os.PathLike[str], *, force: bool = False) -> Iterator[Place]:
    """Hold `directory` for a run, from before the simulation until the run is written.

    The directory must not exist, or be empty, or be a run of flowsim with `force`. Remains of
    killed processes beside it are removed.

    Raises
    ------
    ArchiveError
        If the directory cannot be used or written, or another process holds it.

    """
    with sentences(f"Cannot write to {str(directory)!r}"):
        _reject_unreachable(Path(directory))
        place = Place.at(directory, force=force)
        _reject_unusable_unlocked(place)
        place.final.parent.mkdir(parents=True, exist_ok=True)
    with hold(place.final):
        with sentences(f"Cannot write to {str(directory)!r}"):
            _remove_leftovers(place)
            reject_unusable(place)
        yield place


@contextmanager
def hold(final: Path) -> Iterator[None]:
    """Hold the lock of the run directory `final`."""
    with locks.held(_lock_of(final), final):
        yield


def _lock_of(final: Path) -> Path:
    return final.parent / f".{final.name}.flowsim-lock"


def _reject_unreachable(directory: Path) -> None:
    """Reject a path in which `..` follows what is not a folder.

    The system finds nothing at such a path, so that a run written to its resolved form would not be
    found under the name given.
    """
    for k, part in enumerate(directory.parts):
        before = Path(*directory.parts[:k])
        if part == ".." and not before.is_dir():
            raise ArchiveError(
                f"{str(directory)!r} cannot be used: {str(before)!r} is not a folder. Write the "
                f"path without '..'."
            )


def _reject_unusable_unlocked(place: Place) -> None:
    """Reject an unusable place before anything is changed, unless another process is writing.

    That process may be replacing the run at this moment, so the place is then checked under lock.
    """
    before = _identity(place.final)
    try:
        reject_unusable(place)
    except (ArchiveError, OSError):
        if _lock_of(place.final).exists() or _identity(place.final) != before:
            return
        raise


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def reject_unusable(place: Place) -> None:
    """Raise `ArchiveError` unless a run may be written to the place."""
    final = place.final
    if not os.path.lexists(final):
        return
    if not final.is_dir():
        raise ArchiveError(f"{str(final)!r} is a file; give a folder that does not exist yet.")
    if not any(_OURS.fullmatch(path.name) is None for path in final.iterdir()):
        return
    if manifest.recorded(final) is None:
        raise ArchiveError(
            f"{str(final)!r} is not empty and is not a run of flowsim, so nothing in it is "
            f"changed; give a folder that does not exist yet."
        )
    if not place.force:
        raise ArchiveError(
            f"{str(final)!r} already contains a run; use --force (in Python force=True) to "
            f"replace it, or give another folder."
        )
    foreign = list(_foreign_files(final))
    if foreign:
        raise ArchiveError(
            f"{str(final)!r} contains a run but also files that flowsim did not write "
            f"({', '.join(map(repr, foreign[:3]))}{', …' if len(foreign) > 3 else ''}), "
            f"so it is not replaced; move them elsewhere or give another folder."
        )


def publish(temporary: Path, place: Place) -> None:
    """Move the finished run in `temporary` to its place, replacing the run there."""
    reject_unusable(place)
    if place.in_place:
        _move_in(temporary, place.final)
        return
    aside = None
    if place.final.is_dir():
        # an empty folder that was there, or the run replaced, passes its permissions on
        shutil.copymode(place.final, temporary)
    if place.final.is_dir() and manifest.recorded(place.final) is not None:
        # moved aside, not deleted: until the new run has its name, the old one can be restored
        aside = place.temporary("old")
        place.final.rename(aside)
    try:
        temporary.rename(place.final)
    except OSError:
        if aside is not None:
            aside.rename(place.final)
        raise
    try:
        manifest.sync_folder(place.final.parent)
    except OSError:
        # the new name may be lost in a power failure: take it back, if the disk still permits that
        with suppress(OSError):
            place.final.rename(temporary)
            if aside is not None:
                aside.rename(place.final)
            aside = None
        if temporary.exists():
            raise
    if aside is not None:
        _remove(aside)


def _move_in(temporary: Path, final: Path) -> None:
    """Move the files of a run into an existing folder; readers see it unfinished until the end."""
    found = manifest.find(temporary)
    assert found is not None
    if manifest.recorded(final) is not None:
        _remove(final, keep=True)
    # from here on the folder is an unfinished run: readers reject it, and --force replaces it
    manifest.save(final, replace(found, state="writing"))
    for path in sorted(temporary.iterdir()):
        if path.name != manifest.NAME:
            path.rename(final / path.name)
    manifest.sync_folder(final)
    # the manifest of the complete run comes last
    (temporary / manifest.NAME).rename(final / manifest.NAME)
    manifest.sync_folder(final)
    temporary.rmdir()


def _listed(folder: Path) -> tuple[set[str], set[str]]:
    """Return the files and folders that the manifests in `folder` list."""
    found = manifest.recorded(folder)
    if found is None:
        return set(), set()
    files = {manifest.NAME, *found.files}
    for variant in found.variants:
        inner = f"{manifest.VARIANTS}/{variant}"
        below, _ = _listed(folder / inner)
        files |= {f"{inner}/{name}" for name in below}
        files.add(f"{inner}/{manifest.NAME}")
    parents = {str(parent) for name in files for parent in PurePosixPath(name).parents}
    return files, parents - {"."}


def _foreign_files(folder: Path) -> Iterator[str]:
    """Yield the paths in the run `folder` that its manifests do not list."""
    files, folders = _listed(folder)
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        plain_folder = path.is_dir() and not path.is_symlink()
        known = name in folders if plain_folder else name in files and not path.is_symlink()
        if not known and _OURS.fullmatch(path.relative_to(folder).parts[0]) is None:
            yield name


def _remove(folder: Path, *, keep: bool = False) -> None:
    """Delete the files that the manifests in `folder` list, and folders that are empty then."""
    files, folders = _listed(folder)
    # manifests go last, the outermost at the end: after a crash they list what is left to delete
    manifests = {name for name in files if PurePosixPath(name).name == manifest.NAME}
    for name in [*sorted(files - manifests), *sorted(manifests, key=len, reverse=True)]:
        (folder / name).unlink(missing_ok=True)
    # inner folders first; those that contain other files stay
    for name in sorted(folders, reverse=True):
        with suppress(OSError):
            (folder / name).rmdir()
    if not keep:
        with suppress(OSError):
            folder.rmdir()


def _leftovers(final: Path) -> list[Path]:
    """Return the temporary files and locks of flowsim in `final` and beside it."""
    folders = (folder for folder in (final.parent, final) if folder.is_dir())
    paths = (path for folder in folders for path in folder.iterdir())
    return sorted(path for path in paths if _OURS.fullmatch(path.name))


def _remove_leftovers(place: Place) -> None:
    """Remove what killed processes left in the place and beside it."""
    for path in _leftovers(place.final):
        match = _OURS.fullmatch(path.name)
        if match is None:
            continue
        # what this process left is of a write that failed, since it holds the lock now
        failed = match["pid"] == str(os.getpid()) and match["name"] == place.final.name
        if not failed and locks.alive(int(match["pid"] or locks.holder(path) or 0)):
            continue
        with suppress(ArchiveError):
            if match["name"] == place.final.name:
                _tidy(path, match["kind"], place.final)
            else:
                final = path.parent / match["name"]
                with hold(final):
                    _tidy(path, match["kind"], final)


def _tidy(path: Path, kind: str | None, final: Path) -> None:
    """Remove what a killed process left, or restore the run that it had moved aside."""
    if kind == "new":
        shutil.rmtree(path, ignore_errors=True)
    elif kind == "old" and not os.path.lexists(final):
        path.rename(final)
    elif kind == "old":
        _remove(path)
        # a crash after the manifest was deleted leaves empty folders that nothing lists
        for inner in sorted(path.rglob("*"), reverse=True):
            with suppress(OSError):
                inner.rmdir()
        with suppress(OSError):
            path.rmdir()
