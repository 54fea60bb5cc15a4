// Filtering with lattices: blur, splat, slice, the norm of a kernel.
#pragma once

#include <cmath>

#include "engine.h"

#define CRF_INLINE inline __attribute__((always_inline))
#ifndef CRF_LANES
#define CRF_LANES 4  // floats in a vector of this instruction set
#endif

namespace {

template <int N>
struct Vector {
    typedef float type __attribute__((vector_size(4 * N), aligned(4), may_alias));
};
template <>
struct Vector<1> {
    typedef float type;
};

// The channels of a panel that belong to one lattice point or pixel: 1, 2, 4, 8 or 16 numbers.
template <int R>
struct Row {
    static constexpr int LANES = R < CRF_LANES ? R : CRF_LANES, PARTS = R / LANES;
    typedef typename Vector<LANES>::type V;
    V v[PARTS];

    CRF_INLINE void zero() {
        for (int i = 0; i < PARTS; ++i) v[i] = V{};
    }
    CRF_INLINE void load(const float* p) {
        for (int i = 0; i < PARTS; ++i) v[i] = *reinterpret_cast<const V*>(p + i * LANES);
    }
    CRF_INLINE void store(float* p) const {
        for (int i = 0; i < PARTS; ++i) *reinterpret_cast<V*>(p + i * LANES) = v[i];
    }
    CRF_INLINE void add(const Row& o, float w) {
        for (int i = 0; i < PARTS; ++i) v[i] += o.v[i] * w;
    }
    CRF_INLINE void shift(float w) {
        for (int i = 0; i < PARTS; ++i) v[i] += w;
    }
    CRF_INLINE void scale(float w) {
        for (int i = 0; i < PARTS; ++i) v[i] *= w;
    }
};

template <int R>
struct Width {
    static constexpr int value = R;
    constexpr operator int() const { return R; }
};

// Calls f with the width of a panel as a constant.
template <class F>
CRF_INLINE void with_width(int width, const F& f) {
    if (width == 1) f(Width<1>());
    if (width == 2) f(Width<2>());
    if (width == 4) f(Width<4>());
    if (width == 8) f(Width<8>());
    if (width == 16) f(Width<16>());
}

// (1/2, 1, 1/2) along chains of one length, a constant: all values of some chains are read, then written.
template <int R, int LENGTH, int AT_ONCE>
const uint32_t* blur_chains(const uint32_t* id, uint32_t count, float* values) {
    for (uint32_t c = 0; c + AT_ONCE <= count; c += AT_ONCE, id += LENGTH * AT_ONCE) {
        Row<R> row[AT_ONCE * LENGTH];
        for (int i = 0; i < AT_ONCE * LENGTH; ++i) row[i].load(values + id[i] * size_t(R));
        for (int i = 0; i < AT_ONCE * LENGTH; ++i) {
            Row<R> mixed = row[i], around;
            around.zero();
            if (i % LENGTH) around.add(row[i - 1], 1.f);
            if ((i + 1) % LENGTH) around.add(row[i + 1], 1.f);
            mixed.add(around, .5f);
            mixed.store(values + id[i] * size_t(R));
        }
    }
    return id;
}

// The same for a chain of any length.
template <int R>
void blur_chain(const uint32_t* id, uint32_t length, float* values) {
    Row<R> before, here, after, mixed;
    before.zero();
    here.load(values + id[0] * size_t(R));
    for (uint32_t i = 0; i + 1 < length; ++i) {
        if (R > 4) __builtin_prefetch(values + id[i + PREFETCH] * size_t(R));
        after.load(values + id[i + 1] * size_t(R));
        mixed = here;
        before.add(after, 1.f);
        mixed.add(before, .5f);
        mixed.store(values + id[i] * size_t(R));
        before = here;
        here = after;
    }
    here.add(before, .5f);
    here.store(values + id[length - 1] * size_t(R));
}

// The blur along every axis, in place: each value of a chain is read once and written once. Four of five chains have
// two to four points.
template <int R>
void blur(const Lattice& lattice, float* values) {
    for (size_t j = 0; j < lattice.group_count; ++j) {
        const Group group = lattice.groups.data[j];
        const uint32_t* id = lattice.chains.data + group.begin;
        const uint32_t* end = id + size_t(group.length) * group.count;
        if (group.length == 2) id = blur_chains<R, 2, 4>(id, group.count, values);
        if (group.length == 3) id = blur_chains<R, 3, 2>(id, group.count, values);
        if (group.length == 4) id = blur_chains<R, 4, 2>(id, group.count, values);
        for (; id < end; id += group.length) blur_chain<R>(id, group.length, values);
    }
    if (lattice.weight < 0)
        for (size_t i = lattice.first * size_t(R), last = i + lattice.size * size_t(R); i < last; ++i)
            values[i] = -values[i];
}

// The points around one pixel after another.
struct Corners {
    const uint32_t* id;
    const float* weight;

    Corners() = default;
    Corners(const Lattice& lattice, int64_t begin)
        : id(lattice.index.data + size_t(begin) * (lattice.d + 1)),
          weight(lattice.bary.data + size_t(begin) * (lattice.d + 1)) {}
    CRF_INLINE void advance(int corners) { id += corners, weight += corners; }
};

// Calls f with each kernel and the number of corners of a pixel in its lattice: constants for the first two kernels,
// where D1 and D2 are their dimensions and not 0.
template <int D1, int D2, class F>
CRF_INLINE void each_kernel(const Engine& g, const F& f) {
    if (D1) f(0, Width<D1 + 1>());
    if (D2) f(1, Width<D2 + 1>());
    for (int k = (D1 > 0) + (D2 > 0); k < g.kernels; ++k) f(k, g.lattice[k]->d + 1);
}

template <int R, int D1, int D2>
void splat(const Engine& g, int64_t begin, int count, const float* q, float* values) {
    Corners around[MAX_KERNELS];
    each_kernel<D1, D2>(g, [&](int k, auto) { around[k] = Corners(*g.lattice[k], begin); });
    for (int p = 0; p < count; ++p) {
        Row<R> row, at;
        row.load(q + p * R);
        each_kernel<D1, D2>(g, [&](int k, auto corners) {
            const Corners corner = around[k];
            for (int t = 0; t < corners; ++t) {
                float* const value = values + corner.id[t] * size_t(R);
                at.load(value);
                at.add(row, corner.weight[t]);
                at.store(value);
            }
            around[k].advance(corners);
        });
    }
}

// `soon`: what is wanted next, (count, R).
template <int R, int D1, int D2>
void slice(const Engine& g, int64_t begin, int count, float* message, const float* values, const float* soon) {
    Corners around[MAX_KERNELS];
    each_kernel<D1, D2>(g, [&](int k, auto) { around[k] = Corners(*g.lattice[k], begin); });
    for (int p = 0; p < count; ++p) {
        __builtin_prefetch(soon + p * R);
        Row<R> row, at;
        row.zero();
        each_kernel<D1, D2>(g, [&](int k, auto corners) {
            const Corners corner = around[k];
            __builtin_prefetch(corner.id + BLOCK * corners);
            __builtin_prefetch(corner.weight + BLOCK * corners);
            for (int t = 0; t < corners; ++t) {
                at.load(values + corner.id[t] * size_t(R));
                row.add(at, corner.weight[t]);
            }
            around[k].advance(corners);
        });
        row.store(message + p * R);
    }
}

// The symmetric norm of each pixel, folded with the root of the kernel's weight into the weights of its corners.
template <int D_>
void normalise(Engine& g, Lattice& lattice) {
    const int corners = (D_ ? D_ : lattice.d) + 1;
    const size_t entries = size_t(g.n) * corners;
    float* values = g.values.reserve(lattice.first + size_t(lattice.size));
    std::memset(values + lattice.first, 0, lattice.size * sizeof(float));
    for (size_t i = 0; i < entries; ++i) values[lattice.index[i]] += lattice.bary[i];
    blur<1>(lattice, values);
    const float root = std::sqrt(std::fabs(lattice.weight) * lattice.shrink);
    const uint32_t* id = lattice.index.data;
    float* weight = lattice.bary.data;
    for (int64_t begin = 0; begin < g.n; begin += FEW) {
        const int count = int(g.n - begin < FEW ? g.n - begin : FEW);
        float norm[FEW] = {};  // first of the pixel's surroundings
        for (int p = 0; p < count; ++p, id += corners)
            for (int r = 0; r < corners; ++r) norm[p] += weight[p * corners + r] * values[id[r]];
        for (float& v : norm) v = 1.f / std::sqrt(std::fabs(v) * lattice.shrink + 1e-20f) * root;
        for (int p = 0; p < count; ++p, weight += corners)
            for (int r = 0; r < corners; ++r) weight[r] *= norm[p];
    }
}

}  // namespace
