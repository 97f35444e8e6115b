"""BERT-of-Theseus on ChnSentiCorp (Xu et al. 2020): layers of a fine-tuned BERT replaced.

    python -m jaxdistill.main --config configs/theseus_chnsenticorp.py
    python -m jaxdistill.evaluate runs/theseus_chnsenticorp --stage replace    # the first stage

Fine-tunes the teacher (the predecessor) first if runs/teacher_chnsenticorp holds no finished run.
Without network:

    python -m jaxdistill.main --config configs/theseus_chnsenticorp.py \
        --config.data.folder=zh --config.teacher.source=bert-base-chinese

The settings of seed 004's `bash run_bert_theseus.sh 0 1 1e-5 1e-5 0.5 4`, which is for GLUE: no
document has a number for ChnSentiCorp. Not measured here. What the student (the successor) starts
from, and the paper's curriculum: configs/theseus_sst2.py.
"""

from ml_collections import ConfigDict

from jaxdistill import recipes


def get_config() -> ConfigDict:
    stage = recipes.plan(epochs=5, learning_rate=1e-5, weight_decay=1e-4, eval_steps=100)
    return recipes.distilled(
        "theseus",
        "chnsenticorp",
        student=recipes.start("teacher", layers=3, pick="first"),
        method=recipes.theseus(rate=0.5),
        stages={"replace": stage, "successor": stage},
        alone=recipes.plan(epochs=5, learning_rate=5e-5, eval_steps=100),
    )
