"""The processor's prefetch for compiled loops: it starts to load what a loop will read some rounds later.

Neighbours lie anywhere in memory, and a loop that works long on one reaches the next too late to load it in time.
A prefetch changes no result; one of an address that is not mapped is ignored.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

_BYTE = ir.PointerType(ir.IntType(8))
_FLAG = ir.IntType(32)


@intrinsic  # type: ignore[untyped-decorator]
def prefetch(typing_context: Any, array: Any, row: Any) -> Any:
    """``prefetch(array, row)`` within a compiled function: load the first cache line of a row for reading."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        made = context.make_array(signature.args[0])(context, builder, arguments[0])
        offset = builder.mul(arguments[1], cgutils.unpack_tuple(builder, made.strides)[0])
        address = builder.gep(builder.bitcast(made.data, _BYTE), [offset])
        kind = ir.FunctionType(ir.VoidType(), [_BYTE, _FLAG, _FLAG, _FLAG])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(function, [address, _FLAG(0), _FLAG(3), _FLAG(1)])  # to read, to keep, data
        return context.get_dummy_value()

    return types.void(array, types.intp), generate
