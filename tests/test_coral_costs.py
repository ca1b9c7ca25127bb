"""Parameters, cycles and milliseconds of the Edge TPU, against what was compiled and published."""

import csv
from pathlib import Path

import numpy as np
import pytest

from edgecv.coral import on_chip_cache, usb_latency
from edgecv.coral.cycles import Work, work
from edgecv.coral.layers import Layer, parameter_bytes
from edgecv.coral.rule_tables import costs
from tests.coral_benchmarks import NETWORKS
from tests.coral_networks import COMPILED

MIB = 2**20


def rows(name):
    lines = (Path(__file__).parent / name).read_text(encoding="utf-8").splitlines()
    return list(csv.DictReader(line for line in lines if not line.startswith("#")))


COMPILED_FILES = rows("coral_compiled.csv")
LATENCIES = rows("coral_latency.csv")


def taps_in(layer):
    """Multiply-accumulates of one output element."""
    return layer.taps * (1 if layer.kind == "DEPTHWISE_CONV_2D" else layer.inputs)


def total_bytes(net):
    return sum(map(parameter_bytes, net.layers))


def left_out(features, wanted):
    """Relative error of each row as predicted by a fit to all others, relative errors squared."""
    errors = []
    for row in range(len(wanted)):
        others = np.arange(len(wanted)) != row
        scaled = features[others] / wanted[others, np.newaxis]
        fit = np.linalg.lstsq(scaled, np.ones(len(scaled)), rcond=None)[0]
        errors.append(features[row] @ fit / wanted[row] - 1)
    return np.array(errors)


@pytest.mark.parametrize("row", COMPILED_FILES, ids=lambda row: f"{row['network']} {row['stored']}")
def test_parameter_bytes_are_those_in_the_compiled_file(row):
    layers = COMPILED[row["network"]](row["stored"]).layers
    weighted = [layer for layer in layers if layer.stored]
    assert sum(taps_in(each) * each.outputs for each in weighted) == int(row["raw_weight_bytes"])
    macs = sum(taps_in(each) * each.outputs * each.height * each.width for each in weighted)
    assert macs == int(row["macs"])
    if row["softmax"]:
        layers.append(Layer("SOFTMAX", 1, 1, 1001, int(row["softmax"])))
    assert sum(map(parameter_bytes, layers)) == int(row["parameter_bytes"])


def test_the_fixtures_stand_for_75_of_the_78_pairs():
    assert sum(int(row["files"]) for row in COMPILED_FILES) == 75


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        pytest.param(
            Layer("FULLY_CONNECTED", 1, 1, 256, 256, stored="int8_per_tensor"),
            67584,
            id="one scale",
        ),
        pytest.param(
            Layer("FULLY_CONNECTED", 1, 1, 28224, 128, stored="uint8"), 3613184, id="3.45 MiB"
        ),
        pytest.param(Layer("SOFTMAX", 1, 1, 1001, 1001), 48256, id="softmax"),
        pytest.param(
            Layer("RESHAPE", 1, 1, 27, 4860, rows=1, columns=180), 24533568, id="flatten 23.40 MiB"
        ),
        pytest.param(Layer("RESHAPE", 1, 1, 1024, 1024), 0, id="nothing to move"),
        pytest.param(Layer("CONV_2D", 33, 33, 384, 1, 1, "uint8"), 64 + 4 * 384, id="one channel"),
    ],
)
def test_parameter_bytes_of_single_layers_in_public_logs(layer, expected):
    assert parameter_bytes(layer) == pytest.approx(expected, rel=2e-3)


@pytest.mark.parametrize("row", [row for row in LATENCIES if row["compiled_megabytes"]])
def test_a_compiled_file_is_its_parameters_and_some_instructions(row):
    published = float(row["compiled_megabytes"])
    assert 0.92 < total_bytes(NETWORKS[row["network"]]()) / MIB / published < 1


def cycle_points():
    """Work and the compiler's cycles of every network once: twelve."""
    found = {}
    for row in COMPILED_FILES:
        again = row["network"] in ("mobilenet_v2 965 classes", "mobilenet_v2 1022 classes")
        if row["estimated_cycles"] and not again:
            found.setdefault(row["network"], (row["stored"], float(row["estimated_cycles"])))
    layers = [COMPILED[network](stored).layers for network, (stored, _) in found.items()]
    return [work(each) for each in layers], np.array([cycles for _, cycles in found.values()])


def test_cycles_are_within_8_percent_of_the_compilers():
    works, wanted = cycle_points()
    assert len(wanted) == 12
    errors = np.array([each.cycles() for each in works]) / wanted - 1
    assert np.abs(errors).max() < 0.08


def test_cycles_left_out_of_the_fit_are_missed_by_3_percent():
    works, wanted = cycle_points()
    features = np.array(works)[:, :3]
    fully_connected = costs()["cycles"]["fully_connected"] * np.array(works)[:, 3]
    errors = left_out(features, wanted - fully_connected)
    assert np.median(np.abs(errors)) <= 0.03
    assert np.abs(errors).max() <= 0.08


def demands(column):
    """Demand and published milliseconds of every network that has them."""
    found = []
    for row in LATENCIES:
        if row[column]:
            net = NETWORKS[row["network"]]()
            streamed = on_chip_cache.cache(total_bytes(net), 0).streamed_bytes
            need = usb_latency.Demand(work(net.layers).cycles(), int(row["io_bytes"]), streamed)
            found.append((need, float(row[column])))
    return [need for need, _ in found], np.array([milliseconds for _, milliseconds in found])


def features(needs, names):
    columns = {
        "fixed": [1.0 for _ in needs],
        "compute": [need.cycles / costs()["cycles"]["clock_hz"] * 1e3 for need in needs],
        "io": [need.io_bytes for need in needs],
        "streaming": [need.streamed_bytes[1] for need in needs],
    }
    return np.array([columns[name] for name in names]).T


def test_latency_left_out_of_the_fit_is_missed_by_8_percent():
    needs, wanted = demands("usb3_desktop")
    assert len(wanted) == 20
    errors = left_out(features(needs, ("fixed", "compute", "io", "streaming")), wanted)
    assert np.median(np.abs(errors)) <= 0.08
    assert (np.abs(errors) <= 0.2).sum() >= 16


@pytest.mark.parametrize("host", ["usb3_desktop", "dev_board"])
def test_the_published_latencies_are_mostly_within_the_range(host):
    needs, wanted = demands(host)
    found = [
        next(each for each in usb_latency.estimates(need) if each["host"] == host) for need in needs
    ]
    inside = [
        each["low_ms"] <= milliseconds <= each["high_ms"]
        for each, milliseconds in zip(found, wanted, strict=True)
    ]
    assert sum(inside) >= 0.7 * len(wanted)
    middle = np.array([each["ms"] for each in found])
    assert np.median(np.abs(middle / wanted - 1)) <= 0.1
    for each in found:
        assert each["ms"] == pytest.approx(sum(each["parts"].values()))
        assert each["origin"] == "estimated"


@pytest.mark.parametrize(
    ("host", "columns"), [("rpi4_usb3", ["rp4b"]), ("rpi3_usb2", ["rp3b", "rp3b+"])]
)
def test_host_factors_are_those_of_the_reference_benchmarks(host, columns):
    factors = [
        float(row[column]) / float(row["x86_64"])
        for row in rows("coral_hosts.csv")
        for column in columns
    ]
    stated = costs()["hosts"][host]["factor"]
    assert stated["low"] == pytest.approx(min(factors), rel=0.01)
    assert stated["usual"] == pytest.approx(np.median(factors), rel=0.02)
    assert stated["high"] == pytest.approx(max(factors), rel=0.01)


@pytest.mark.parametrize(
    ("parameters", "activations", "verdict", "crowded"),
    [
        (4 * MIB, MIB, "cached", False),
        (7 * MIB, MIB, "undecided", False),
        (8 * MIB, MIB, "streamed", False),
        (4 * MIB, 4 * MIB, "undecided", True),
        (8 * MIB, 4 * MIB, "streamed", True),
        (MIB, 4 * MIB, "cached", True),
    ],
)
def test_parameters_are_cached_streamed_or_undecided(parameters, activations, verdict, crowded):
    found = on_chip_cache.cache(parameters, activations)
    assert (found.verdict, found.crowded) == (verdict, crowded)
    least, usual, most = found.streamed_bytes
    assert 0 <= least <= usual <= most
    assert (most == 0) == (verdict == "cached")


def test_work_of_a_model_without_layers_is_nothing():
    assert work([]) == Work()
    assert Work().cycles() == 0
