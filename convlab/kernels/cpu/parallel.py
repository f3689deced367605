"""One parallel region a call: a serial kernel's tasks, split evenly over threads.

`split(serial, total, threads, arguments)` inside a driver runs serial(start, stop, *arguments) on every
thread's contiguous share of `total` tasks, on Numba's own thread pool. Unlike a `prange` it compiles the kernel
into one module and not into four nested ones, which halves the time of a first call, and with one thread
it is a plain call. What a task computes does not depend on the split, so neither do the bits of the result.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.ufunc import parallel as numba_parallel

# Starts the pool and makes its symbols known to the linker; kernels from the disk cache need them too.
numba_parallel._launch_threads()

_WORD = ir.IntType(types.intp.bitwidth)
_BYTES = ir.IntType(8).as_pointer()
_NULL = ir.Constant(_BYTES, None)


@intrinsic
def split(typingctx: Any, serial: Any, total: Any, threads: Any, arguments: Any) -> Any:
    """Run serial(start, stop, *arguments) over all shares of `total` tasks; `arguments` is a tuple."""
    kinds = (types.intp, types.intp, *arguments.types)
    signature = serial.get_call_type(typingctx, kinds, {})

    def codegen(context: Any, builder: Any, _: Any, args: Any) -> Any:
        compiled = serial.dispatcher.get_compile_result(signature)
        library = context.active_code_library
        library.add_linking_library(compiled.library)
        tuple_type = args[3].type
        frame = ir.LiteralStructType([_WORD, _WORD, tuple_type])
        worker = _worker(context, builder.module, compiled, signature, frame, len(arguments.types))

        memory = cgutils.alloca_once(builder, frame)
        for i in (1, 2, 3):
            builder.store(args[i], cgutils.gep_inbounds(builder, memory, 0, i - 1))
        dimensions, steps = cgutils.alloca_once(builder, _WORD), cgutils.alloca_once(builder, ir.ArrayType(_WORD, 2))
        pointers = cgutils.alloca_once(builder, ir.ArrayType(_BYTES, 2))
        # The pool adds step · i to each pointer: from null in steps of 1, the pointer itself is the thread's number.
        for i, (base, step) in enumerate(((_NULL, 1), (builder.bitcast(memory, _BYTES), 0))):
            builder.store(base, cgutils.gep_inbounds(builder, pointers, 0, i))
            builder.store(_WORD(step), cgutils.gep_inbounds(builder, steps, 0, i))
        builder.store(args[2], dimensions)

        pool = cgutils.get_or_insert_function(builder.module, ir.FunctionType(_WORD, []), "get_num_threads")
        region = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(ir.VoidType(), [_BYTES] * 5 + [_WORD] * 3), "numba_parallel_for"
        )
        many = builder.icmp_signed(">", args[2], _WORD(1))
        with builder.if_else(many) as (parallel, alone):
            with parallel:
                available = builder.call(pool, [])
                fewer = builder.icmp_signed("<", args[2], available)
                parts = [builder.bitcast(p, _BYTES) for p in (worker, pointers, dimensions, steps)]
                builder.call(
                    region,
                    [*parts, _NULL, _WORD(0), _WORD(2), builder.select(fewer, args[2], available)],
                )
            with alone:
                builder.call(worker, [builder.bitcast(p, _BYTES) for p in (pointers, dimensions, steps)] + [_NULL])
        return context.get_dummy_value()

    return types.void(serial, types.intp, types.intp, arguments), codegen


def _worker(context: Any, module: Any, compiled: Any, signature: Any, frame: Any, count: int) -> ir.Function:
    """A function of the pool's type, void(args, dimensions, steps, data), that runs one thread's share."""
    function = ir.Function(
        module, ir.FunctionType(ir.VoidType(), [_BYTES] * 4), module.get_unique_name("convlab_worker")
    )
    function.linkage = "internal"
    builder = ir.IRBuilder(function.append_basic_block())
    slots = builder.bitcast(function.args[0], ir.ArrayType(_BYTES, 2).as_pointer())
    thread = builder.ptrtoint(builder.load(cgutils.gep_inbounds(builder, slots, 0, 0)), _WORD)
    where = builder.load(cgutils.gep_inbounds(builder, slots, 0, 1))
    values = builder.load(builder.bitcast(where, frame.as_pointer()))
    total, threads, arguments = (builder.extract_value(values, i) for i in range(3))
    start = builder.sdiv(builder.mul(total, thread), threads)
    stop = builder.sdiv(builder.mul(total, builder.add(thread, _WORD(1))), threads)
    callee = context.declare_function(module, compiled.fndesc)
    unpacked = [builder.extract_value(arguments, i) for i in range(count)]
    # A kernel raises nothing, so its status has nobody to go to.
    context.call_conv.call_function(builder, callee, types.none, signature.args, [start, stop, *unpacked])
    builder.ret_void()
    return function
