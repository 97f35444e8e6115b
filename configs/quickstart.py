"""A small BERT and its student, both from scratch, on generated reviews: no data, no network.

    launch/quickstart.sh

The reviews (jaxdistill/data/reviews.py) need more than counting words: negation, contrast,
intensity, what others said. The same in Chinese:

    launch/quickstart.sh --workdir=runs/quickstart_zh --config.task=reviews_zh \
        --config.teacher.recipe.task=reviews_zh --config.teacher.run=runs/quickstart_teacher_zh

With rows made of the train rows, which the teacher labels: --config.augment.name=tang.
"""

from ml_collections import ConfigDict

from jaxdistill import recipes
from jaxdistill.augmentation import augment

BUCKETS = (16, 32, 48)


def get_teacher() -> ConfigDict:
    config = recipes.frame("quickstart_teacher", "reviews")
    config.method = ConfigDict({"name": "finetune"})
    config.model = recipes.start(
        "random", layers=4, width=128, heads=4, inner=512, vocab=800, dropout=0.1
    )
    config.data = recipes.data(max_length=48, buckets=BUCKETS)
    config.stages = ConfigDict(
        {
            "finetune": recipes.plan(
                epochs=14, learning_rate=5e-4, batch_size=64, weight_decay=0.01, eval_steps=0
            )
        }
    )
    return config


def get_config() -> ConfigDict:
    config = recipes.frame("quickstart", "reviews")
    config.teacher = recipes.teacher("runs/quickstart_teacher", get_teacher(), margin=0.1)
    config.student = recipes.start("random", layers=2, width=64, heads=4, inner=128, dropout=0.1)
    config.data = recipes.data(max_length=48, buckets=BUCKETS)
    config.augment = augment("reviews", "", chinese=False)
    config.method = recipes.tinybert()  # every second layer of the teacher's
    config.stages = ConfigDict(
        {
            "intermediate": recipes.plan(
                epochs=3, learning_rate=1e-3, batch_size=64, schedule="constant", eval_steps=0
            ),
            "prediction": recipes.plan(epochs=3, learning_rate=1e-3, batch_size=64, eval_steps=0),
        }
    )
    config.baseline = True
    config.alone = recipes.plan(epochs=6, learning_rate=1e-3, batch_size=64, eval_steps=0)
    return config
