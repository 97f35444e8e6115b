"""Soft-label distillation (Hinton et al. 2015) on any task: a BERT of 6 layers and its teacher.

    python -m jaxdistill.main --config configs/kd.py:rte

The settings are those of SST-2 in seed 001 (configs/kd_sst2.py says more). Its document's later
version published on dev, with settings of each task's own: QQP 0.914, RTE 0.632. Not measured here.

This document's loss divides the teacher's logits alone by T, and what the student ends with is as
unsure as they are then: of two classes a sure answer becomes one of some 70%. Where probabilities
are read, and of files of one's own by default, both are divided:

    --config.method.temperature_on=both --config.method.temperature_squared=True
        --config.method.temperature=2 --config.method.soft_weight=0.5
        --config.method.hard_weight=0.5
"""

from ml_collections import ConfigDict

from jaxdistill import presets, recipes
from jaxdistill.data.tasks import known_task


def get_config(task: str = "") -> ConfigDict:
    about = known_task(task)
    method = presets.kd("paddle", classes=about.outputs, alpha=0.8, temperature=10.0)
    if about.own:
        method = recipes.kd(soft_weight=0.5, hard_weight=0.5, temperature=2.0)
    stage = recipes.plan(epochs=4, learning_rate=5e-5, weight_decay=0.0)
    return recipes.distilled(
        "kd",
        about.name,
        student=recipes.start("pretrained", layers=6, pick="first"),
        method=method,
        stages={"kd": stage},
        alone=stage,
    )
