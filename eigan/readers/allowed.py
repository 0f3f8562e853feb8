"""The weights allow-list: every global that a checkpoint pickle may name, and the audited function that answers.

Stand-ins of our own answer for the file's functions and classes; none of them imports, evaluates or looks anything up,
and each takes only the argument types that genuine files give it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from eigan.errors import UnsafeCheckpoint
from eigan.readers.stored import LongBytes, LongText, NumpyArray, NumpyType, Record, Storage, StoredTensor
from eigan.readers.torch_stream import STORAGE_TYPES, read_storage
from eigan.readers.unpickler import Allowed, Audited, check_key, kind_of

NUMPY_CORES = ("numpy.core.multiarray", "numpy._core.multiarray")  # before and since NumPy 2
NUMPY_BUFFERS = ("numpy.core.numeric", "numpy._core.numeric")


def refuse(name: str, args: tuple[Any, ...]) -> UnsafeCheckpoint:
    kinds = ", ".join(kind_of(a) for a in args[:8])
    return UnsafeCheckpoint(f"refused {name}({kinds}): no genuine checkpoint calls it so; nothing in the file was run")


def make_dict(args: tuple[Any, ...]) -> dict[str | int, Any]:
    """`OrderedDict()`, `OrderedDict([(key, value), ...])`, `EasyDict()`: a plain dict."""
    match args:
        case ():
            return {}
        case (list(pairs),) if all(type(p) in (list, tuple) and len(p) == 2 for p in pairs):
            return {check_key(key): value for key, value in pairs}
    raise refuse("collections.OrderedDict", args)


def make_set(args: tuple[Any, ...]) -> set[str | int]:
    match args:
        case (list(items),):
            return {check_key(item) for item in items}
        case ():
            return set()
    raise refuse("builtins.set", args)


def make_bytes(args: tuple[Any, ...]) -> bytes:
    """`bytes()`: how protocols 0-2 write b''."""
    if args:
        raise refuse("builtins.bytes", args)
    return b""


def encode(args: tuple[Any, ...]) -> bytes | LongBytes:
    """`_codecs.encode(text, "latin1")`: how protocols 0-2 write bytes."""
    match args:
        case (str(text), "latin1" | "latin-1"):
            return text.encode("latin-1")
        case (LongText() as text, "latin1" | "latin-1"):
            return LongBytes(text.file, text.offset, text.length, text.head, as_text=True)
    raise refuse("_codecs.encode", args)


def rebuild_dict(args: tuple[Any, ...]) -> dict[str | int, Any]:
    """`copyreg._reconstructor(EasyDict, dict, items)`: how protocols 0 and 1 write a dict's subclass."""
    match args:
        case (Audited(name="dnnlib.util.EasyDict"), Audited(name="builtins.dict"), dict(items)):
            return dict(items)
    raise refuse("copyreg._reconstructor", args)


def load_from_bytes(args: tuple[Any, ...]) -> Storage:
    match args:
        case (bytes() | LongBytes() as data,):
            return read_storage(data)
    raise refuse("torch.storage._load_from_bytes", args)


def rebuild_tensor(args: tuple[Any, ...]) -> StoredTensor:
    """`_rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks)`."""
    match args:
        case (Storage() as storage, int(offset), tuple(size), tuple(stride), bool(), dict()) if type(
            offset
        ) is int and all(type(n) is int for n in (*size[:64], *stride[:64])):
            return StoredTensor(storage, offset, size, stride)
    raise refuse("torch._utils._rebuild_tensor_v2", args)


def rebuild_old_tensor(args: tuple[Any, ...]) -> StoredTensor:
    """`_rebuild_tensor(storage, offset, size, stride)`: before PyTorch 0.4."""
    if len(args) != 4:
        raise refuse("torch._utils._rebuild_tensor", args)
    return rebuild_tensor((*args, False, {}))


def rebuild_parameter(args: tuple[Any, ...]) -> StoredTensor:
    match args:
        case (StoredTensor() as tensor, bool(), dict()):
            return tensor
    raise refuse("torch._utils._rebuild_parameter", args)


def rebuild_object(args: tuple[Any, ...]) -> Record:
    """`_reconstruct_persistent_obj(meta)`: the object's class name and attributes; its source is dropped unread."""
    match args:
        case ({"type": "class", "class_name": str(class_name), "state": dict(state)},):
            return Record(class_name, state)
    raise refuse("torch_utils.persistence._reconstruct_persistent_obj", args)


def numpy_type(args: tuple[Any, ...]) -> NumpyType:
    if not 1 <= len(args) <= 3:
        raise refuse("numpy.dtype", args)
    return NumpyType(args[0])


def numpy_scalar(args: tuple[Any, ...]) -> int | float | bool:
    """A NumPy scalar as Python's own number."""
    match args:
        case (NumpyType() as kind, bytes(data)) if len(data) == kind.dtype.itemsize:
            return np.frombuffer(data, kind.dtype)[0].item()  # type: ignore[no-any-return]
    raise refuse("numpy.core.multiarray.scalar", args)


def numpy_array(args: tuple[Any, ...]) -> NumpyArray:
    match args:
        case (Audited(name="numpy.ndarray"), (0,), b"b" | "b"):
            return NumpyArray()
    raise refuse("numpy.core.multiarray._reconstruct", args)


def numpy_from_buffer(args: tuple[Any, ...]) -> NumpyArray:
    """`_frombuffer(bytes, dtype, shape, order)`: how protocol 5 writes an array that lies in one piece."""
    match args:
        case (bytes() | LongBytes() as data, NumpyType() as kind, tuple(shape), "C" | "F" as order):
            array = NumpyArray()
            array.build((1, shape, kind, order == "F", data))
            return array
    raise refuse("numpy.core.numeric._frombuffer", args)


def named_only(name: str) -> Audited:
    """A class that genuine files name as an argument and never call."""

    def call(args: tuple[Any, ...]) -> Any:
        raise refuse(name, args)

    return Audited(name, call)


def record_of(name: str) -> Audited:
    """A class whose objects hold settings: its instances are inert Records."""

    def call(args: tuple[Any, ...]) -> Record:
        if args:
            raise refuse(name, args)
        return Record(name, {})

    return Audited(name, call)


def make_counter(args: tuple[Any, ...]) -> dict[str | int, Any]:
    """`collections.Counter({...})`, a learning-rate schedule's milestones: a plain dict."""
    match args:
        case ():
            return {}
        case (dict(counts),):
            return dict(counts)
    raise refuse("collections.Counter", args)


def make_default_dict(args: tuple[Any, ...]) -> dict[str | int, Any]:
    """`collections.defaultdict(dict)`, an optimizer's state: a plain dict."""
    match args:
        case () | (None,) | (Audited(name="builtins.dict" | "builtins.list"),):
            return {}
    raise refuse("collections.defaultdict", args)


def make_size(args: tuple[Any, ...]) -> tuple[int, ...]:
    match args:
        case (list(sizes) | tuple(sizes),) if all(type(n) is int for n in sizes):
            return tuple(sizes)
    raise refuse("torch.Size", args)


def make_device(args: tuple[Any, ...]) -> str:
    match args:
        case (str(kind),):
            return kind
        case (str(kind), int(index)):
            return f"{kind}:{index}"
    raise refuse("torch.device", args)


SHARED: Allowed = {
    ("collections", "OrderedDict"): Audited("collections.OrderedDict", make_dict),
    ("_codecs", "encode"): Audited("_codecs.encode", encode),
    ("torch._utils", "_rebuild_tensor_v2"): Audited("torch._utils._rebuild_tensor_v2", rebuild_tensor, cost=4),
    ("torch._utils", "_rebuild_parameter"): Audited("torch._utils._rebuild_parameter", rebuild_parameter),
    ("numpy", "dtype"): Audited("numpy.dtype", numpy_type),
    ("numpy", "ndarray"): named_only("numpy.ndarray"),
    **{(core, "scalar"): Audited("numpy.scalar", numpy_scalar, cost=4) for core in NUMPY_CORES},
    **{(core, "_reconstruct"): Audited("numpy._reconstruct", numpy_array, cost=4) for core in NUMPY_CORES},
    **{(core, "_frombuffer"): Audited("numpy._frombuffer", numpy_from_buffer, cost=4) for core in NUMPY_BUFFERS},
    **{(m, "set"): Audited("builtins.set", make_set) for m in ("builtins", "__builtin__")},
    **{(m, "bytes"): Audited("builtins.bytes", make_bytes) for m in ("builtins", "__builtin__")},
    **{(m, "dict"): named_only("builtins.dict") for m in ("builtins", "__builtin__")},
}
NVIDIA: Allowed = {
    **SHARED,
    ("dnnlib.util", "EasyDict"): Audited("dnnlib.util.EasyDict", make_dict),
    ("torch.storage", "_load_from_bytes"): Audited("torch.storage._load_from_bytes", load_from_bytes, cost=100),
    ("torch_utils.persistence", "_reconstruct_persistent_obj"): Audited("a persistent object", rebuild_object),
    **{(m, "_reconstructor"): Audited("copyreg._reconstructor", rebuild_dict) for m in ("copyreg", "copy_reg")},
}
TORCH: Allowed = {
    **SHARED,
    **STORAGE_TYPES,
    ("torch._utils", "_rebuild_tensor"): Audited("torch._utils._rebuild_tensor", rebuild_old_tensor, cost=4),
    ("torch", "Size"): Audited("torch.Size", make_size),
    ("torch", "device"): Audited("torch.device", make_device),
    **{("torch", kind): named_only(f"torch.{kind}") for kind in ("float16", "bfloat16", "float32", "float64")},
    ("collections", "Counter"): Audited("collections.Counter", make_counter),
    ("collections", "defaultdict"): Audited("collections.defaultdict", make_default_dict),
    **{(m, "list"): named_only("builtins.list") for m in ("builtins", "__builtin__")},
    ("easydict", "EasyDict"): Audited("easydict.EasyDict", make_dict),
    ("argparse", "Namespace"): record_of("argparse.Namespace"),
    ("models.utils.config", "BaseConfig"): record_of("models.utils.config.BaseConfig"),
}
