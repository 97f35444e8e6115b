"""TinyBERT's general distillation (Jiao et al. 2020, section 3.2): a student for every later task.

    python -m jaxdistill.main --config configs/general_tinybert.py

A BERT of 4 layers of 312 learns a pre-trained BERT's embeddings, hidden states and attention scores
on English Wikipedia, streamed from the hub and never whole in memory or on disk; there are no
labels. It is judged by the same loss on articles that are held out. On text of one's own, one text
a line (paragraphs and sentences do as well) in the .txt files of a folder, without network:

    python -m jaxdistill.main --config configs/general_tinybert.py --workdir=runs/mine \
        --config.data.corpus=texts --config.teacher.source=bert-base-uncased \
        --config.data.steps=20000

The teacher may be a hub name, a local folder or a run of configs/pretrain.py. What comes out has no
classifier, and starts task-specific distillation with its projection:

    python -m jaxdistill.main --config configs/tinybert_sst2.py \
        --config.student.source=runs/general_tinybert

    python -m jaxdistill.export runs/general_tinybert --output=my_tinybert    # for transformers

A stream has no end, so config.data.steps says how many batches are called an epoch: 100,000 of 256
sequences of 128 tokens are about one pass through Wikipedia (2,500M words), of which the paper has
three. Not run here at that size: see benchmarks/RESULTS.md for what was.

Where it differs from the original code: texts are packed without padding and go on in the next
sequence, and are no pairs; learning_rate is the code's default; AdamW with bias correction. Their
first release masked 15% of the tokens, their second none, as here.
"""

from ml_collections import ConfigDict

from jaxdistill import recipes


def get_config() -> ConfigDict:
    config = recipes.frame("general_tinybert", "reviews")  # no task's rows are read
    config.method = recipes.general()
    config.teacher = ConfigDict({"source": "bert-base-uncased"})
    config.student = recipes.start("random", layers=4, width=312, heads=12, inner=1200, dropout=0.1)
    config.data = recipes.streamed(
        corpus="wikimedia/wikipedia:20231101.en", steps=100_000, max_length=128
    )
    config.stages = ConfigDict(
        {"general": recipes.plan(epochs=3, learning_rate=5e-5, batch_size=256, eval_steps=5_000)}
    )
    return config
