from __future__ import annotations

import os
import pickle
import struct
import zipfile

import numpy as np
import pytest

from jaxdistill.errors import UserError
from jaxdistill.models.torchbin import read_torch


def torch_module():
    return pytest.importorskip("torch", reason="needs torch to write real checkpoints")


def a_state_dict(torch):
    """Everything that state dicts are known to hold: views, shared memory, odd types, nothing."""
    g = torch.Generator().manual_seed(0)
    base = torch.randn(6, 10, generator=g)
    return {
        "plain": torch.randn(3, 4, generator=g),
        "transposed": base.T,
        "slice": base[1:5, 2:9:3],
        "offset": base[4],
        "expanded": torch.arange(3.0).expand(4, 3),
        "shared": base,
        "parameter": torch.nn.Parameter(torch.randn(5, generator=g)),
        "half": torch.randn(2, 3, generator=g).half(),
        "bfloat16": torch.randn(7, generator=g).bfloat16(),
        "double": torch.randn(2, generator=g).double(),
        "int64": torch.tensor([[1, -(2**40)]]),
        "uint8": torch.tensor([0, 255], dtype=torch.uint8),
        "bool": torch.tensor([True, False, True]),
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros(0, 3),
    }


def assert_same(read, tensors):
    assert list(read) == list(tensors)
    for name, tensor in tensors.items():
        assert str(tensor.dtype) == f"torch.{read[name].dtype}", name
        assert read[name].shape == tuple(tensor.shape), name
        np.testing.assert_array_equal(
            read[name].astype(np.float64), tensor.detach().double().numpy(), err_msg=name
        )


@pytest.mark.parametrize("layout", ["zip", "legacy"])
def test_reads_what_torch_writes(tmp_path, layout):
    torch = torch_module()
    tensors = a_state_dict(torch)
    path = tmp_path / "pytorch_model.bin"
    torch.save(tensors, path, _use_new_zipfile_serialization=layout == "zip")
    assert zipfile.is_zipfile(path) == (layout == "zip")
    assert_same(read_torch(path), tensors)


@pytest.mark.parametrize("layout", ["zip", "legacy"])
def test_reads_a_modules_state_dict(tmp_path, layout):
    torch = torch_module()
    module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.LayerNorm(2))
    state = module.state_dict()  # an OrderedDict with an attribute, _metadata
    path = tmp_path / "pytorch_model.bin"
    torch.save(state, path, _use_new_zipfile_serialization=layout == "zip")
    assert_same(read_torch(path), dict(state))


def rewritten(path, change):
    """The zip with change(name without its folder, bytes) -> bytes or None in place of each."""
    with zipfile.ZipFile(path) as old:
        entries = [(info.filename, old.read(info)) for info in old.infolist()]
    with zipfile.ZipFile(path, "w") as new:
        for name, content in entries:
            content = change(name.split("/", 1)[1], content)
            if content is not None:
                new.writestr(name, content)
    return path


def test_big_endian_and_unmarked_files(tmp_path):
    torch = torch_module()
    values = torch.tensor([1.5, -2.25, 3e30])

    def big(name, content):
        if name == "byteorder":
            return b"big"
        return np.frombuffer(content, "<f4").byteswap().tobytes() if name == "data/0" else content

    torch.save({"x": values}, tmp_path / "big.bin")
    read = read_torch(rewritten(tmp_path / "big.bin", big))
    np.testing.assert_array_equal(read["x"], values.numpy())

    torch.save({"x": values}, tmp_path / "old.bin")  # before torch 2.1 there was no byteorder
    read = read_torch(
        rewritten(tmp_path / "old.bin", lambda name, c: None if name == "byteorder" else c)
    )
    np.testing.assert_array_equal(read["x"], values.numpy())


class Attack:
    """Pickled, a call of os.system; unpickled by pickle.load, run."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def a_zip(path, content):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", content)
        archive.writestr("archive/data/0", np.arange(4, dtype="<f4").tobytes())
    return path


def test_a_malicious_pickle_is_refused_and_not_run(tmp_path):
    witness = tmp_path / "witness"
    attack = pickle.dumps({"x": Attack(f"touch {witness}")}, protocol=2)
    pickle.loads(attack)
    assert witness.exists(), "the attack itself must work, or this test shows nothing"
    witness.unlink()

    for path in (a_zip(tmp_path / "zip.bin", attack), tmp_path / "legacy.bin"):
        if path.name == "legacy.bin":
            path.write_bytes(attack)
        with pytest.raises(UserError, match=r"asks for (posix|nt)\.system.*was not run"):
            read_torch(path)
    assert not witness.exists()


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("builtins", "eval"),
        ("builtins", "getattr"),
        ("collections", "Counter"),
        ("torch._utils", "os"),
        ("torch", "load"),
        ("torch.storage", "_load_from_bytes"),
        ("numpy", "dtype"),
    ],
)
def test_every_other_name_is_refused(tmp_path, module, name):
    content = f"c{module}\n{name}\n.".encode()  # the opcode GLOBAL, then STOP
    with pytest.raises(UserError, match=rf"asks for {module}\.{name}"):
        read_torch(a_zip(tmp_path / "x.bin", content))


def a_tensor(numel=4, offset=0, size=(2, 2), stride=(2, 1)):
    """data.pkl of {"x": a tensor}, made of opcodes so that any numbers can be put in."""

    def tuple_of(*numbers):
        return b"(" + b"".join(b"J" + struct.pack("<i", n) for n in numbers) + b"t"

    storage = (
        b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuJ"
        + struct.pack("<i", numel)
        + b"tQ"
    )
    arguments = storage + b"J" + struct.pack("<i", offset) + tuple_of(*size) + tuple_of(*stride)
    call = b"ctorch._utils\n_rebuild_tensor_v2\n(" + arguments + b"I00\nNtR"
    return b"\x80\x02}X\x01\x00\x00\x00x" + call + b"s."


def test_what_a_pickle_builds_into_its_dict_is_not_called(tmp_path):
    key, value = b"X\x05\x00\x00\x00items", b"X\x01\x00\x00\x00x"
    content = b"\x80\x02ccollections\nOrderedDict\n)R}" + key + value + b"sb."
    assert pickle.loads(content).items == "x"
    assert read_torch(a_zip(tmp_path / "x.bin", content)) == {}


def test_hand_made_tensor(tmp_path):
    read = read_torch(a_zip(tmp_path / "x.bin", a_tensor()))
    np.testing.assert_array_equal(read["x"], [[0, 1], [2, 3]])
    read = read_torch(a_zip(tmp_path / "y.bin", a_tensor(offset=1, size=(3,), stride=(1,))))
    np.testing.assert_array_equal(read["x"], [1, 2, 3])


@pytest.mark.parametrize(
    "wrong",
    [
        {"offset": 1},
        {"offset": -1},
        {"size": (2, 3)},
        {"stride": (3, 1)},
        {"stride": (-2, 1)},
        {"size": (-1, 2)},
        {"size": (2,)},
        {"size": (2**30, 2**30, 2**30), "stride": (0, 0, 0)},
        {"numel": 5},
        {"numel": 3},
        {"numel": -4},
    ],
)
def test_a_tensor_that_reaches_beyond_its_storage_is_refused(tmp_path, wrong):
    with pytest.raises(UserError, match="cannot be read as a PyTorch checkpoint"):
        read_torch(a_zip(tmp_path / "x.bin", a_tensor(**wrong)))


def test_damaged_files(tmp_path):
    torch = torch_module()
    for layout in (True, False):
        whole = tmp_path / "whole.bin"
        torch.save({"x": torch.arange(100.0)}, whole, _use_new_zipfile_serialization=layout)
        content = whole.read_bytes()
        for cut in (0, 10, 200, len(content) - 100):
            path = tmp_path / "cut.bin"
            path.write_bytes(content[:cut])
            with pytest.raises(UserError, match=r"cut\.bin"):
                read_torch(path)
    (tmp_path / "text.bin").write_text("<html>404</html>")
    with pytest.raises(UserError, match="damaged or something else"):
        read_torch(tmp_path / "text.bin")


def test_a_training_checkpoint_is_named(tmp_path):
    torch = torch_module()
    torch.save({"epoch": 3, "model": {"x": torch.zeros(2)}}, tmp_path / "x.bin")
    with pytest.raises(UserError, match=r"2 of its 2 entries.*'epoch', 'model'.*state_dict"):
        read_torch(tmp_path / "x.bin")
    torch.save([torch.zeros(2)], tmp_path / "y.bin")
    with pytest.raises(UserError, match="holds a list"):
        read_torch(tmp_path / "y.bin")
