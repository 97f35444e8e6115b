"""The LSTM of seed 004 distilled from BERT, on any GLUE task: 10,000 words, 32 of a text.

    python -m jaxdistill.main --config configs/oneflow_bilstm.py:sst2

`run_train_student_distilled_lstm.sh`: dev 0.829 published on SST-2, 0.804 alone (elsewhere 0.833),
where the teacher had 0.922. Not measured here. It is called a BiLSTM there and reads forwards only,
as here; both ways: --config.student.directions=2. There it reads the padding after a text as well,
and a pair as one text, and draws its parameters otherwise (words from a deviation of 0.02, linear
layers 0.25). The loss is 0.7 of the teacher's probabilities and 0.3 of the labels.
"""

from ml_collections import ConfigDict

from jaxdistill import presets, recipes
from jaxdistill.data.tasks import find_task

SETTINGS = {
    "cola": (100, 5e-5),
    "mrpc": (30, 5e-6),
    "qqp": (10, 7e-5),
    "rte": (30, 2e-5),
    "sst2": (5, 1e-4),
}
"""Epochs and learning rate by task, where they are not (5, 2e-5)."""


def get_config(task: str = "") -> ConfigDict:
    about = find_task(task)
    epochs, rate = SETTINGS[about.name] if about.name in SETTINGS else (5, 2e-5)
    decay = 1e-3 if about.name == "mrpc" else 1e-4
    stage = recipes.plan(
        epochs=epochs, learning_rate=rate, weight_decay=decay, schedule="polynomial"
    )
    method = presets.kd("oneflow_bilstm", classes=about.outputs, alpha=0.7, temperature=1.0)
    return recipes.distilled(
        "oneflow_bilstm",
        about.name,
        student=presets.bilstm("oneflow"),
        method=method,
        stages={"kd": stage},
        alone=stage,
        buckets=(8, 16, 32, 64, 128),
    )
