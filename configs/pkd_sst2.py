"""Patient knowledge distillation on SST-2 (Sun et al. 2019): a BERT of 3 layers and its teacher.

    python -m jaxdistill.main --config configs/pkd_sst2.py

Fine-tunes the teacher first if runs/teacher_sst2 holds no finished run. Without network:

    python -m jaxdistill.main --config configs/pkd_sst2.py \
        --config.data.folder=glue --config.teacher.source=bert-base-uncased

The student starts from the first layers of the checkpoint that the teacher was trained from. Its
layers 1 and 2 learn the [CLS] states of the teacher's layers N/3 and 2N/3 (strategy skip).

alpha 0.5, T 10, beta 100 and the learning rate are those of the authors' code that did best with 6
layers on SST-2 (dev 0.9106; with 3 layers 0.8807, by alpha 0.2, T 20, beta 1), in its reductions:
the mean over layers and width, the soft term halved by the mean over 2 classes.

Where it differs from the paper: 3 epochs instead of 4; AdamW with bias correction; skip with 3
layers too, where the authors' script takes the last ones.
"""

from ml_collections import ConfigDict

from jaxdistill import presets, recipes


def get_config() -> ConfigDict:
    config = recipes.frame("pkd_sst2", "sst2")
    config.teacher = recipes.teacher("runs/teacher_sst2", recipes.teacher_sst2())
    config.student = recipes.start("pretrained", layers=3, pick="first")
    config.data = recipes.data(max_length=128, buckets=(16, 32, 64, 128))
    config.method = presets.pkd("pkd_repo", classes=2, alpha=0.5, temperature=10.0, beta=100.0)
    config.stages = ConfigDict({"pkd": recipes.plan(epochs=3, learning_rate=5e-5)})
    config.baseline = False
    config.alone = recipes.plan(epochs=3, learning_rate=5e-5)  # the same student without teacher
    return config
