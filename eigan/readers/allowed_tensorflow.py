"""The allow-list of TensorFlow-era pickles: a network that is data, NumPy arrays, and plain containers."""

from __future__ import annotations

from typing import Any

from eigan.readers.allowed import (
    NUMPY_BUFFERS,
    NUMPY_CORES,
    encode,
    make_bytes,
    make_dict,
    named_only,
    numpy_array,
    numpy_from_buffer,
    numpy_scalar,
    numpy_type,
    rebuild_dict,
    record_of,
)
from eigan.readers.unpickler import Allowed, Audited

MODULE = "dnnlib.tflib.network"
NETWORK = f"{MODULE}.Network"


network = record_of(NETWORK)  # inert; its attributes follow as its state


def rebuild(args: tuple[Any, ...]) -> Any:
    """`copyreg._reconstructor(class, base, state)`: how protocols 0 and 1 make an instance."""
    match args:
        case (Audited(name="dnnlib.tflib.network.Network"), Audited(name="builtins.object"), None):
            return network.call(())
    return rebuild_dict(args)


TENSORFLOW: Allowed = {
    (MODULE, "Network"): network,
    ("collections", "OrderedDict"): Audited("collections.OrderedDict", make_dict),
    ("dnnlib.util", "EasyDict"): Audited("dnnlib.util.EasyDict", make_dict),
    ("_codecs", "encode"): Audited("_codecs.encode", encode),
    ("numpy", "dtype"): Audited("numpy.dtype", numpy_type),
    ("numpy", "ndarray"): named_only("numpy.ndarray"),
    **{(core, "scalar"): Audited("numpy.scalar", numpy_scalar, cost=4) for core in NUMPY_CORES},
    **{(core, "_reconstruct"): Audited("numpy._reconstruct", numpy_array, cost=4) for core in NUMPY_CORES},
    **{(core, "_frombuffer"): Audited("numpy._frombuffer", numpy_from_buffer, cost=4) for core in NUMPY_BUFFERS},
    **{(m, "bytes"): Audited("builtins.bytes", make_bytes) for m in ("builtins", "__builtin__")},
    **{(m, n): named_only(f"builtins.{n}") for m in ("builtins", "__builtin__") for n in ("dict", "object")},
    **{(m, "_reconstructor"): Audited("copyreg._reconstructor", rebuild) for m in ("copyreg", "copy_reg")},
}
