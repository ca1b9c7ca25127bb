"""Starts the demo on a board, out of the archive that `bundle` makes: Python 3.7 and nothing else.

It says in JSON what the board lacks, before anything that is not there is imported.
"""

import importlib.util
import json
import sys
from typing import Any, Dict, List

OLDEST = (3, 11)
NEEDED = {"numpy": "numpy", "cv2": "opencv-python-headless>=4.8,<6", "tornado": "tornado>=6.4"}


def missing() -> List[str]:
    """The packages that are missing here, a runtime as `runtime`."""
    from edgecv.recipe import RUNTIMES

    absent = [pip for name, pip in NEEDED.items() if importlib.util.find_spec(name) is None]
    if not any(importlib.util.find_spec(runtime.package) for runtime in RUNTIMES.values()):
        absent.append("runtime")
    return absent


def main() -> int:
    """Run what the board's end of the demo is asked for, or say why not."""
    version = "%d.%d" % sys.version_info[:2]
    if sys.version_info < OLDEST:
        said: Dict[str, Any] = {
            "error": "the demo needs Python 3.11, %s is %s" % (sys.executable, version)
        }
    elif missing():
        said = {"missing": missing()}
    else:
        from edgecv.demo.board import main as on_board

        return on_board(sys.argv)
    print(json.dumps(said))
    return 1


if __name__ == "__main__":
    sys.exit(main())
