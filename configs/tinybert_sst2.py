"""TinyBERT on SST-2 (Jiao et al. 2020): a BERT of 3 layers taught by a fine-tuned one.

    python -m jaxdistill.main --config configs/tinybert_sst2.py

Fine-tunes the teacher first if runs/teacher_sst2 holds no finished run. Without network:

    python -m jaxdistill.main --config configs/tinybert_sst2.py \
        --config.data.folder=glue --config.teacher.source=bert-base-uncased

The student starts from every N/M-th layer of the teacher. A thinner one starts from nothing, or
from TinyBERT's general distillation:

    --config.student.source=random --config.student.width=192 --config.student.heads=12
        --config.student.inner=768
    --config.student.source=huawei-noah/TinyBERT_General_4L_312D

Where it differs from the paper: 1 and 2 epochs of the stages instead of 20 and 3, since a student
that starts from its teacher needs less (give a random one more); no augmentation; padding is masked
in every loss.
"""

from ml_collections import ConfigDict

from jaxdistill import recipes


def get_config() -> ConfigDict:
    config = recipes.frame("tinybert_sst2", "sst2")
    config.teacher = recipes.teacher("runs/teacher_sst2", recipes.teacher_sst2())
    config.student = recipes.start("teacher", layers=3, pick="skip")
    config.data = recipes.data(max_length=128, buckets=(16, 32, 64, 128))
    config.method = ConfigDict(
        {
            "name": "tinybert",
            "stages_run": ("intermediate", "prediction"),
            "layer_map": (),  # every N/M-th layer
            "projection": "shared",
            "temperature": 1.0,
        }
    )
    config.stages = ConfigDict(
        {
            "intermediate": recipes.plan(
                epochs=1, learning_rate=5e-5, schedule="constant", warmup=0.0
            ),
            "prediction": recipes.plan(epochs=2, learning_rate=3e-5),
        }
    )
    config.baseline = False
    config.alone = recipes.plan(epochs=2, learning_rate=5e-5)  # the same student without teacher
    return config
