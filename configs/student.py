"""The student of configs/kd.py:<task> without distillation, on any task.

    python -m jaxdistill.main --config configs/student.py:rte

The settings are those of SST-2 in seed 001 (configs/student_sst2.py). Its document's later version
published on dev, with more epochs: QQP 0.858, RTE 0.617. Not measured here.
"""

from ml_collections import ConfigDict

from jaxdistill import recipes
from jaxdistill.data.tasks import known_task


def get_config(task: str = "") -> ConfigDict:
    stage = recipes.plan(epochs=4, learning_rate=5e-5, weight_decay=0.0)
    return recipes.distilled(
        "student",
        known_task(task).name,
        student=recipes.start("pretrained", layers=6, pick="first"),
        method=ConfigDict({"name": "finetune"}),
        stages={"finetune": stage},
        alone=stage,
    )
