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
INDICES = ["sources", "starts", "after", "heads", "long"]


def types(name: str, arguments: list[str], constants: dict[str, int]) -> dict[str, str]:
    """Type of each argument of a kernel."""
    found = {}
    for argument in arguments:
        if argument in constants:
            found[argument] = "constexpr"
        elif argument in POINTERS[name]:
            found[argument] = "*fp32"
        elif argument in INDICES or (name, argument) == ("slice_softmax", "points"):
            found[argument] = "*i32"
        else:
            found[argument] = "i32"
    return found


def main() -> None:
    """Compile each kernel for rows of 1, 2 and 24 channels."""
    for channels, width in ((1, 1), (2, 2), (24, 32)):
        constants = {"STRIDE": channels, "BLOCK_C": width, "BLOCK": min(1024 // width, 128)}
        constants |= {"SHORT": 32, "ENTRIES": 9, "DIFFERENCE": 1}
        for name in POINTERS:
            kernel = getattr(gpu_kernels, name)
            source = ASTSource(
                fn=kernel,
                signature=types(name, kernel.arg_names, constants),
                constexprs={k: v for k, v in constants.items() if k in kernel.arg_names},
            )
            compiled = triton.compile(source, target=GPUTarget("cuda", 90, 32))
            sys.stdout.write(f"{name} {channels}: {' '.join(compiled.asm)}\n")


if __name__ == "__main__":
    main()
