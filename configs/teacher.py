"""BERT fine-tuned on any task, the teacher of configs/<method>.py:<task>.

    python -m jaxdistill.main --config configs/teacher.py:rte

Epochs, learning rate and weight decay are those of seed 004's `bash run_train_teacher.sh` (batch
32, 128 tokens, a warm-up over 10% of the steps; SST-2's differ, see configs/teacher_sst2.py). It
published on dev: SST-2 0.922, QQP 0.910, MRPC 0.868 (elsewhere 0.892), RTE 0.694, CoLA 0.587
(Matthews). Not measured here.
"""

from ml_collections import ConfigDict

from jaxdistill import recipes
from jaxdistill.data.tasks import known_task


def get_config(task: str = "") -> ConfigDict:
    return recipes.finetuned(known_task(task).name)
