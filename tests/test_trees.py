import pytest

from jaxdistill.trees import flatten, merge, partition, unflatten

TREE = {"student": {"layers": {"kernel": 1, "bias": 2}, "pooler": {"bias": 3}}, "extras": {}}


def test_flatten_names_leaves_by_path_and_unflatten_inverts_it():
    flat = flatten(TREE)
    assert flat == {
        "student/layers/kernel": 1,
        "student/layers/bias": 2,
        "student/pooler/bias": 3,
    }
    assert unflatten(flat) == {"student": TREE["student"]}


def test_partition_splits_by_path_and_merge_puts_together():
    biases, others = partition(TREE, lambda path: path.endswith("/bias"))
    assert biases == {"student": {"layers": {"bias": 2}, "pooler": {"bias": 3}}}
    assert others == {"student": {"layers": {"kernel": 1}}}
    assert merge(biases, others) == {"student": TREE["student"]}


def test_merge_refuses_a_leaf_that_both_hold():
    with pytest.raises(ValueError, match="bias"):
        merge({"a": {"bias": 1}}, {"a": {"bias": 1}})
