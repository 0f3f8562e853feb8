"""Files of torch.save: written by it, or put together by hand, opcode by opcode and member by member."""

from __future__ import annotations

import io
import struct
import warnings
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from eigan.errors import CheckpointError
from eigan.readers import read_checkpoint
from tests.readers.makers import dumps, short_text

MAGIC, SYSTEM = 0x1950A86A20F9469CFC6C, {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}
FORMATS = {"zip": True, "legacy": False}


def save(value: Any, path: Path, form: str = "zip", **how: Any) -> Path:
    torch.save(value, path, _use_new_zipfile_serialization=FORMATS[form], **how)
    return path


def weights_of(value: Any, tmp_path: Path, form: str = "zip") -> dict[str, Tensor]:
    return read_checkpoint(save(value, tmp_path / "x.pt", form)).weights


def same(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> bool:
    return list(found) == list(wanted) and all(
        t.dtype == torch.float32 and t.is_contiguous() and torch.equal(t, wanted[n].float()) for n, t in found.items()
    )


STATE = {"a.weight": torch.arange(6.0).view(2, 3), "a.bias": torch.tensor(2.5), "b": torch.zeros(0, 4)}
OTHER = {"x": torch.ones(3)}


def storage(key: str = "0", numel: object = 4, kind: str = "FloatStorage", module: str = "torch", *more: Any) -> bytes:
    """The opcodes of a persistent id."""
    count = b"J" + struct.pack("<i", numel) if isinstance(numel, int) else dumps(numel, 2)[2:-1]
    extra = b"".join(dumps(m, 2)[2:-1] for m in more)
    return (
        b"(" + short_text("storage") + f"c{module}\n{kind}\n".encode() + short_text(key) + short_text("cpu") + count
        + extra + b"tQ"
    )  # fmt: skip


def tensor(size: object = (4,), stride: object = (1,), offset: int = 0, stored: bytes | None = None) -> bytes:
    """The opcodes of a tensor of four floats."""
    values = [dumps(v, 2)[2:-1] for v in (offset, size, stride)]
    rebuilt = b"ctorch._utils\n_rebuild_tensor_v2\n(" + (storage() if stored is None else stored) + b"".join(values)
    return rebuilt + b"\x89ccollections\nOrderedDict\n)RtR"


def state(*tensors: bytes) -> bytes:
    """The pickle of {"w0": ..., "w1": ...}."""
    items = b"".join(short_text(f"w{i}") + t for i, t in enumerate(tensors))
    return b"\x80\x02}(" + items + b"u."


FOUR = struct.pack("<4f", 1, 2, 3, 4)


def zipped(pickled: bytes, data: dict[str, bytes] | None = None, root: str = "archive", **others: bytes) -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w") as made:
        warnings.simplefilter("ignore")  # of names that are there twice
        made.writestr(f"{root}/data.pkl", pickled)
        for name, content in {**({"data/0": FOUR} if data is None else data), "version": b"3\n", **others}.items():
            made.writestr(f"{root}/{name}", content)
    return file.getvalue()


def legacy(pickled: bytes, keys: object = ("0",), stored: bytes | None = None, **changes: Any) -> bytes:
    numbers = struct.pack("<q", 4) + FOUR if stored is None else stored
    system = changes.get("system", SYSTEM)
    listed = list(keys) if type(keys) is tuple else keys
    head = [changes.get("magic", MAGIC), changes.get("version", 1001), system]
    return b"".join([*(dumps(v, 2) for v in head), pickled, dumps(listed, 2), numbers])


def refuse(data: bytes, tmp_path: Path, message: str = ".") -> CheckpointError:
    """Both doors refuse the file, in a sentence."""
    path = tmp_path / "x.pt"
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=message) as caught:
        read_checkpoint(path)
    assert len(str(caught.value)) < 900 and str(caught.value).isprintable()
    return caught.value
