"""A BERT of 6 layers on SST-2 without distillation: what configs/kd_sst2.py is compared with.

    python -m jaxdistill.main --config configs/student_sst2.py

The student starts from the first 6 layers of the checkpoint that the teacher was trained from, and
learns from labels alone; the teacher, fine-tuned first if runs/teacher_sst2 holds no finished run,
says which checkpoint that is and stands beside it in the report. Without network:

    python -m jaxdistill.main --config configs/student_sst2.py \
        --config.data.folder=glue --config.teacher.source=bert-base-uncased

Seed 001's `run_patient_kd.py --task_name SST-2 --alpha 0.0 --beta 0` (BERT6-FT): dev 0.9140
published. Measured with 3 of 6 layers of 384: 0.8865 (one run), and 0.8574 on 20,000 rows (the mean
of three; benchmarks/RESULTS.md).
"""

from ml_collections import ConfigDict

from jaxdistill import recipes


def get_config() -> ConfigDict:
    stage = recipes.plan(epochs=4, learning_rate=5e-5, weight_decay=0.0)
    return recipes.distilled(
        "student",
        "sst2",
        student=recipes.start("pretrained", layers=6, pick="first"),
        method=ConfigDict({"name": "finetune"}),
        stages={"finetune": stage},
        alone=stage,
    )
