"""Masked-LM pre-training of a small BERT (Devlin et al. 2019, section 3.1): no labels, no network.

    python -m jaxdistill.main --config configs/pretrain.py

Learns from the texts of the generated reviews and is judged by its loss on dev's, under masks that
stay the same. On other text, one text a line, 5% of it held out:

    python -m jaxdistill.main --config configs/pretrain.py --workdir=runs/mine \
        --config.data.corpus=texts --config.model.vocab=8000

Going on from a checkpoint, for a domain of its own:

    --config.model.source=bert-base-uncased --config.stages.pretrain.learning_rate=5e-5

A teacher is fine-tuned from the run, whose classifier is new then:

    python -m jaxdistill.main --config configs/teacher_sst2.py --workdir=runs/teacher_reviews \
        --config.task=reviews --config.model.source=runs/pretrain \
        --config.data.max_length=48 --config.data.buckets="(16, 32, 48)"

A model from nothing has as many positions as the longest of config.data.buckets: whoever starts
from it has inputs up to that.

Where it differs from the paper: no next-sentence prediction; masks drawn anew in every step; the
loss is a mean over each text's masked tokens, then over texts; a line that is longer than
config.data.max_length loses its end.
"""

from ml_collections import ConfigDict

from jaxdistill import recipes


def get_config() -> ConfigDict:
    config = recipes.frame("pretrain", "reviews")
    config.method = ConfigDict({"name": "pretrain", "mask_rate": 0.15, "whole_word": False})
    config.model = recipes.start(
        "random", layers=4, width=128, heads=4, inner=512, vocab=800, dropout=0.1
    )
    config.data = recipes.text(max_length=48, buckets=(16, 32, 48))
    config.stages = ConfigDict(
        {
            "pretrain": recipes.plan(
                epochs=10, learning_rate=1e-3, batch_size=64, weight_decay=0.01, eval_steps=0
            )
        }
    )
    return config
