"""Weights of the Python package index on real photographs, where both can be had."""

import numpy as np
import pytest

from edgecv import models
from edgecv.errors import WeightsError
from edgecv.models import weights
from edgecv.progress import QUIET
from edgecv.recipe import ModelOptions
from tests.real.test_real_models import REAL, photographs

IMAGES = 100
LEAST = 0.78  # two standard errors below the .8550 of all 400


@pytest.mark.slow
@pytest.mark.skipif(not (REAL / "imagenet").is_dir(), reason=f"no photographs in {REAL}")
def test_efficientnet_lite0_knows_what_it_sees():
    options = ModelOptions("efficientnet_lite0", weights="imagenet")
    model = models.build(options, 1000)
    try:
        weights.load(model, options, QUIET)
    except WeightsError as error:
        pytest.skip(str(error))
    names = (REAL / "evaluation.txt").read_text().split()[:IMAGES]
    mean, std = models.normalization(options)
    scores = np.asarray(model((photographs(names, 224) - mean) / std, training=False))
    labels = [int(name.split("_")[0]) for name in names]
    assert np.mean(scores.argmax(1) == labels) > LEAST
