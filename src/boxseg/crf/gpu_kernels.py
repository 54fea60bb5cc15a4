"""Mean field on lattices as Triton kernels: splat, blur, slice with softmax.

No atomics: one program computes each sum in a fixed order, so that a batch gives the same bits each time. Rows
(of Q, of values at lattice points) have STRIDE channels, in blocks of the next power of two, BLOCK_C. Offsets
are 64-bit: a batch may have more than 2³¹ numbers. Tensors that belong together are one argument, a tuple.
"""

import triton
import triton.language as tl

if tuple(int(number) for number in triton.__version__.split(".")[:2]) < (3, 3):
    raise ImportError(f"Triton {triton.__version__} passes no tuples to kernels; 3.3, that of torch 2.7, does")


@triton.jit
def splat(
    q,
    entries,
    values,
    points,
    SHORT: tl.constexpr,
    STRIDE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Values (points, STRIDE): sums of rows of q, each times its strength, for points of up to SHORT rows.

    `entries` is (sources, strengths, starts): point p sums the rows sources[starts[p] : starts[p + 1]].
    """
    BLOCK_C: tl.constexpr = triton.next_power_of_2(STRIDE)
    sources, strengths, starts = entries
    point = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    channel = tl.arange(0, BLOCK_C)[None, :]
    start = tl.load(starts + point, mask=point < points, other=0)
    length = tl.load(starts + point + 1, mask=point < points, other=0) - start
    mine = (point < points) & (length <= SHORT)
    length = tl.where(mine, length, 0)
    total = tl.zeros((BLOCK, BLOCK_C), tl.float32)
    for i in range(tl.max(length, axis=0)):
        held = i < length
        source = tl.load(sources + start + i, mask=held, other=0).to(tl.int64)
        strength = tl.load(strengths + start + i, mask=held, other=0.0)
        mask = held[:, None] & (channel < STRIDE)
        total += strength[:, None] * tl.load(q + source[:, None] * STRIDE + channel, mask=mask, other=0.0)
    tl.store(values + point[:, None] * STRIDE + channel, total, mask=mine[:, None] & (channel < STRIDE))


@triton.jit
def splat_long(q, entries, values, long, STRIDE: tl.constexpr, BLOCK: tl.constexpr):
    """What `splat` leaves out: one program for each of the points listed in `long`."""
    BLOCK_C: tl.constexpr = triton.next_power_of_2(STRIDE)
    sources, strengths, starts = entries
    point = tl.load(long + tl.program_id(0)).to(tl.int64)
    channel = tl.arange(0, BLOCK_C)[None, :]
    end = tl.load(starts + point + 1)
    total = tl.zeros((BLOCK, BLOCK_C), tl.float32)
    for first in range(tl.load(starts + point), end, BLOCK):
        place = first + tl.arange(0, BLOCK)
        source = tl.load(sources + place, mask=place < end, other=0).to(tl.int64)
        strength = tl.load(strengths + place, mask=place < end, other=0.0)
        mask = (place < end)[:, None] & (channel < STRIDE)
        total += strength[:, None] * tl.load(q + source[:, None] * STRIDE + channel, mask=mask, other=0.0)
    whole = tl.sum(total, axis=0)
    channel = tl.arange(0, BLOCK_C)
    tl.store(values + point * STRIDE + channel, whole, mask=channel < STRIDE)


@triton.jit
def blur(values, after, heads, chains, STRIDE: tl.constexpr, BLOCK: tl.constexpr):
    """Convolve with (½, 1, ½) along one axis, in place.

    A chain is a point without a neighbour before it, its neighbour `after` it, and so on until −1. A program
    walks whole chains and keeps the values it overwrites; points without a neighbour are not touched.
    """
    BLOCK_C: tl.constexpr = triton.next_power_of_2(STRIDE)
    chain = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    channel = tl.arange(0, BLOCK_C)[None, :]
    point = tl.load(heads + chain, mask=chain < chains, other=-1).to(tl.int64)
    mask = (point >= 0)[:, None] & (channel < STRIDE)
    here = tl.load(values + point[:, None] * STRIDE + channel, mask=mask, other=0.0)
    before = tl.zeros((BLOCK, BLOCK_C), tl.float32)
    while tl.max(point, axis=0) >= 0:
        following = tl.load(after + point, mask=point >= 0, other=-1).to(tl.int64)
        mask = (following >= 0)[:, None] & (channel < STRIDE)
        there = tl.load(values + following[:, None] * STRIDE + channel, mask=mask, other=0.0)
        mask = (point >= 0)[:, None] & (channel < STRIDE)
        tl.store(values + point[:, None] * STRIDE + channel, here + 0.5 * (before + there), mask=mask)
        before = here
        here = there
        point = following


@triton.jit
def slice_softmax(
    result,
    unary,
    lattice,
    pixels,
    ENTRIES: tl.constexpr,
    DIFFERENCE: tl.constexpr,
    STRIDE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Q of the classes (pixels, STRIDE), and of the last class (pixels,), whose logit is 0: (q, rest).

    `unary` is (ratio, share), `lattice` (values, points, weights). The logits are `ratio` plus the values at
    ENTRIES points, (ENTRIES, pixels), times their weights. The last class stands for 1 / share classes and gets
    that share of its probability. With DIFFERENCE only Q of the classes minus that of the last is written.
    """
    BLOCK_C: tl.constexpr = triton.next_power_of_2(STRIDE)
    q, rest = result
    ratio, share = unary
    values, points, weights = lattice
    pixel = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = pixel < pixels
    channel = tl.arange(0, BLOCK_C)[None, :]
    mask = inside[:, None] & (channel < STRIDE)
    own = pixel[:, None] * STRIDE + channel
    logits = tl.load(ratio + own, mask=mask, other=float("-inf"))
    place = pixel
    for _ in tl.static_range(ENTRIES):
        point = tl.load(points + place, mask=inside, other=0).to(tl.int64)
        weight = tl.load(weights + place, mask=inside, other=0.0)
        logits += weight[:, None] * tl.load(values + point[:, None] * STRIDE + channel, mask=mask, other=0.0)
        place += pixels
    peak = tl.maximum(tl.max(logits, axis=1), 0.0)
    odds = tl.exp(logits - peak[:, None])
    last = tl.exp(-peak)
    total = tl.sum(odds, axis=1) + last
    last = last / total * tl.load(share + pixel, mask=inside, other=1.0)
    result = odds / total[:, None]
    if DIFFERENCE:
        tl.store(q + own, result - last[:, None], mask=mask)
    else:
        tl.store(q + own, result, mask=mask)
        tl.store(rest + pixel, last, mask=inside)
