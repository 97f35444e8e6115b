"""BERT-of-Theseus on SST-2 (Xu et al. 2020): layers of a fine-tuned BERT replaced one by one.

    python -m jaxdistill.main --config configs/theseus_sst2.py
    python -m jaxdistill.evaluate runs/theseus_sst2 --stage replace     # before the second stage

Fine-tunes the teacher (the predecessor) first if runs/teacher_sst2 holds no finished run. Without
network:

    python -m jaxdistill.main --config configs/theseus_sst2.py \
        --config.data.folder=glue --config.teacher.source=bert-base-uncased

Seed 004's `bash run_bert_theseus.sh 0 1 1e-5 1e-5 0.5 4` (learning rates of the two stages, rate,
12 layers to 3): dev 0.872 published. Measured with 3 of 6 layers of 384, learning rate 5e-5, and 3
and 2 epochs: 0.8792 on 20,000 rows (the mean of three; its teacher 0.8872), 0.8865 on all (one run;
teacher 0.8922): benchmarks/RESULTS.md. The student (the successor) starts from the first 3 layers
of the fine-tuned teacher, and only these train: with probability 0.5 each in the place of N/3 of
the teacher's, then alone. The paper's curriculum in one stage, p(t) = min(1, k t + b), here
from 0.3 to 1 at the 10,000th of 10,525 steps:

    --config.method.rate=0.3 --config.method.slope=7e-5 --config.stages.replace.warmup=0

(the repository's k of 6e-4 is for MRPC, and is at 1 after 1,167 steps).

Where it differs from seed 004: the predecessor without dropout.
"""

from ml_collections import ConfigDict

from jaxdistill import recipes


def get_config() -> ConfigDict:
    stage = recipes.plan(epochs=5, learning_rate=1e-5, weight_decay=1e-4)
    return recipes.distilled(
        "theseus",
        "sst2",
        student=recipes.start("teacher", layers=3, pick="first"),
        method=recipes.theseus(rate=0.5),
        stages={"replace": stage, "successor": stage},
        alone=recipes.plan(epochs=5, learning_rate=5e-5),
    )
