"""BERT-of-Theseus (Xu et al. 2020) on any task: layers of a BERT replaced one by one.

    python -m jaxdistill.main --config configs/theseus.py:rte

The settings are those of seed 004 (configs/theseus_sst2.py says more), which published on dev:
QQP 0.883, MRPC 0.718, RTE 0.557. Not measured here.
"""

from ml_collections import ConfigDict

from jaxdistill import recipes
from jaxdistill.data.tasks import known_task

WEIGHT_DECAY = {"cola": 0.01, "mrpc": 0.001}


def get_config(task: str = "") -> ConfigDict:
    name = known_task(task).name
    decay = WEIGHT_DECAY[name] if name in WEIGHT_DECAY else 1e-4
    stage = recipes.plan(epochs=5, learning_rate=1e-5, weight_decay=decay)
    return recipes.distilled(
        "theseus",
        name,
        student=recipes.start("teacher", layers=3, pick="first"),
        method=recipes.theseus(rate=0.5),
        stages={"replace": stage, "successor": stage},
        alone=recipes.plan(epochs=5, learning_rate=5e-5),
    )
