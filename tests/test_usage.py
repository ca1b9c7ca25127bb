"""What a report says of a model's two sides: the words, and code that a compiler takes."""

import shutil
import subprocess

import pytest

from edgecv.report.usage import usage
from tests import tiny_models

DECLARED = """
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <memory>
namespace tflite {
struct FlatBufferModel { static std::unique_ptr<FlatBufferModel> BuildFromFile(const char*); };
struct OpResolver {};
namespace ops { namespace builtin { struct BuiltinOpResolver : OpResolver {}; } }
struct Interpreter {
  int AllocateTensors(); int Invoke();
  template <class T> T* typed_input_tensor(int); template <class T> T* typed_output_tensor(int);
};
struct InterpreterBuilder {
  InterpreterBuilder(const FlatBufferModel&, const OpResolver&);
  int operator()(std::unique_ptr<Interpreter>*);
};
}  // namespace tflite
"""


@pytest.mark.parametrize("scheme", ["float32", "int8"])
def test_the_cpp_of_a_model_compiles(tmp_path, scheme):
    if not shutil.which("g++"):
        pytest.skip("no g++")
    code = usage(getattr(tiny_models.tiny(), scheme).path).code["C++"]
    source = tmp_path / "use.cpp"
    body = f"const void* use(const uint8_t* pixels) {{\n{code}\nreturn scores;\n}}\n"
    source.write_text(DECLARED + body)
    subprocess.run(["g++", "-std=c++17", "-Wall", "-Werror", "-fsyntax-only", source], check=True)


def test_both_sides_of_a_model_are_told():
    tiny = tiny_models.tiny()
    of_float, of_int8 = usage(tiny.float32.path).ends, usage(tiny.int8.path).ends
    assert of_float["input"] == "float32 [1, 32, 32, 3], red, green, blue"
    assert of_float["pixels"] == "0 to 255 go in as [-1, 1]"
    assert of_int8["input"].startswith("uint8 [1, 32, 32, 3], red, green, blue; real number = ")
    assert of_int8["pixels"] == "0 to 255 go in as they are"
    assert "probabilities that sum to 1" in of_int8["output"]
