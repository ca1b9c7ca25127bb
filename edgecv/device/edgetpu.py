"""The Edge TPU's driver, asked through its C interface before any runtime loads it.

Copied to the board beside `worker.py`: Python 3.7 and the standard library, nothing of edgecv.
"""

import ctypes
from typing import Any, Dict

Reply = Dict[str, Any]

LIBRARY = "libedgetpu.so.1"
KINDS = ("pci", "usb")  # enum edgetpu_device_type of edgetpu_c.h


class EdgeTpu(ctypes.Structure):
    """struct edgetpu_device of edgetpu_c.h."""

    _fields_ = [("kind", ctypes.c_int), ("path", ctypes.c_char_p)]


def probe() -> Reply:
    """The driver's version, and the Edge TPUs that it sees."""
    library = ctypes.CDLL(LIBRARY)
    library.edgetpu_version.restype = ctypes.c_char_p
    library.edgetpu_list_devices.argtypes = [ctypes.POINTER(ctypes.c_size_t)]
    library.edgetpu_list_devices.restype = ctypes.POINTER(EdgeTpu)
    library.edgetpu_free_devices.argtypes = [ctypes.POINTER(EdgeTpu)]
    count = ctypes.c_size_t()
    listed = library.edgetpu_list_devices(ctypes.byref(count))
    devices = [
        {"kind": KINDS[listed[place].kind], "path": listed[place].path.decode()}
        for place in range(count.value)
    ]
    if listed:
        library.edgetpu_free_devices(listed)
    return {"version": library.edgetpu_version().decode(), "devices": devices}
