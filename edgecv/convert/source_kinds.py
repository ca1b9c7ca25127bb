"""The kind of a model file, by its first bytes, without TensorFlow."""

from pathlib import Path

from edgecv.errors import UnsupportedModelError
from edgecv.tflite.flatbuffer import IDENTIFIER, KERAS_MARKS

TFLITE, KERAS, SAVED_MODEL = "TFLite", "Keras", "SavedModel"
TAKEN = "a .keras or .h5 file, a SavedModel folder or a .tflite is taken"
OTHERS = {  # what people also have, and the way from there
    ".onnx": "convert it with onnx2tf, and go on with its float32 .tflite",
    ".pt": "convert it with litert-torch (ai-edge-torch), and go on with the .tflite",
    ".pth": "convert it with litert-torch (ai-edge-torch), and go on with the .tflite",
    ".pb": "a frozen graph has no signature; export a SavedModel, and name its folder",
    ".json": "TensorFlow.js: tensorflowjs_converter --output_format keras, and go on with the .h5",
}


def kind_of(path: Path) -> str:
    """TFLite, Keras or SavedModel. Raises UnsupportedModelError for what is none of them."""
    if path.is_dir():
        if (path / "saved_model.pb").is_file():
            return SAVED_MODEL
        raise UnsupportedModelError(f"{path}: a folder without a saved_model.pb; {TAKEN}")
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except OSError as error:
        raise UnsupportedModelError(f"{path}: cannot be read: {error.strerror}") from error
    if start[4:8] == IDENTIFIER:
        return TFLITE
    if start.startswith(KERAS_MARKS):
        return KERAS
    if path.name == "saved_model.pb":
        raise UnsupportedModelError(f"{path}: name the folder that it is in: {path.parent}")
    way = OTHERS.get(path.suffix.lower(), TAKEN)
    raise UnsupportedModelError(f"{path}: neither a Keras file nor a .tflite; {way}")
