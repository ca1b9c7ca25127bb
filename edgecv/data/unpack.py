"""An archive is not read: its data is unpacked once, by a command that is said."""

import shlex
from pathlib import Path

from edgecv.errors import DataError

COMMANDS = {
    (".zip",): "unzip {file} -d {folder}",
    (".tar", ".tgz", ".gz", ".bz2", ".xz", ".tbz2", ".txz"): (
        "mkdir -p {folder} && tar -xf {file} -C {folder}"
    ),
    (".7z", ".rar"): "7z x {file} -o{folder}",
}


def check_folder(root: Path, needed: str) -> None:
    """Raise DataError where `root` is no folder; `needed` says what is.

    For an archive, the message has the command that unpacks it.
    """
    if root.is_dir():
        return
    if not root.exists():
        raise DataError(f"{root}: no such folder; {needed}")
    if command := unpack_command(root):
        raise DataError(f"{root}: is an archive; unpack it and name the folder: {command}")
    raise DataError(f"{root}: not a folder; {needed}")


def unpack_command(file: Path) -> str:
    """The command that unpacks an archive into a folder of its name; "" for another file."""
    ending = file.suffix.lower()
    command = next((COMMANDS[names] for names in COMMANDS if ending in names), "")
    folder = file.with_name(file.name.split(".")[0] or "data")
    return command.format(file=shlex.quote(str(file)), folder=shlex.quote(str(folder)))
