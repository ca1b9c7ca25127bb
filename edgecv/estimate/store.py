"""The user's own measurements by operator, a file for every device; its estimates go by them.

The files lie in `~/.config/edgecv/measurements` (`EDGECV_MEASUREMENTS` names another folder).
Deleting one makes the estimates of that device go by published figures again.
"""

import datetime
import json
import os
from pathlib import Path
from urllib.parse import quote

from edgecv.errors import CheckFailed, RunFolderError
from edgecv.estimate import measured
from edgecv.estimate.measured import Profile
from edgecv.files import write_text

SCHEMA = 1
SAME = ("scheme", "runtime", "threads", "model_sha256")  # a later measurement replaces these


def path_of(device: str) -> Path:
    """The file of a device's measurements, whether or not it is there."""
    config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    folder = Path(os.environ.get("EDGECV_MEASUREMENTS") or config / "edgecv" / "measurements")
    return folder / f"{quote(device, safe=' ')}.json"


def keep(profile: Profile) -> Path:
    """Add a profile to its device's file, with today's date; an older one of its kind goes.

    Raises CheckFailed where it is not valid: estimates would be as wrong for as long as it lies
    there. Raises RunFolderError where the file cannot be read or written.
    """
    if not profile["valid"] or profile["origin"] != "measured":
        reason = profile.get("reason", f"is {profile['origin']}, not measured")
        raise CheckFailed(f"--keep: nothing is kept, the measurement is not valid: {reason}")
    path = path_of(profile["device"])
    others = [
        earlier
        for earlier in read(profile["device"])
        if any(earlier[key] != profile[key] for key in SAME)
    ]
    dated = {**profile, "date": datetime.date.today().isoformat()}
    table = {"schema": SCHEMA, "measurements": [*others, dated]}
    return write_text(path, json.dumps(table, indent=1) + "\n")


def read(device: str) -> list[Profile]:
    """The measurements of a device, the latest last; none where there is no file.

    Raises RunFolderError where the file is damaged.
    """
    path = path_of(device)
    if not path.exists():
        return []
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        if table["schema"] != SCHEMA:
            raise ValueError(f"schema {table['schema']!r}; this edgecv reads schema {SCHEMA}")
        return [measured.check(profile, path) for profile in table["measurements"]]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise RunFolderError(f"{path}: not readable measurements: {error}; delete it") from error
