"""Whose a run folder is before it has a config.json."""

from __future__ import annotations

from pathlib import Path

import pytest

from jaxdistill.config import from_command_line
from jaxdistill.errors import UserError
from jaxdistill.preparing import begin, same_config, started
from jaxdistill.sections import Config


def config(rows: int) -> Config:
    words = ["--config=configs/teacher_sst2.py", f"--config.data.train_rows={rows}"]
    return from_command_line(["main", *words])


def prepare(folder: Path) -> None:
    (folder / "tokenizer").mkdir(exist_ok=True)
    (folder / "tokenizer" / "vocab.txt").write_text("a")
    (folder / "data.json").write_text("{}")


def test_what_another_config_prepared_goes_and_what_this_one_did_stays(tmp_path: Path) -> None:
    begin(tmp_path, config(5))
    prepare(tmp_path)
    begin(tmp_path, config(5))
    assert (tmp_path / "tokenizer" / "vocab.txt").is_file() and (tmp_path / "data.json").is_file()
    begin(tmp_path, config(6))
    assert not (tmp_path / "tokenizer").exists() and not (tmp_path / "data.json").exists()


def test_a_folder_that_is_nobodys_loses_nothing(tmp_path: Path) -> None:
    prepare(tmp_path)
    begin(tmp_path, config(5))
    assert (tmp_path / "tokenizer" / "vocab.txt").is_file()


def test_what_has_begun_to_train_is_its_configs(tmp_path: Path) -> None:
    begin(tmp_path, config(5))
    prepare(tmp_path)
    started(tmp_path, config(5))
    begin(tmp_path, config(6))  # whom same_config refuses before it comes so far
    assert (tmp_path / "data.json").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "config.json",
        "data.json",
        "tokenizer",
    ]
    with pytest.raises(UserError, match="data.train_rows was 5, is 6"):
        same_config(config(6), tmp_path)
    same_config(config(5), tmp_path)
