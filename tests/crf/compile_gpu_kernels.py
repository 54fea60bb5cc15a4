"""Compile the kernels of boxseg.crf for an H100, which need not be there, and print what came out of each.

Not in Triton's interpreter: TRITON_INTERPRET must not be set.
"""

from __future__ import annotations

import sys

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from boxseg.crf import gpu_kernels

POINTERS = {
    "splat": ["q", "strengths", "values"],
    "splat_long": ["q", "strengths", "values"],
    "blur": ["values"],
    "slice_softmax": ["values", "weights", "ratio", "share", "q", "rest"],
}
INDICES = ["sources", "starts", "after", "heads"]


def types(name: str, arguments: list[str], count: str) -> dict[str, str]:
    """Type of each argument of a kernel."""
    found = {}
    for argument in arguments:
        if argument.isupper():
            found[argument] = "constexpr"
        elif argument in POINTERS[name]:
            found[argument] = "*fp32"
        elif argument in INDICES or (name, argument) == ("slice_softmax", "points"):
            found[argument] = "*i32"
        else:
            found[argument] = "*i64" if argument == "long" else count
    return found


def main() -> None:
    """Compile each kernel for few and many channels; for few, for very many and for a single row."""
    for channels, width, count in ((1, 1, "i32"), (24, 32, "i32"), (2, 2, "i64"), (4, 4, "constexpr")):
        constants = {"STRIDE": channels, "BLOCK_C": width, "BLOCK": min(1024 // width, 128)}
        constants |= {"SHORT": 32, "ENTRIES": 9, "DIFFERENCE": 1}
        for name in POINTERS:
            kernel = getattr(gpu_kernels, name)
            signature = types(name, kernel.arg_names, count)
            # Triton makes an argument of 1 a constant.
            constexprs = {a: constants.get(a, 1) for a, kind in signature.items() if kind == "constexpr"}
            source = ASTSource(fn=kernel, signature=signature, constexprs=constexprs)
            compiled = triton.compile(source, target=GPUTarget("cuda", 90, 32))
            sys.stdout.write(f"{name} {channels} {count}: {' '.join(compiled.asm)}\n")


if __name__ == "__main__":
    main()
