"""Soft-label distillation on SST-2 (Hinton et al. 2015): a BERT of 3 layers taught by a whole one.

    python -m jaxdistill.main --config configs/kd_sst2.py

Fine-tunes the teacher first if runs/teacher_sst2 holds no finished run. Without network:

    python -m jaxdistill.main --config configs/kd_sst2.py \
        --config.data.folder=glue --config.teacher.source=bert-base-uncased

The student starts from the first layers of the checkpoint that the teacher was trained from, as in
PKD's experiments; another start:

    --config.student.source=teacher --config.student.pick=skip     from the fine-tuned teacher
    --config.student.source=random --config.student.width=192 --config.student.heads=12
        --config.student.inner=768

The loss is 0.5 T^2 times the cross-entropy with the teacher's softened labels plus 0.5 times that
with the true ones. The same by other implementations' formulas: jaxdistill/presets.py.
"""

from ml_collections import ConfigDict

from jaxdistill import recipes


def get_config() -> ConfigDict:
    config = recipes.frame("kd_sst2", "sst2")
    config.teacher = recipes.teacher("runs/teacher_sst2", recipes.teacher_sst2())
    config.student = recipes.start("pretrained", layers=3, pick="first")
    config.data = recipes.data(max_length=128, buckets=(16, 32, 64, 128))
    config.method = recipes.kd(soft_weight=0.5, hard_weight=0.5, temperature=10.0)
    config.stages = ConfigDict({"kd": recipes.plan(epochs=3, learning_rate=5e-5)})
    config.baseline = False
    config.alone = recipes.plan(epochs=3, learning_rate=5e-5)  # the same student without teacher
    return config
