"""BERT-of-Theseus on SST-2 (Xu et al. 2020): layers of a fine-tuned BERT replaced one by one.

    python -m jaxdistill.main --config configs/theseus_sst2.py
    python -m jaxdistill.evaluate runs/theseus_sst2 --stage replace     # before the second stage

Fine-tunes the teacher (the predecessor) first if runs/teacher_sst2 holds no finished run. Without
network:

    python -m jaxdistill.main --config configs/theseus_sst2.py \
        --config.data.folder=glue --config.teacher.source=bert-base-uncased

The student (the successor) starts from the first 3 layers of the fine-tuned teacher, and only these
train: with probability 0.5 each in the place of N/3 of the teacher's, then alone. The paper's
curriculum in one stage, p(t) = min(1, 6e-4 t + 0.3), which reaches 1 after 1,167 steps:

    --config.method.rate=0.3 --config.method.slope=6e-4

Where it differs from the paper: 3 and 2 epochs; a warm-up; the predecessor without dropout.
"""

from ml_collections import ConfigDict

from jaxdistill import recipes


def get_config() -> ConfigDict:
    config = recipes.frame("theseus_sst2", "sst2")
    config.teacher = recipes.teacher("runs/teacher_sst2", recipes.teacher_sst2())
    config.student = recipes.start("teacher", layers=3, pick="first")
    config.data = recipes.data(max_length=128, buckets=(16, 32, 64, 128))
    config.method = ConfigDict(
        {"name": "theseus", "rate": 0.5, "slope": 0.0, "predecessor_dropout": False}
    )
    config.stages = ConfigDict(
        {
            "replace": recipes.plan(epochs=3, learning_rate=2e-5, weight_decay=0.0),
            "successor": recipes.plan(epochs=2, learning_rate=2e-5, weight_decay=0.0),
        }
    )
    config.baseline = False
    config.alone = recipes.plan(epochs=5, learning_rate=5e-5)  # the same student without teacher
    return config
