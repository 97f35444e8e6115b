"""A BiLSTM distilled from BERT on any task (Tang et al. 2019): 300 numbers a word and direction.

    python -m jaxdistill.main --config configs/bilstm.py:rte

The settings are those of configs/bilstm_sst2.py, which says more. Words are the teacher's word
pieces, which cut Chinese into characters. Not measured here.
"""

from ml_collections import ConfigDict

from jaxdistill import presets, recipes
from jaxdistill.data.tasks import known_task


def get_config(task: str = "") -> ConfigDict:
    about = known_task(task)
    stage = recipes.plan(
        epochs=6,
        batch_size=128,
        optimizer="adam",
        learning_rate=1e-3,
        epsilon=1e-8,
        warmup=0.0,
        weight_decay=0.0,
        eval_steps=0,
    )
    return recipes.distilled(
        "bilstm",
        about.name,
        student=presets.bilstm("paddle", embedding_dropout=0.3, head_dropout=0.3),
        method=presets.kd("paddle_bilstm", classes=about.outputs, alpha=0.0, temperature=1.0),
        stages={"kd": stage},
        alone=stage,
        buckets=(8, 16, 24, 32, 48, 64, 128),
    )
