"""The command line: a recipe, and its values that are given otherwise."""

from __future__ import annotations

import difflib
import re
import sys
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags

from jaxdistill.errors import UserError
from jaxdistill.own_section import KEYS

USAGE = (
    "usage: python -m jaxdistill.main --config FILE [--workdir RUN] [--config.a.b=value ...]\n"
    "FILE is a recipe such as configs/teacher_sst2.py; RUN defaults to runs/<the recipe's name>.\n"
    "One of several processes: --coordinator=HOST:PORT --processes=N --process=I."
)


def parse(argv: list[str]) -> dict[str, Any]:
    """The config that [program, flag, ...] gives, as plain data. Raises UserError for what is not
    understood.
    """
    words = [argv[0], *map(_locate, argv[1:])]
    _check_file(words)
    named = [word for word in words if not word.startswith("--config.")]
    try:
        values, _ = _read(named)
        values.config.get("task")  # an OSError is kept until then
    except UserError:
        raise
    except flags.Error as error:
        raise UserError(_explain(error)) from None
    except Exception as error:  # whatever is in the file
        what = f"{type(error).__name__}: {error}"
        raise UserError(f"The config file ({' '.join(named[1:])}) raises {what}.") from error
    try:
        _check_keys(words, values.config)
        values, rest = _read(words)
        if values.workdir is not None:
            values.config.workdir = values.workdir
        plain: dict[str, Any] = values.config.to_dict()
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError, OSError) as error:
        raise UserError(_explain(error)) from None
    for word in rest:
        key, _, value = word.partition("=")
        hint = f"Did you mean --config.{key}={value}?" if value else USAGE
        raise UserError(f"{word!r} on the command line is not a flag. {hint}")
    return plain


def _read(words: list[str]) -> tuple[flags.FlagValues, list[str]]:
    """The flags, and the words that are none."""
    values = flags.FlagValues()
    config_flags.DEFINE_config_file("config", None, "a recipe", flag_values=values)
    flags.DEFINE_string("workdir", None, "the run folder", flag_values=values)
    before, sys.argv = sys.argv, words  # config_flags looks for overrides there
    try:
        return values, values(words)[1:]
    finally:
        sys.argv = before


def _locate(flag: str) -> str:
    """--config=configs/x.py finds the recipe shipped with the package where there is none here."""
    match = re.fullmatch(r"(--?config=)?(configs/[^:]+\.py)(:.*)?", flag)
    if match is None or Path(match[2]).exists():
        return flag
    shipped = Path(__file__).parent / match[2]
    return f"{match[1] or ''}{shipped}{match[3] or ''}" if shipped.exists() else flag


def _check_file(words: list[str]) -> None:
    """The config's file is named, is there, and is Python that gives a config."""
    matches = [re.fullmatch(r"--?config(?:=(.*))?", word) for word in words]
    index, match = next(((i, m) for i, m in enumerate(matches) if m), (0, None))
    if match is None:
        raise UserError(f"--config is missing.\n{USAGE}")
    named = match[1] if match[1] is not None else "".join(words[index + 1 : index + 2])
    path = Path(named.split(":")[0])
    if not path.is_file():
        known = ", ".join(sorted(str(p) for p in Path("configs").glob("*.py")))
        raise UserError(
            f"There is no config file {str(path)!r}."
            + (f" Recipes here: {known}." if known else "")
        )
    try:
        compile(path.read_text("utf-8"), str(path), "exec")
    except (SyntaxError, ValueError) as error:
        raise UserError(f"The config file {path} is not Python: {error}.") from None


def _check_keys(words: list[str], recipe: ConfigDict) -> None:
    """Refuses a --config.a.b that the recipe does not have, and says what it has there."""
    for word in words:
        if not word.startswith("--config."):
            continue
        section: Any = recipe
        parts = re.split(r"[.\[]", word.removeprefix("--config.").partition("=")[0])
        for depth, name in enumerate(parts):
            if not isinstance(section, ConfigDict):
                break  # a value, or a place within it
            if name not in section:
                raise UserError(_no_key(parts[:depth], name, sorted(section)))
            section = section[name]


def _no_key(parts: list[str], name: str, there: list[str]) -> str:
    """What is said of a key that the recipe does not have."""
    if name in KEYS and parts == ["data"]:
        return (
            f"The recipe has no key {name!r} there. config.data.{name} is for files of your own: "
            f"take configs/own_data.py or configs/METHOD.py:own, such as configs/kd.py:own."
        )
    where = ".".join(["config", *parts])
    near = difflib.get_close_matches(name, there, n=1)
    hint = f" Did you mean --{where}.{near[0]}?" if near else ""
    return f"The recipe has no --{where}.{name}; {where} has {', '.join(there)}.{hint}"


def _explain(error: BaseException) -> str:
    first = error.args[0] if isinstance(error, KeyError) and error.args else error  # unquoted
    text = " ".join(str(first).split())
    failed = re.search(r"--config=(\S+): Error whilst parsing config file: .* (\w+Error: .*)", text)
    if failed and "get_config() takes 0 positional arguments" in failed[2]:
        path, _, task = failed[1].partition(":")
        return f"The recipe {path} takes no task. Leave out :{task}."
    if failed:
        return f"The config file (--config={failed[1]}) raises {failed[2]}."
    return f"The command line does not fit the config: {text or type(error).__name__}"
