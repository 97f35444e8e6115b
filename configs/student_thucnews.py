"""A BERT of 6 layers on THUCNews titles without distillation: what the others are compared with.

    python -m jaxdistill.main --config configs/student_thucnews.py

The student starts from the first 6 layers of the checkpoint that the teacher was trained from, and
learns from labels alone; the teacher, fine-tuned first if runs/teacher_thucnews holds no finished
run, says which checkpoint that is and stands beside it in the report. Without network:

    python -m jaxdistill.main --config configs/student_thucnews.py \
        --config.data.folder=zh --config.teacher.source=bert-base-chinese

Trained as seed 003's `python main.py` trains a whole BERT. No document has a number for a BERT of
fewer layers. Not measured here.
"""

from ml_collections import ConfigDict

from jaxdistill import recipes


def get_config() -> ConfigDict:
    stage = recipes.plan(epochs=10, learning_rate=2e-5, betas=(0.9, 0.98), epsilon=1e-8, clip=0.0)
    return recipes.distilled(
        "student",
        "thucnews",
        student=recipes.start("pretrained", layers=6, pick="first"),
        method=ConfigDict({"name": "finetune"}),
        stages={"finetune": stage},
        alone=stage,
    )
