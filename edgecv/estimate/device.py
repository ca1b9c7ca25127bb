"""The pace of a device: by the user's measurements of it, else by what was published."""

from collections.abc import Sequence

from edgecv.device import description
from edgecv.device.description import Device
from edgecv.errors import RecipeError
from edgecv.estimate import measured, prior, published
from edgecv.estimate.measured import Profile
from edgecv.estimate.model import FILE, SCHEMES, Estimate, LatencyModel, estimate, read
from edgecv.tflite import operator_kinds
from edgecv.tflite.schema import ModelT

KERNELS = {("tflite", "int8"): "ruy"}  # of a runtime that does not give it to XNNPACK by itself


def models(device: Device, profiles: Sequence[Profile] = ()) -> list[LatencyModel]:
    """The device's latency models, by scheme.

    Published is what kernels took that the device's runtime has. Raises RecipeError when it is
    emulated, or nothing was published or measured of it.
    """
    if device.board.emulated:
        raise RecipeError(f"--device {device.name}: is emulated; no latency can be said of it")
    estimates = [_of_scheme(device, scheme, profiles) for scheme in SCHEMES]
    if not any(estimates):
        boards = ", ".join(dict.fromkeys(model.board for model in shipped_models()))
        spoilt = [
            profile.get("reason", "not valid") for profile in profiles if _is_of(profile, device)
        ]
        there = f"; {len(spoilt)} measured there, none of use: {spoilt[0]}" if spoilt else ""
        raise RecipeError(
            f"--device {device.name}: no estimate, no latencies are published for it (there are"
            f" for: {boards}){there}; measure a model there:"
            f" edgecv profile MODEL --device {device.name} --per-op --keep"
        )
    return [model for model in estimates if model]


def _of_scheme(device: Device, scheme: str, profiles: Sequence[Profile]) -> LatencyModel | None:
    """By measurements of the device, which go on from what is published or from its cores."""
    paper = _published(device, scheme)
    own = measured.usable(profiles, device.name, scheme)
    if not own:
        return paper
    is_alike = paper is not None and paper.kernels == "xnnpack"
    before = paper.rates if paper and is_alike else prior.prior(device.board, scheme)
    return measured.model(own, before)


def estimate_file(
    model: ModelT, scheme: str, device: Device, profiles: Sequence[Profile] = ()
) -> Estimate:
    """The estimated latency of any model, whose numbers are stored as `scheme`, on the device.

    Raises RecipeError as `models` does, and where nothing is known of the scheme there.
    """
    paces = {pace.scheme: pace for pace in models(device, profiles)}
    if scheme not in paces:
        raise RecipeError(
            f"--device {device.name}: no estimate of {scheme} there;"
            f" estimates are of {', '.join(paces)}"
        )
    return estimate(paces[scheme], operator_kinds.costs(model))


def shipped_models() -> list[LatencyModel]:
    """The models that come with edgecv."""
    return read(published.folder() / FILE)


def _is_of(profile: Profile, device: Device) -> bool:
    return bool(profile["device"] == device.name)


def _published(device: Device, scheme: str) -> LatencyModel | None:
    """The shipped model of the board that the device is, whatever the user calls it."""
    alike = description.find_by_model(device.board.model) if device.board.model else None
    names = {device.name, alike.name if alike else ""}
    kernels = KERNELS.get((device.runtime, scheme), "xnnpack")
    fitting = [
        model
        for model in shipped_models()
        if model.board in names and (model.scheme, model.kernels) == (scheme, kernels)
    ]
    return fitting[0] if fitting else None
