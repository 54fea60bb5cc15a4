"""Dense conditional random fields: sharpen the class probabilities of an image along its edges.

Stands alone: needs NumPy and torch, nothing else of boxseg.
"""

from __future__ import annotations

from boxseg.crf.densecrf import DenseCRF
from boxseg.crf.kernels import Bilateral, Features, Gaussian
from boxseg.crf.prepared import PreparedImage

__all__ = ["Bilateral", "DenseCRF", "Features", "Gaussian", "PreparedImage"]
