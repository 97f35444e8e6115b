"""Patient knowledge distillation (Sun et al. 2019) on any task: a BERT of 6 layers and its teacher.

    python -m jaxdistill.main --config configs/pkd.py:rte

The settings are those of SST-2 in seed 001 (configs/pkd_sst2.py says more). Its document's later
version published on dev, with settings of each task's own, QQP 0.916 and RTE 0.650:

    --config.method.soft_weight=0.8 --config.method.hard_weight=0.2 --config.method.temperature=0.8
        --config.method.beta=500 --config.stages.pkd.epochs=40 --config.stages.pkd.batch_size=256
        --config.stages.pkd.warmup=0.1
    --config.method.soft_weight=0.2 --config.method.hard_weight=0.8 --config.method.temperature=0.8
        --config.method.beta=300 --config.stages.pkd.epochs=10 --config.stages.pkd.batch_size=4
        --config.stages.pkd.warmup=0.1

Not measured here.

What such a student's probabilities are worth, and how to have them surer: configs/kd.py. With files
of one's own they are, by default.
"""

from ml_collections import ConfigDict

from jaxdistill import presets, recipes
from jaxdistill.data.tasks import known_task


def get_config(task: str = "") -> ConfigDict:
    about = known_task(task)
    settings = {"alpha": 0.9, "temperature": 10.0, "beta": 700.0}
    method = presets.pkd("paddle", classes=about.outputs, **settings)
    if about.own:
        soft = recipes.kd(soft_weight=0.5, hard_weight=0.5, temperature=2.0)
        method = recipes.pkd(soft, beta=100.0, last_layer=True)
    stage = recipes.plan(epochs=8, learning_rate=5e-5, weight_decay=0.0)
    return recipes.distilled(
        "pkd",
        about.name,
        student=recipes.start("pretrained", layers=6, pick="first"),
        method=method,
        stages={"pkd": stage},
        alone=stage,
    )
