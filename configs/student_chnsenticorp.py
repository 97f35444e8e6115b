"""A BERT of 6 layers on ChnSentiCorp without distillation: what the others are compared with.

    python -m jaxdistill.main --config configs/student_chnsenticorp.py

The student starts from the first 6 layers of the checkpoint that the teacher was trained from, and
learns from labels alone; the teacher, fine-tuned first if runs/teacher_chnsenticorp holds no
finished run, says which checkpoint that is and stands beside it in the report. Without network:

    python -m jaxdistill.main --config configs/student_chnsenticorp.py \
        --config.data.folder=zh --config.teacher.source=bert-base-chinese

Seed 001's `run_patient_kd.py --task_name chnsenticorp --num_train_epochs 40 --warmup_proportion 0.0
--alpha 0.0 --beta 0` (BERT6-FT), where the checkpoint was

    --config.teacher.source=hfl/chinese-bert-wwm-ext

Its document publishes no number; a later version of it dev 0.9092. Not measured here. Without the
rows of dev that train has too, as any of these recipes:

    --config.task=chnsenticorp_dedup --config.teacher.recipe.task=chnsenticorp_dedup
        --config.teacher.run=runs/teacher_chnsenticorp_dedup
        --workdir=runs/student_chnsenticorp_dedup
"""

from ml_collections import ConfigDict

from jaxdistill import recipes


def get_config() -> ConfigDict:
    stage = recipes.plan(
        epochs=40, learning_rate=5e-5, warmup=0.0, weight_decay=0.0, eval_steps=100
    )
    return recipes.distilled(
        "student",
        "chnsenticorp",
        student=recipes.start("pretrained", layers=6, pick="first"),
        method=ConfigDict({"name": "finetune"}),
        stages={"finetune": stage},
        alone=stage,
    )
