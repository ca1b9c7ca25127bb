"""Recipes: what to build, as frozen dataclasses, and the TOML loader that checks them.

The dataclass fields are the TOML keys; `allowed` beside a field is its constraint. Everything is
checked once, here; after that nothing looks a key up by name.
"""

import dataclasses
import math
import tomllib
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from edgecv.errors import RecipeError, nearest

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


class Allowed(NamedTuple):
    """A constraint: a test, and the words that a message uses for it."""

    test: Callable[[Any], bool]
    words: str


def between(low: float, high: float) -> Allowed:
    """A number in [low, high]; NaN is outside."""
    return Allowed(lambda value: low <= value <= high, f"{low:g} to {high:g}")


def one_of(*names: str) -> Allowed:
    """One of a few words."""
    return Allowed(lambda value: value in names, " | ".join(names))


def option(default: Any, allowed: Allowed | None = None, flag: str = "") -> Any:
    """A recipe key with its default, its constraint, and its flag where that has another name."""
    return field(default=default, metadata={"allowed": allowed, "flag": flag})


Options = TypeVar("Options", bound="DataclassInstance")
SCHEMES = ("int8", "float16", "dynamic", "none")
TARGETS = ("cpu", "coral")
METHODS = ("minmax", "percentile", "mse", "entropy", "auto")  # how int8 ranges are chosen


class Runtime(NamedTuple):
    """A package that runs .tflite files. Boards have the first columns in `device/worker.py`."""

    label: str  # in reports, before the version
    distribution: str  # what pip installs
    package: str
    verifies: bool  # refuses a damaged file instead of crashing on it
    beside_tensorflow: bool  # the other one binds to TensorFlow's symbols, and fails
    numpy_1: bool  # built against numpy 1: with numpy 2, it fails at the first model
    last_python: tuple[int, int]  # that it has wheels for


RUNTIMES = {  # in the order `auto` looks for them; their wheels: `device/wheels.py`
    "litert": Runtime("litert", "ai-edge-litert", "ai_edge_litert", True, True, False, (3, 14)),
    "tflite": Runtime(
        "tflite-runtime", "tflite-runtime", "tflite_runtime", False, False, True, (3, 11)
    ),
}
PRUNINGS = ("none", "magnitude", "2:4", "xnnpack", "channels")
IMPORTANCES = ("taylor", "batchnorm", "norm")  # what says which channels go


@dataclass(frozen=True)
class ModelOptions:
    """`[model]`: the architecture and where its weights come from.

    `weights` is "" (trained from scratch), imagenet, imagenet:SOURCE, random, or the path of a
    .keras or .h5 file; `padding` defaults to what its weights were trained with;
    `sha256` is that file's in a finished run, and another file is then refused.
    A shape key left out is the published model's own; `classes`, what the data or weights say.
    `channels` is a pruned model's own table: the width of each group of channels that belong
    together, in the order of the layers. With `lanes`, every such width fills the Edge TPU's lanes.
    """

    arch: str = "mobilenet_v1"
    width: float | None = option(None, between(0.1, 4))
    resolution: int | None = option(None, between(32, 1024), "res")  # pixels, square
    depth: float | None = option(None, between(0.1, 4))  # EfficientNet only
    classes: int | None = option(None, between(2, 100_000))
    channels: tuple[int, ...] | None = option(None, between(1, 100_000))
    lanes: bool = False
    padding: str | None = option(None, one_of("same", "symmetric", "valid"))
    weights: str = ""
    sha256: str = ""


@dataclass(frozen=True)
class DataOptions:
    """`[data]`: the images; without a path, the built-in road signs.

    `sha256` is of the images that a finished run was made from; others are then refused.
    `validation` is the share held out when there is no val/ folder, `crop` the central share of a
    photograph that the model sees.
    """

    path: str = option("", flag="data")
    sha256: str = ""
    validation: float = option(0.2, between(0.05, 0.5))
    crop: float = option(0.875, between(0.1, 1))


@dataclass(frozen=True)
class TrainOptions:
    """`[train]`: the schedule; a key left out is chosen by the data and the starting weights.

    `minutes` plan a training that ends when they are over, and keeps as much of it as it can.
    With `qat`, `qat_epochs` more follow in which every number is rounded as int8 will round it.
    """

    epochs: int | None = option(None, between(0, 10_000))
    minutes: float | None = option(None, between(0.1, 10_000))
    images_per_epoch: int | None = option(None, between(1, 10_000_000))  # `signs` only
    batch: int = option(32, between(1, 4096))
    learning_rate: float | None = option(None, between(1e-7, 10))
    label_smoothing: float = option(0.1, between(0, 0.5))
    patience: int = option(10, between(1, 1000))  # epochs without a better monitored loss
    qat: bool = False
    qat_epochs: int | None = option(None, between(1, 10_000))


@dataclass(frozen=True)
class PruneOptions:
    """`[prune]`: what is taken out of the trained model, and how it learns to do without.

    `sparsity` is of the weights (magnitude, xnnpack); of `keep`, `macs` and `latency_ms`, one is
    the budget of `channels`: a share of the channels, of the multiply-accumulates, or milliseconds
    on `device`. `include` names layers that sparsity leaves alone unless it is told: the first and
    the last one, and squeeze-and-excite.
    """

    kind: str = option("none", one_of(*PRUNINGS), "prune")
    sparsity: float | None = option(None, between(0.05, 0.98))
    keep: float | None = option(None, between(0.01, 1))
    macs: float | None = option(None, between(0.001, 1))
    latency_ms: float | None = option(None, between(0.001, 100_000), "max-latency")
    device: str = "host"
    importance: str = option("taylor", one_of(*IMPORTANCES))
    multiple: int = option(8, between(1, 64))  # of each group's channels
    steps: int = option(2, between(1, 20))
    epochs: int | None = option(None, between(0, 10_000))
    distill: bool = True
    include: tuple[str, ...] = option((), one_of("first", "last", "se"))
    compare: bool = option(False, flag="prune-compare")


@dataclass(frozen=True)
class QuantizeOptions:
    """`[quantize]`: the scheme, the representative dataset, the ranges, the types of both ends.

    `calibration` is a folder of images; without one, they come from the training split. An int8
    `input` takes `pixel ^ 0x80`, and has one operator less than a uint8 one. For the
    `target` coral, fully connected layers have one scale, and the result is planned for it.
    """

    scheme: str = option("int8", one_of(*SCHEMES), "quantize")
    images: int = option(100, between(1, 10_000), "calibration-images")
    calibration: str = ""
    method: str = option("auto", one_of(*METHODS))
    input: str = option("uint8", one_of("uint8", "int8"), "input-type")
    output: str = option("uint8", one_of("uint8", "int8", "float32"), "output-type")
    target: str = option("cpu", one_of(*TARGETS))


def check_target(options: QuantizeOptions) -> None:
    """Raise RecipeError where a model is asked for in a form that its target cannot run."""
    if options.target != "coral":
        return
    if options.scheme != "int8":
        raise RecipeError(f"--target: coral takes --quantize int8 only, got {options.scheme}")
    if options.output == "float32":
        raise RecipeError("--target: coral takes --output-type uint8 or int8, got float32")


@dataclass(frozen=True)
class ProfileOptions:
    """`[profile]`: the latency measurement on this machine."""

    runs: int = option(50, between(1, 100_000), "inferences")
    warmup_runs: int = option(5, between(0, 100_000), "warmup")
    threads: int = option(1, between(1, 64))
    runtime: str = option("auto", one_of("auto", *RUNTIMES))


@dataclass(frozen=True)
class Recipe:
    """Everything a run needs; on equal images it gives equal models, but for dropout's draws."""

    seed: int = option(0, between(0, 2**31 - 1))
    model: ModelOptions = ModelOptions()
    data: DataOptions = DataOptions()
    train: TrainOptions = TrainOptions()
    prune: PruneOptions = PruneOptions()
    quantize: QuantizeOptions = QuantizeOptions()
    profile: ProfileOptions = ProfileOptions()

    def to_toml(self) -> str:
        """The recipe as TOML; keys left to be chosen are left out."""
        import tomli_w  # boards that run the demo have no such package

        return tomli_w.dumps(_without_none(dataclasses.asdict(self)))


def load(path: Path) -> Recipe:
    """Read and check a recipe. Raises RecipeError, naming the file and the key."""
    return read(Recipe, path)


def read(kind: type[Options], path: Path) -> Options:
    """A TOML file as the dataclass whose fields are its keys. Raises RecipeError, naming both."""
    return parse_table(kind, table(path), str(path))


def table(path: Path) -> dict[str, Any]:
    """The content of a TOML file. Raises RecipeError when it is not TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:  # not UTF-8, not TOML, or a number of thousands of digits
        raise RecipeError(f"{path}: not a readable TOML file: {error}") from error


def parse_table(kind: type[Options], table: Mapping[str, Any], file: str) -> Options:
    """A table as the dataclass whose fields are its keys. Raises RecipeError, naming the file."""
    options: Options = _section(kind, table, file, "")
    return options


def find(name: str) -> Path:
    """The recipe file for a path, or for the name of one that came with edgecv."""
    if name.endswith(".toml") or Path(name).is_file():
        return Path(name)
    paths = shipped_recipes()
    if name not in paths:
        raise RecipeError(
            f"recipe: no file and no recipe named '{name}'{nearest(name, paths)}"
            f" (there are: {', '.join(paths)})"
        )
    return paths[name]


def shipped_recipes() -> dict[str, Path]:
    """The recipe files that come with edgecv, by name."""
    return {path.stem: path for folder in FOLDERS for path in sorted(folder.glob("*.toml"))}


FOLDERS = (Path(__file__).parent / "recipes", Path(__file__).parent.parent / "recipes")


def override(recipe: Recipe, flags: Mapping[str, object], sections: Mapping[str, Any]) -> Recipe:
    """The recipe with the command line's flags on top: its own, and a table for each section.

    None leaves a key as it is. Raises RecipeError naming the flag.
    """
    recipe = _changed(recipe, flags)
    changed = {name: _changed(getattr(recipe, name), keys) for name, keys in sections.items()}
    return dataclasses.replace(recipe, **changed)


def assign(recipe: Recipe, settings: Iterable[str]) -> Recipe:
    """The recipe with each `table.key=value` set; a value is TOML, or a word without quotes.

    Raises RecipeError naming the key.
    """
    for setting in settings:
        name, equals, text = setting.partition("=")
        table, _, key = name.strip().rpartition(".")
        keys = _keys(recipe)
        if not equals or (table, key) not in keys:
            names = [f"{table}.{key}".strip(".") for table, key in keys]
            hint = nearest(name, names) or "; must be KEY=VALUE, e.g. prune.steps=1"
            raise RecipeError(f"--set {setting}: no key '{name}' in a recipe{hint}")
        value = _value(keys[table, key], _parsed(keys[table, key], text), f"--set {name}")
        recipe = _assigned(recipe, table, key, value)
    return recipe


def _keys(recipe: Recipe) -> dict[tuple[str, str], dataclasses.Field[Any]]:
    """Every key of a recipe that is no table, by its table and its name."""
    keys: dict[tuple[str, str], dataclasses.Field[Any]] = {}
    for entry in dataclasses.fields(recipe):
        options = getattr(recipe, entry.name)
        if dataclasses.is_dataclass(options):
            keys |= {(entry.name, key.name): key for key in dataclasses.fields(options)}
        else:
            keys["", entry.name] = entry
    return keys


def _parsed(key: dataclasses.Field[Any], text: str) -> object:
    """A value as TOML reads it, else as the text it is; with commas between for a list."""
    try:
        value: object = tomllib.loads(f"value = {text}")["value"]
    except ValueError:
        value = text.strip()
    is_list = typing.get_origin(key.type) is tuple
    return value.split(",") if is_list and isinstance(value, str) else value


def _assigned(recipe: Recipe, table: str, key: str, value: Any) -> Recipe:
    if not table:
        return dataclasses.replace(recipe, **{key: value})
    changed: Any = dataclasses.replace(getattr(recipe, table), **{key: value})
    return dataclasses.replace(recipe, **{table: changed})


def _changed(options: Options, flags: Mapping[str, object]) -> Options:
    keys = {field.name: field for field in dataclasses.fields(options)}
    values: dict[str, Any] = {}
    for key, value in flags.items():
        if value is not None:
            flag = keys[key].metadata.get("flag") or key.replace("_", "-")
            values[key] = _value(keys[key], value, f"--{flag}")
    return dataclasses.replace(options, **values)


def _section(kind: type, table: Mapping[str, Any], file: str, prefix: str) -> Any:
    """One table of the file as its dataclass, every key known and allowed."""
    keys = {field.name: field for field in dataclasses.fields(kind)}
    values = {}
    for key, value in table.items():
        where = f"{file}: {prefix}{key}"
        if key not in keys:
            hint = nearest(key, keys) or f"; known keys: {', '.join(keys)}"
            raise RecipeError(f"{where}: unknown key{hint}")
        if dataclasses.is_dataclass(keys[key].type):
            if not isinstance(value, Mapping):
                raise RecipeError(f"{where}: must be a table, got {value!r}")
            values[key] = _section(typing.cast(type, keys[key].type), value, file, f"{key}.")
        else:
            values[key] = _value(keys[key], value, where)
    return kind(**values)


def _value(key: dataclasses.Field[Any], value: object, where: str) -> object:
    """`value` when its type and constraint hold; a list becomes a tuple."""
    union = typing.get_args(key.type) if isinstance(key.type, types.UnionType) else (key.type,)
    wanted = next(option for option in union if option is not type(None))
    allowed: Allowed | None = key.metadata.get("allowed")
    if typing.get_origin(wanted) is not tuple:
        return _single(wanted, allowed, value, where)
    if not isinstance(value, list):
        raise RecipeError(f"{where}: must be a list, got {value!r}")
    return tuple(_single(typing.get_args(wanted)[0], allowed, item, where) for item in value)


def _single(wanted: type, allowed: Allowed | None, value: object, where: str) -> object:
    """A value that is no list; an integer also serves as a float."""
    if wanted is float and type(value) is int:
        value = float(value) if abs(value) < 1e300 else math.inf
    if type(value) is not wanted:
        names = {int: "a whole number", float: "a number", str: "a string", bool: "true or false"}
        bounds = f", {allowed.words}" if allowed else ""
        raise RecipeError(f"{where}: must be {names[wanted]}{bounds}, got {value!r}")
    if allowed and not allowed.test(value):
        hint = nearest(value, allowed.words.split(" | ")) if isinstance(value, str) else ""
        raise RecipeError(f"{where}: must be {allowed.words}, got {value!r}{hint}")
    return value


def _without_none(table: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _without_none(value) if isinstance(value, Mapping) else value
        for key, value in table.items()
        if value is not None
    }
