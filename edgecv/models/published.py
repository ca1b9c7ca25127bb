"""The official ImageNet weights: which there are, where, and their hashes, as data.

The files are those of Keras's own applications. Where Keras publishes a hash (MobileNetV3 and
EfficientNet) it stands here. For MobileNetV1 and V2 nobody does: those downloads are held against
the hash that the server itself sends, and their SHA-256 is kept beside them from then on.
"""

import os
from typing import TYPE_CHECKING, NamedTuple

from edgecv.artifacts import Normalization
from edgecv.errors import WeightsError

if TYPE_CHECKING:
    from edgecv.models import Architecture

# What the EfficientNets were trained on. Keras stores the deviations as variances by mistake
# (tensorflow/tensorflow#49930) and divides by their root once more: in sum, this.
NORMALIZATION = Normalization(
    mean=(255 * 0.485, 255 * 0.456, 255 * 0.406), std=(255 * 0.229, 255 * 0.224, 255 * 0.225)
)
NAME_SUFFIX = "_imagenet_pixels"  # of a model that takes such pixels, so that its file says so

SERVER = "https://storage.googleapis.com"
SERVER_VARIABLE = "EDGECV_WEIGHTS_URL"  # a mirror with the same folders takes the server's place
V1 = "tensorflow/keras-applications/mobilenet/mobilenet_{}_{}_tf.h5"
V2 = (
    "tensorflow/keras-applications/mobilenet_v2/"
    "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{}_{}.h5"
)
V3 = "tensorflow/keras-applications/mobilenet_v3/weights_mobilenet_v3_{}_224_{}_float.h5"
B = "keras-applications/efficientnetb{}.h5"


class Published(NamedTuple):
    """One file: the network it was trained as, its path on the server, and its MD5 if known."""

    family: str  # an arch; all B-numbers are one, told apart by width and depth
    width: float
    depth: float | None
    resolution: int
    path: str
    md5: str = ""

    @property
    def url(self) -> str:
        """Where to fetch it."""
        return f"{os.environ.get(SERVER_VARIABLE, SERVER).rstrip('/')}/{self.path}"


def _v3(name: str, width: float, md5: str) -> Published:
    return Published(f"mobilenet_v3_{name}", width, None, 224, V3.format(name, width), md5)


def _b(number: int, width: float, depth: float, resolution: int, md5: str) -> Published:
    return Published("efficientnet_b", width, depth, resolution, B.format(number), md5)


FILES = (
    *(
        Published("mobilenet_v1", width, None, resolution, V1.format(name, resolution))
        for width, name in ((0.25, "2_5"), (0.5, "5_0"), (0.75, "7_5"), (1.0, "1_0"))
        for resolution in (128, 160, 192, 224)
    ),
    *(
        Published("mobilenet_v2", width, None, resolution, V2.format(width, resolution))
        for width in (0.35, 0.5, 0.75, 1.0, 1.3, 1.4)
        for resolution in (96, 128, 160, 192, 224)
    ),
    _v3("small", 0.75, "cb65d4e5be93758266aa0a7f2c6708b7"),
    _v3("small", 1.0, "8768d4c2e7dee89b9d02b2d03d65d862"),
    _v3("small_minimalistic", 1.0, "99cd97fb2fcdad2bf028eb838de69e37"),
    _v3("large", 0.75, "765b44a33ad4005b3ac83185abf1d0eb"),
    _v3("large", 1.0, "59e551e166be033d707958cf9e29a6a7"),
    _v3("large_minimalistic", 1.0, "675e7b876c45c57e9e63e6d90a36599c"),
    _b(0, 1.0, 1.0, 224, "902e53a9f72be733fc0bcb005b3ebbac"),
    _b(1, 1.0, 1.1, 240, "1d254153d4ab51201f1646940f018540"),
    _b(2, 1.1, 1.2, 260, "b15cce36ff4dcbd00b6dd88e7857a6ad"),
    _b(3, 1.2, 1.4, 300, "ffd1fdc53d0ce67064dc6a9c7960ede0"),
    _b(4, 1.4, 1.8, 380, "18c95ad55216b8f92d7e70b3a046e2fc"),
    _b(5, 1.6, 2.2, 456, "ace28f2a6363774853a83a0b21b9421a"),
    _b(6, 1.8, 2.6, 528, "165f6e37dce68623721b423839de8be5"),
    _b(7, 2.0, 3.1, 600, "8c03f828fec3ef71311cd463b6759d99"),
)

CLASSES = Published(  # {"0": ["n01440764", "tench"], ...}
    "classes",
    1.0,
    None,
    224,
    "download.tensorflow.org/data/imagenet_class_index.json",
    "c2c37ea517e94d9795004a39431a14cb",
)


def find(architecture: "Architecture") -> Published:
    """The file for an architecture, trained at the resolution nearest to the one wanted.

    No weight depends on the resolution, so every file fits at every size; the nearest fits best.
    """
    arch, scale = architecture.arch, (architecture.width, architecture.depth)
    family = "efficientnet_b" if arch.startswith("efficientnet_b") else arch
    files = [file for file in FILES if file.family == family]
    if not files:
        raise WeightsError(
            f"weights: no ImageNet weights are published for {arch}; train it, or name a .keras"
            f" or .h5 file (there are for: {', '.join(sorted({f.family for f in FILES}))})"
        )
    fitting = [file for file in files if (file.width, file.depth) == scale]
    if not fitting:
        there_are = dict.fromkeys(_words(file.width, file.depth) for file in files)
        raise WeightsError(
            f"weights: no ImageNet weights are published for {arch} at {_words(*scale)}"
            f" (there are: {', '.join(there_are)})"
        )
    side = architecture.resolution
    return min(fitting, key=lambda file: (abs(file.resolution - side), -file.resolution))


def _words(width: float | None, depth: float | None) -> str:
    return f"width {width:g}" if depth is None else f"width {width:g} with depth {depth:g}"
