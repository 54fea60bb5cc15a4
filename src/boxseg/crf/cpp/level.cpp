// The compiled CRF for one instruction set.
//
// This file is compiled once for each (CRF_ISA = base, avx2, ...) with -ffp-contract=off. No step is fused or reordered
// between instruction sets, so that all of them give the same bits, and the embedding those of embedding.py.
//
// What makes it fast: pixels in 16x16 tiles and lattice points numbered by first touch, so that what is used together
// lies together; one pass over the pixels an iteration (slice, softmax, splat a block at a time), which for some
// iterations leaves out blocks of pixels that are all but certain; the blur in place along chains of neighbours, points
// without neighbours left out; one channel less than classes, as each carries the difference to the last class; the
// norms folded into the barycentric weights; lattices of positions made once a size (crf.cpp).

#include "building.h"
#include "meanfield.h"

#define CRF_JOIN_(a, b) a##b
#define CRF_JOIN(a, b) CRF_JOIN_(a, b)

namespace {

template <int D_, class Key>
void fill(Engine& g, Lattice& lattice, Source& from, const Packing& packing) {
    g.take_turns();
    number_points<D_, Key>(g, lattice, from, packing);
    link_points<Key>(g, lattice, packing);
    g.take_turns();
    normalise<D_>(g, lattice);
}

template <int D_>
void fill(Engine& g, Lattice& lattice, Source& from, const Packing& packing) {
    if (packing.bits > 32)
        fill<D_, uint64_t>(g, lattice, from, packing);
    else
        fill<D_, uint32_t>(g, lattice, from, packing);
}

bool build_lattice(Engine& g, const uint8_t* image, const CrfKernel& kernel, Lattice& lattice) {
    const int d = kernel.dimensions;
    float low[MAX_D] = {}, high[MAX_D] = {}, colour[3 * 256];
    for (int i = 0; i < d; ++i) {
        if (kernel.features) {
            for (int64_t p = 0; p < g.n; ++p) {
                const float v = kernel.features[i * g.n + p];
                if (v < low[i]) low[i] = v;
                if (v > high[i]) high[i] = v;
            }
            continue;
        }
        high[i] = float(i == 0 ? g.width - 1 : i == 1 ? g.height - 1 : 255) / kernel.scales[i];
        for (int v = 0; i > 1 && v < 256; ++v) colour[(i - 2) * 256 + v] = float(v) / kernel.scales[i];
    }
    Packing packing;
    if (!pack(d, low, high, kernel.scales + d, packing)) return false;
    Source from{image, kernel, colour, {g.width, g.height}};
    lattice.d = d, lattice.first = g.size, lattice.weight = kernel.weight;
    lattice.shrink = float(1 / (1 + std::pow(2.0, -d)));
    if (d == 2)
        fill<2>(g, lattice, from, packing);
    else if (d == 5)
        fill<5>(g, lattice, from, packing);
    else
        fill<0>(g, lattice, from, packing);
    return true;
}

}  // namespace

bool CRF_JOIN(crf_lattice_, CRF_ISA)(void* engine, const uint8_t* image, const CrfKernel* kernel, void* lattice) {
    return build_lattice(*static_cast<Engine*>(engine), image, *kernel, *static_cast<Lattice*>(lattice));
}

void CRF_JOIN(crf_infer_, CRF_ISA)(
    void* engine, const float* scores, float* q, const int32_t* plane, int computed, int absent,
    const float* matrix, float clip, int iterations) {
    Engine& g = *static_cast<Engine*>(engine);
    const float limit = 80 + std::log(clip);
    const int channels = matrix ? computed : computed - 1;
    Panel* panel = g.panels.reserve(size_t(computed) / 16 + 4);
    Task t{scores, q, plane, channels, matrix ? 0 : absent, matrix, clip, limit, 0, 0, panel};
    divide_channels(t);
    const int first = g.kernels > 0 ? g.lattice[0]->d : 0, second = g.kernels > 1 ? g.lattice[1]->d : 0;
    if (first == 2 && second == 5)
        mean_field<2, 5>(g, t, iterations);
    else if (first == 2)
        mean_field<2, 0>(g, t, iterations);
    else if (first == 5)
        mean_field<5, 0>(g, t, iterations);
    else
        mean_field<0, 0>(g, t, iterations);
}
