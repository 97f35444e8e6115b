"""Somebody's fine-tuned classifier, scored on SST-2 as it is and never trained.

    python -m jaxdistill.main --config configs/score_sst2.py --config.model.source=FOLDER_OR_HUB_NAME

Its label names must be SST-2's (negative, positive), in any order. The run folder it leaves is like
any other: evaluate reads it, and students can learn from it.
"""

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder


def get_config() -> ConfigDict:
    """Every value in force."""
    config = ConfigDict()
    config.version = 1
    config.name = "score_sst2"
    config.workdir = placeholder(str)  # runs/<name>
    config.seed = 0
    config.task = "sst2"
    config.checkpoint_minutes = 10.0
    config.log_steps = 50

    config.method = ConfigDict({"name": "score"})

    config.model = ConfigDict()
    config.model.source = "textattack/bert-base-uncased-SST-2"
    config.model.dropout = placeholder(float)  # the source's own rates; scoring uses none

    config.data = ConfigDict()
    config.data.folder = ""  # the hub
    config.data.train_rows = 0
    config.data.max_length = 128
    config.data.buckets = (16, 32, 64, 128)

    config.stages = ConfigDict()
    return config
