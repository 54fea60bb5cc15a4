"""Compile the kernels of boxseg.crf for an H100, which need not be there, and print what came out of each.

Not in Triton's interpreter: TRITON_INTERPRET must not be set.
"""

from __future__ import annotations

import sys

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from boxseg.crf import gpu_kernels

TYPES: dict[str, str | tuple[str, ...]] = {
    "q": "*fp32",
    "entries": ("*i32", "*fp32", "*i32"),
    "values": "*fp32",
    "long": "*i64",
    "after": "*i32",
    "heads": "*i32",
    "result": ("*fp32", "*fp32"),
    "unary": ("*fp32", "*fp32"),
    "lattice": ("*fp32", "*i32", "*fp32"),
}
"""Types of the arguments that are no counts; constants have names in capitals."""


def main() -> None:
    """Compile each kernel for few and many channels; for few, for very many and for a single row."""
    for channels, rows, count in ((1, 128, "i32"), (24, 32, "i32"), (2, 128, "i64"), (4, 128, "constexpr")):
        constants = {"STRIDE": channels, "BLOCK": rows, "SHORT": 32, "ENTRIES": 9, "DIFFERENCE": 1}
        for name in ("splat", "splat_long", "blur", "slice_softmax"):
            kernel = getattr(gpu_kernels, name)
            signature = {a: "constexpr" if a.isupper() else TYPES.get(a, count) for a in kernel.arg_names}
            # Triton makes an argument of 1 a constant.
            constexprs = {a: constants.get(a, 1) for a, kind in signature.items() if kind == "constexpr"}
            source = ASTSource(fn=kernel, signature=signature, constexprs=constexprs)
            compiled = triton.compile(source, target=GPUTarget("cuda", 90, 32))
            sys.stdout.write(f"{name} {channels} {count}: {' '.join(compiled.asm)}\n")


if __name__ == "__main__":
    main()
