"""python -m jaxdistill.export RUN --output FOLDER [--stage NAME] [--unfinished]

Writes a finished run's model as a Hugging Face folder: config.json, model.safetensors and the
tokenizer's files, which transformers' AutoModel and AutoTokenizer load. A run without labels
(general distillation, pre-training) becomes a BertModel or a BertForMaskedLM.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from jaxdistill import cli
from jaxdistill.errors import UserError
from jaxdistill.notices import print_notice


def main(argv: list[str]) -> None:
    """The verb; argv as sys.argv."""
    args = parse(argv[1:])
    from jaxdistill.models.huggingface import save_huggingface
    from jaxdistill.runs import is_run, open_run, read_description

    folder = Path(args.output).expanduser()
    if is_run(folder):
        raise UserError(
            f"--output {args.output} is a run folder, whose config.json would be overwritten. "
            f"Give another folder."
        )
    source = Path(args.run).expanduser()
    if read_description(source).model != "bert":
        raise UserError(
            f"{args.run} holds a BiLSTM, and a Hugging Face folder holds a BERT: transformers has "
            f"no class for it. `python -m jaxdistill.predict {args.run}` answers with it."
        )
    run = open_run(
        source, print_notice, stage=args.stage, headless=True, unfinished=args.unfinished
    )
    architecture = save_huggingface(
        folder,
        run.params,
        run.bert.shape,
        run.description.labels,
        run.folder / "tokenizer",
        many=not run.headless and run.task.many,
        longest=None if run.headless else run.description.max_length,
    )
    size = (folder / "model.safetensors").stat().st_size
    print(f"{folder}: {architecture} of {args.run}, {run.place}, {size / 1e6:.1f} MB")


def parse(words: list[str]) -> argparse.Namespace:
    """The command line; what does not fit exits with 2."""
    parser = argparse.ArgumentParser(
        prog="python -m jaxdistill.export",
        description="Writes a finished run's model as a Hugging Face folder.",
    )
    parser.add_argument("run", help="a run folder, such as runs/tinybert_sst2")
    parser.add_argument("--output", required=True, metavar="FOLDER", help="made if need be")
    parser.add_argument("--stage", help="one of the run's stages (the last)")
    parser.add_argument(
        "--unfinished", action="store_true", help="the best so far of a run that is not finished"
    )
    return parser.parse_args(words)


if __name__ == "__main__":
    sys.exit(cli.run(main, sys.argv))
