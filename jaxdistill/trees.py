"""Parameter trees are nested dicts; a path is the keys joined by "/" ("student/pooler/bias")."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from jaxdistill.types import Params


def flatten(tree: Params, prefix: str = "") -> dict[str, Any]:
    """Leaves by path, in the tree's order. An empty subtree leaves no trace."""
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        path = f"{prefix}{name}"
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{path}/")
        else:
            flat[path] = value
    return flat


def unflatten(flat: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of flatten."""
    tree: dict[str, Any] = {}
    for path, value in flat.items():
        *folders, name = path.split("/")
        branch = tree
        for folder in folders:
            branch = branch.setdefault(folder, {})
        branch[name] = value
    return tree


def partition(tree: Params, chosen: Callable[[str], bool]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Splits a tree in two: the leaves whose path is chosen, and the others."""
    flat = flatten(tree)
    return (
        unflatten({path: leaf for path, leaf in flat.items() if chosen(path)}),
        unflatten({path: leaf for path, leaf in flat.items() if not chosen(path)}),
    )


def merge(left: Params, right: Params) -> dict[str, Any]:
    """The inverse of partition; a leaf that both hold is an error of the caller's."""
    merged = dict(left)
    for name, value in right.items():
        if name not in merged:
            merged[name] = value
        elif isinstance(merged[name], Mapping) and isinstance(value, Mapping):
            merged[name] = merge(merged[name], value)
        else:
            raise ValueError(f"both trees hold {name!r}")
    return merged
