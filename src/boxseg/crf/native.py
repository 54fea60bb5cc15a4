"""The fast path on the CPU: the C++ code of cpp/, through ctypes.

Its interface is plain C, so it depends on no version of Python, NumPy or torch.
"""

from __future__ import annotations

import ctypes
import functools
import warnings
import weakref
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from boxseg.crf.embedding import axis_scales
from boxseg.crf.kernels import Features, Kernel
from boxseg.crf.meanfield import Settings

LIBRARY_VERSION = 2
NO_MEMORY, KEYS_TOO_WIDE = 1, 2
MOST_KERNELS = 8


class _Kernel(ctypes.Structure):
    """CrfKernel of cpp/engine.h."""

    _fields_ = (
        ("dimensions", ctypes.c_int32),
        ("weight", ctypes.c_float),
        ("scales", ctypes.c_void_p),
        ("features", ctypes.c_void_p),
    )


@functools.cache
def library() -> ctypes.CDLL | None:
    """The compiled library; None, with one warning, if it is missing or of another version."""
    for folder in _folders():
        for suffix in (".so", ".dylib", ".dll"):
            if (file := folder / f"_crf{suffix}").is_file():
                lib = ctypes.CDLL(str(file))
                if hasattr(lib, "crf_version") and lib.crf_version() == LIBRARY_VERSION:
                    return _declared(lib)
    warnings.warn(
        "boxseg was installed without its compiled CRF, or with one of another version, and uses torch, "
        "many times slower: install GCC or Clang and reinstall boxseg",
        RuntimeWarning,
        stacklevel=2,
    )
    return None


def levels() -> list[str]:
    """Instruction sets that the library can use on this processor, the slowest first."""
    lib = library()
    return [lib.crf_level_name(i).decode() for i in range(lib.crf_levels())] if lib else []


class Engine:
    """Working memory and the lattices of the last image. Serves one thread at a time.

    Args:
        level: Instruction set, an index into `levels()`; the fastest by default. All give the same bits.
    """

    def __init__(self, level: int = -1) -> None:
        lib = library()
        assert lib is not None
        self._lib = lib
        self._handle = lib.crf_create(range(lib.crf_levels())[level])
        if not self._handle:
            raise MemoryError("no memory for the CRF")
        weakref.finalize(self, lib.crf_destroy, self._handle)

    def __reduce__(self) -> tuple[type[Engine], tuple[()]]:
        # Handles mean nothing in another process: a copy starts empty.
        return Engine, ()

    def build(self, image: Tensor, kernels: Sequence[Kernel]) -> bool:
        """Build the lattices of an image (H, W, 3) uint8; False if the compiled code cannot.

        It takes keys of up to 64 bits and up to eight kernels.

        Raises:
            MemoryError: Memory ran out.
        """
        if len(kernels) > MOST_KERNELS:
            return False
        image = image.contiguous()
        # The compiled code makes positions and colours itself, counted from the image's own first pixel.
        given = [isinstance(k, Features) or k.origin != (0, 0) for k in kernels]
        features = [
            k.features(image).T.contiguous() if own else None for k, own in zip(kernels, given, strict=True)
        ]
        scales = [np.array([*k.sigmas, *axis_scales(len(k.sigmas))], dtype=np.float32) for k in kernels]
        described = (_Kernel * len(kernels))(
            *(
                _Kernel(len(k.sigmas), k.weight, s.ctypes.data, None if f is None else f.data_ptr())
                for k, s, f in zip(kernels, scales, features, strict=True)
            )
        )
        height, width = image.shape[:2]
        status = self._lib.crf_build(self._handle, image.data_ptr(), height, width, described, len(kernels))
        return _succeeded(status)

    def infer(self, scores: Tensor, settings: Settings, out: Tensor) -> None:
        """Write marginals Q (C, N) of the last `build`'s image to `out`; absent classes are computed as one.

        The probabilities (C, N) and `out` are float32 and contiguous.

        Raises:
            MemoryError: Memory ran out.
        """
        computed, merged = settings.to_compute(scores)
        others = [c for c in range(len(scores)) if c not in set(computed)]
        plane = (ctypes.c_int32 * len(scores))(*computed, *others)
        matrix = None
        if settings.compatibility is not None:
            matrix = np.array(settings.compatibility, dtype=np.float32)
        status = self._lib.crf_infer(
            self._handle,
            scores.data_ptr(),
            out.data_ptr(),
            plane,
            len(computed),
            merged,
            None if matrix is None else matrix.ctypes.data,
            settings.clip,
            settings.iterations,
        )
        _succeeded(status)


def usable(scores: Sequence[Tensor]) -> bool:
    """Whether the fast path can take these probabilities: on the CPU, and no gradient asked for."""
    if any(s.device.type != "cpu" or (s.requires_grad and torch.is_grad_enabled()) for s in scores):
        return False
    return library() is not None


def _succeeded(status: int) -> bool:
    if status == NO_MEMORY:
        raise MemoryError("not enough memory for the CRF of this image: make the image smaller")
    return status != KEYS_TOO_WIDE


def _folders() -> list[Path]:
    """Where the library may be: in an editable installation it is not beside this file."""
    import boxseg.crf

    return [Path(folder) for folder in boxseg.crf.__path__]


def _declared(lib: ctypes.CDLL) -> ctypes.CDLL:
    pointer, integer, size = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64
    lib.crf_levels.argtypes, lib.crf_levels.restype = [], integer
    lib.crf_level_name.argtypes, lib.crf_level_name.restype = [integer], ctypes.c_char_p
    lib.crf_create.argtypes, lib.crf_create.restype = [integer], pointer
    lib.crf_destroy.argtypes, lib.crf_destroy.restype = [pointer], None
    lib.crf_build.argtypes = [pointer, pointer, size, size, pointer, integer]
    lib.crf_build.restype = integer
    arrays, counts = [pointer] * 4, [integer] * 2
    lib.crf_infer.argtypes = [*arrays, *counts, pointer, ctypes.c_float, integer]
    lib.crf_infer.restype = integer
    return lib
