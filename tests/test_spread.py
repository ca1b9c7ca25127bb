"""Training on several devices: cores of this machine stand in for GPUs."""

import subprocess
import sys

import pytest

SPREAD = """
import sys
from pathlib import Path

from edgecv.models.tensorflow import import_tensorflow

import_tensorflow()
import numpy as np
import tensorflow as tf
import tf_keras as keras

from edgecv import data
from edgecv.progress import Progress
from edgecv.recipe import DataOptions, ModelOptions, Recipe, TrainOptions
from edgecv.train import spread, train

cpu, = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
cores = [each.name for each in tf.config.list_logical_devices("CPU")]
spread.gpus = lambda: cores
shares, losses, compiled = [], [], keras.Model.compile


def watched(model, *arguments, **more):
    compiled(model, *arguments, **more)
    shares.append(model.distribute_strategy.num_replicas_in_sync)


class Watching(Progress):
    def line(self, text):
        print(text)

    def figures(self, **values):
        losses.append(values["loss"])


def trained(epochs, state):
    recipe = Recipe(
        model=ModelOptions("squeezenet_1_1", width=0.25, resolution=48),
        train=TrainOptions(epochs=epochs, images_per_epoch=64),
    )
    images = data.open(DataOptions(), 0, Progress(), 64)
    return train(recipe, images, len(images.labels), Path(state), Watching())


keras.Model.compile = watched
model = trained(2, sys.argv[1])
assert set(shares) == {2}, shares
assert len(losses) == 4 and np.isfinite(losses).all()
assert model.distribute_strategy.num_replicas_in_sync == 1
assert all(np.isfinite(each).all() for each in model.get_weights())
print("done")
"""


@pytest.mark.slow
def test_devices_share_each_batch_and_the_process_ends(tmp_path):
    command = [sys.executable, "-c", SPREAD, str(tmp_path)]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert shown.returncode == 0, shown.stderr[-2000:]
    assert shown.stdout.splitlines() == [
        "training on 2 GPUs, each with a share of every batch",
        "done",
    ]
