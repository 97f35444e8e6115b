"""BERT fine-tuned on THUCNews titles, 10 classes: the teacher, and seed 003's strategies.

    python -m jaxdistill.main --config configs/teacher_thucnews.py

Without network, from local folders with the files (zh/thucnews/train.txt) and a checkpoint:

    python -m jaxdistill.main --config configs/teacher_thucnews.py \
        --config.data.folder=zh --config.model.source=bert-base-chinese

Seed 003's `python main.py` and its other scripts, with S for --config.stages.finetune; accuracy and
macro F1 that it published on test:

    bert            main.py                                                       0.9451  0.9448
    bert+ga         S.accumulate=4 S.batch_size=128 S.learning_rate=8e-5          0.9352  0.9344
    bert+apex       S.precision=float16                                           0.9496  0.9495
    bert+apex_ga    the two lines above                                           0.9471  0.9464
    bert+fgm        S.adversary=fgm                                               0.9479  0.9473
    bert+pgd        S.adversary=pgd                                               0.9479  0.9473

Measured with a BERT of 4 layers of 256 that `pretrain` made, 9,000 titles, dev accuracy in the same
order: 0.8242, 0.8358, 0.8242, 0.8358, 0.8179, 0.8167 (`python -m benchmarks.seed003`; one run each,
benchmarks/RESULTS.md). The document's numbers are of long
articles in other classes, the task cnews (`configs/teacher.py:cnews`, 256 tokens), its BERT was not
pre-trained, and fgm and pgd are one checkpoint scored twice. Where the recipe differs: the
checkpoint is loaded, dev is scored every 500 steps and not every 100, and products are bfloat16
(S.precision=float32: as there).
"""

from ml_collections import ConfigDict

from jaxdistill import recipes


def get_config() -> ConfigDict:
    config = recipes.frame("teacher_thucnews", "thucnews")
    config.method = ConfigDict({"name": "finetune"})
    config.model = recipes.start("bert-base-chinese")
    config.data = recipes.data(max_length=128, buckets=(16, 32, 64, 128))
    stage = recipes.plan(epochs=10, learning_rate=2e-5, betas=(0.9, 0.98), epsilon=1e-8, clip=0.0)
    config.stages = ConfigDict({"finetune": stage})
    return config
