"""TinyBERT on THUCNews titles (Jiao et al. 2020): a BERT of 3 layers taught by a fine-tuned one.

    python -m jaxdistill.main --config configs/tinybert_thucnews.py

Fine-tunes the teacher first if runs/teacher_thucnews holds no finished run. Without network:

    python -m jaxdistill.main --config configs/tinybert_thucnews.py \
        --config.data.folder=zh --config.teacher.source=bert-base-chinese

Seed 002's `task_distill.py --num_train_epochs 10` and `task_distill.py --pred_distill
--learning_rate 3e-5 --num_train_epochs 3`, both stages in one command, without `--aug_train`. No
document has a number for THUCNews. Not measured here. Starts, and where it differs from the
original code: configs/tinybert_sst2.py.
"""

from ml_collections import ConfigDict

from jaxdistill import recipes


def get_config() -> ConfigDict:
    return recipes.distilled(
        "tinybert",
        "thucnews",
        student=recipes.start("teacher", layers=3, pick="skip"),
        method=recipes.tinybert(),
        stages={
            "intermediate": recipes.plan(
                epochs=10, learning_rate=5e-5, schedule="constant", warmup=0.0
            ),
            "prediction": recipes.plan(epochs=3, learning_rate=3e-5),
        },
        alone=recipes.plan(epochs=3, learning_rate=5e-5),
    )
