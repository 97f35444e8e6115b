"""Files of your own: a small BERT and its student, both from scratch. No checkpoint, no network.

    python -m jaxdistill.main --config configs/own_data.py --config.data.train=mails.csv \
        --config.data.text=body --config.data.label=kind

Files are .csv, .tsv (or .txt, split on tabs), .jsonl or .parquet, with the columns' names first. A
tenth is split off as dev, or --config.data.dev=FILE; --config.data.text_pair=COLUMN for two texts;
texts without labels, for the teacher to label: --config.data.unlabelled=more.txt. What the labels
are (classes, a number, or any of several names with | between them) is found out and said;
--config.data.labels=classes, number or many to say it yourself; --config.data.selection=macro_f1
where classes are uneven.

Other files want another --workdir and another --config.teacher.run. A pre-trained BERT is much
better where there are few rows: --config.teacher.source=BERT, which is then fine-tuned (5 epochs at
2e-5); with any method: configs/kd.py:own --config.teacher.source=BERT.
"""

from ml_collections import ConfigDict

from jaxdistill import recipes
from jaxdistill.augmentation import augment
from jaxdistill.own_section import own_files
from jaxdistill.tuned import FROM_SCRATCH

BUCKETS = (16, 32, 64, 128)


def get_teacher() -> ConfigDict:
    config = recipes.frame("own_data_teacher", "own")
    config.method = ConfigDict({"name": "finetune"})
    config.model = recipes.start(
        "random", layers=4, width=128, heads=4, inner=512, vocab=8000, dropout=0.1
    )
    config.data = own_files(recipes.data(max_length=128, buckets=BUCKETS), unlabelled=False)
    config.stages = ConfigDict(
        {"finetune": recipes.plan(**FROM_SCRATCH, batch_size=16, eval_steps=0)}
    )
    return config


def get_config() -> ConfigDict:
    config = recipes.frame("own_data", "own")
    config.teacher = recipes.teacher("runs/own_data_teacher", get_teacher(), margin=0.0)
    config.student = recipes.start("random", layers=2, width=64, heads=4, inner=256, dropout=0.1)
    config.data = own_files(recipes.data(max_length=128, buckets=BUCKETS), unlabelled=True)
    config.augment = augment("own", "", chinese=False)
    config.method = recipes.kd(soft_weight=0.5, hard_weight=0.5, temperature=2.0)
    stage = recipes.plan(epochs=12, learning_rate=1e-3, batch_size=16, eval_steps=0)
    config.stages = ConfigDict({"kd": stage})
    config.baseline = True
    config.alone = stage.copy_and_resolve_references()
    return config
