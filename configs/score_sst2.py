"""Somebody's fine-tuned classifier, scored on SST-2 as it is and never trained.

    python -m jaxdistill.main --config configs/score_sst2.py --config.model.source=FOLDER_OR_NAME

Its label names must be SST-2's (negative, positive), in any order. The run folder that it leaves is
like any other: evaluate reads it, and students learn from it.
"""

from ml_collections import ConfigDict

from jaxdistill import recipes


def get_config() -> ConfigDict:
    config = recipes.frame("score_sst2", "sst2")
    config.method = ConfigDict({"name": "score"})
    config.model = recipes.start("textattack/bert-base-uncased-SST-2")
    config.data = recipes.data(max_length=128, buckets=(16, 32, 64, 128))
    config.stages = ConfigDict()
    return config
