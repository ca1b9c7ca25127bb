"""Transfer learning within minutes: the head solved on features, then a plan of fine-tuning."""

from pathlib import Path

import numpy as np
import tf_keras as keras

from edgecv.data.balance import class_weights
from edgecv.train.features import Trunk
from edgecv.train.head import solve_head


def start_at_head(head: keras.layers.Layer, trunk: Trunk, smoothing: float, state: Path) -> float:
    """Give a model's head the best weights on its trunk's features.

    What comes out are the passes over the training images that there is time for after it, forward.
    Features that the file `state` holds are not computed again. Raises RecipeError where there is
    no time for any.
    """
    features, monitored = trunk.training(state), trunk.monitored()
    classes = len(trunk.dataset.labels)
    targets = np.full((classes, classes), smoothing / classes) + (1 - smoothing) * np.eye(classes)
    weights = class_weights(trunk.dataset.class_sizes)
    kernel, bias = solve_head(features, monitored, targets.astype(np.float32), weights)
    head.set_weights([kernel.reshape(head.kernel.shape), bias])
    passes = len(features.rows) / trunk.dataset.train_size
    return trunk.clock.seconds * features.pace / trunk.dataset.train_size - passes
