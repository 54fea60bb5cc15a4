// Building a lattice: the points around each pixel, their numbers, their neighbours.
#pragma once

#include <cmath>

#include "engine.h"

namespace {

// A lattice point as one number, linear in its coordinates: a neighbour is a constant away.
struct Packing {
    uint64_t origin;           // of the first point; all numbers lie between 0 and 2^bits
    uint64_t gain[MAX_D];      // of coordinate / (d + 1) of the remainder-0 point
    uint64_t step[MAX_D + 1];  // to the neighbour along each axis
    int bits;
};

// Digits c_0 and (c_i - c_0) / (d + 1), each with room for neighbours; false where they exceed 62 bits.
bool pack(int d, const float* low, const float* high, const float* scale, Packing& packing) {
    double total_low = 0, total_high = 0, before_low = 0, before_high = 0, room = 1;
    for (int k = 0; k < d; ++k) {
        total_low += double(low[k]) * scale[k];
        total_high += double(high[k]) * scale[k];
    }
    uint64_t digit[MAX_D], place = 1, others = 0, origin = 0;
    for (int i = 0; i < d; ++i) {
        double least = total_low, most = total_high;  // e_0
        if (i) {  // e_i - e_0 = -(sum of the steps before i) - i * step[i - 1]
            before_low += double(low[i - 1]) * scale[i - 1];
            before_high += double(high[i - 1]) * scale[i - 1];
            least = -(before_high + i * double(high[i - 1]) * scale[i - 1]) / (d + 1);
            most = -(before_low + i * double(low[i - 1]) * scale[i - 1]) / (d + 1);
        }
        const double margin = i ? 4 : 4 * (d + 1);
        least = std::floor(least - margin);
        const double radix = std::ceil(most + margin) - least + 1;
        room *= radix;
        if (!(room < 4e18)) return false;
        digit[i] = place;
        origin += place * uint64_t(int64_t(least));
        place *= uint64_t(radix);
        if (i) others += digit[i];
    }
    packing.origin = origin;
    packing.gain[0] = uint64_t(d + 1) * digit[0] - others;
    packing.step[0] = others - uint64_t(d) * digit[0];
    for (int i = 1; i < d; ++i) packing.gain[i] = digit[i], packing.step[i] = digit[0] - digit[i];
    packing.step[d] = digit[0];
    packing.bits = 1;
    while (packing.bits < 63 && (place >> packing.bits)) ++packing.bits;
    return true;
}

template <class Key>
struct Embedded {
    Key key[MAX_D + 1][FEW];
    float weight[MAX_D + 1][FEW];
};

// The points around each of FEW feature vectors. Arithmetic as in embedding.py, step by step.
template <int D_, class Key>
void embed(const float (*f)[FEW], int d, const float* scale, const Packing& packing, Embedded<Key>& out) {
    const int D = D_ ? D_ : d;
    float e[MAX_D + 1][FEW], base[MAX_D + 1][FEW], total[FEW] = {};
    int32_t rank[MAX_D + 1][FEW], quotient[MAX_D + 1][FEW], drift[FEW] = {};
    for (int j = D; j > 0; --j)
        for (int p = 0; p < FEW; ++p) {
            const float step = f[j - 1][p] * scale[j - 1];
            e[j][p] = total[p] - step * float(j);
            total[p] += step;
        }
    for (int p = 0; p < FEW; ++p) e[0][p] = total[p];
    constexpr float rounder = 12582912.f;  // adding and taking it away rounds half to even
    for (int i = 0; i <= D; ++i)
        for (int p = 0; p < FEW; ++p) {
            const float nearest = (e[i][p] / float(D + 1) + rounder) - rounder;
            quotient[i][p] = int32_t(nearest);
            drift[p] += quotient[i][p];
            base[i][p] = nearest * float(D + 1);
            rank[i][p] = 0;
        }
    for (int i = 0; i < D; ++i)
        for (int j = i + 1; j <= D; ++j)
            for (int p = 0; p < FEW; ++p) {
                const int32_t less = e[i][p] - base[i][p] < e[j][p] - base[j][p];
                rank[i][p] += less;
                rank[j][p] += 1 - less;
            }
    for (int i = 0; i <= D; ++i)
        for (int p = 0; p < FEW; ++p) {
            const int32_t moved = rank[i][p] + drift[p];
            const int32_t wrap = (moved < 0) - (moved > D);
            rank[i][p] = moved + wrap * (D + 1);
            quotient[i][p] += wrap;
            base[i][p] += float(wrap * (D + 1));
            e[i][p] = (e[i][p] - base[i][p]) / float(D + 1);
        }
    for (int p = 0; p < FEW; ++p) out.key[0][p] = Key(-packing.origin);
    for (int i = 0; i < D; ++i)
        for (int p = 0; p < FEW; ++p) out.key[0][p] += Key(quotient[i][p]) * Key(packing.gain[i]);
    float y[MAX_D + 1][FEW] = {};   // e by rank
    Key step[MAX_D + 1][FEW] = {};  // likewise to the neighbour along that axis
    for (int r = 0; r <= D; ++r)
        for (int i = 0; i <= D; ++i) {
            const Key along = Key(packing.step[i]);
            for (int p = 0; p < FEW; ++p) y[r][p] = rank[i][p] == r ? e[i][p] : y[r][p];
            for (int p = 0; p < FEW; ++p) step[r][p] = rank[i][p] == r ? along : step[r][p];
        }
    for (int p = 0; p < FEW; ++p) out.weight[0][p] = y[D][p] + (1 - y[0][p]);
    for (int r = 1; r <= D; ++r)
        for (int p = 0; p < FEW; ++p) {
            out.key[r][p] = out.key[r - 1][p] + step[D - r + 1][p];
            out.weight[r][p] = y[D - r][p] - y[D - r + 1][p];
        }
}

inline uint64_t scatter(uint64_t key) { return key * 0x9e3779b97f4a7c15u; }
inline uint64_t slot_of(const Engine& g, uint64_t key) { return scatter(key) >> g.shift; }

inline uint32_t find_or_add(Engine& g, uint64_t key, uint32_t& size) {
    for (uint64_t slot = slot_of(g, key);; slot = (slot + 1) & g.mask) {
        const Slot found = g.table.data[slot];
        if (found.id == NONE) {
            g.keys.data[size] = key;
            g.table.data[slot] = {uint32_t(key), size};
            return size++;
        }
        if (found.tag == uint32_t(key) && (!g.wide || g.keys.data[found.id] == key)) return found.id;
    }
}

void resize_table(Engine& g, int bits, uint32_t size) {
    const size_t slots = size_t(1) << bits;
    g.mask = slots - 1;
    g.shift = 64 - bits;
    std::memset(static_cast<void*>(g.table.reserve(slots)), 0xff, slots * sizeof(Slot));
    g.keys.reserve(slots / 2 + 1, size);  // the table is never more than half full
    for (uint32_t id = 0; id < size; ++id) {
        uint64_t slot = slot_of(g, g.keys[id]);
        while (g.table[slot].id != NONE) slot = (slot + 1) & g.mask;
        g.table[slot] = {uint32_t(g.keys[id]), id};
    }
}

struct Source {  // where features come from
    const uint8_t* image;
    const CrfKernel& kernel;
    const float* colour;  // (3, 256) colour / sigma
    TileWalk walk;
};

void read_features(const Engine& g, Source& from, int64_t begin, int count, float (*f)[FEW]) {
    const int d = from.kernel.dimensions;
    const uint32_t* order = g.order.data + begin;
    if (from.kernel.features) {
        for (int i = 0; i < d; ++i)
            for (int p = 0; p < count; ++p) f[i][p] = from.kernel.features[i * g.n + order[p]];
        return;
    }
    for (int p = 0; p < count; ++p, from.walk.advance()) {
        f[0][p] = float(from.walk.x);
        f[1][p] = float(from.walk.y);
        const uint8_t* pixel = from.image + 3 * size_t(order[p]);
        for (int i = 2; i < d; ++i) f[i][p] = from.colour[(i - 2) * 256 + pixel[i - 2]];
    }
    for (int i = 0; i < 2; ++i)
        for (int p = 0; p < FEW; ++p) f[i][p] /= from.kernel.scales[i];
}

// Points of a block -> index. A small table of the points seen last answers for most.
template <class Key>
struct Recent {
    static constexpr int BITS = 10;
    Point<Key> point[1 << BITS];
    struct Miss {
        Key key;
        size_t at;  // in index
    } miss[FEW * (MAX_D + 1) + 1];
    Recent() { std::memset(static_cast<void*>(point), 0xff, sizeof point); }
    Point<Key>& at(Key key) { return point[scatter(key) >> (64 - BITS)]; }
};

template <class Key>
void look_up(
    Engine& g, Lattice& lattice, Recent<Key>& recent, const Embedded<Key>& e, int d, int64_t begin, int count) {
    size_t at = size_t(begin) * (d + 1);
    int misses = 0;
    for (int p = 0; p < count; ++p, at += d + 1)
        for (int r = 0; r <= d; ++r) {
            const Key key = e.key[r][p];
            const Point<Key> seen = recent.at(key);
            lattice.bary[at + r] = e.weight[r][p];
            lattice.index[at + r] = lattice.first + seen.id;
            recent.miss[misses] = {key, at + r};
            misses += seen.key != key;
        }
    for (int m = 0; m < misses; ++m) __builtin_prefetch(&g.table[slot_of(g, recent.miss[m].key)]);
    for (int m = 0; m < misses; ++m) {
        const Key key = recent.miss[m].key;
        const uint32_t id = find_or_add(g, key, lattice.size);
        recent.at(key) = {key, id};
        lattice.index[recent.miss[m].at] = lattice.first + id;
    }
}

template <int D_, class Key>
void number_points(Engine& g, Lattice& lattice, Source& from, const Packing& packing) {
    const int d = D_ ? D_ : from.kernel.dimensions;
    const float* scale = from.kernel.scales + d;
    uint32_t& size = lattice.size;
    size = 0;
    lattice.index.reserve(size_t(g.n) * (d + 1));
    lattice.bary.reserve(size_t(g.n) * (d + 1));
    int bits = 10;
    while ((int64_t(1) << bits) < (d > 2 ? 2 : 1) * g.n) ++bits;
    g.wide = sizeof(Key) > sizeof(uint32_t);
    resize_table(g, bits, 0);
    float f[MAX_D][FEW] = {};
    Embedded<Key> e;
    Recent<Key> recent;
    for (int64_t begin = 0; begin < g.n; begin += FEW) {
        const int count = int(g.n - begin < FEW ? g.n - begin : FEW);
        read_features(g, from, begin, count, f);
        embed<D_, Key>(f, d, scale, packing, e);
        while (size + uint64_t(FEW) * (d + 1) > g.mask / 2) resize_table(g, ++bits, size);
        look_up(g, lattice, recent, e, d, begin, count);
    }
    if (g.n % 4) {  // pydensecrf fills its last four pixels with zero vectors: see lattice.py
        std::memset(f, 0, sizeof f);
        embed<D_, Key>(f, d, scale, packing, e);
        while (size + uint64_t(FEW) * (d + 1) > g.mask / 2) resize_table(g, ++bits, size);
        for (int r = 0; r <= d; ++r) find_or_add(g, e.key[r][0], size);
    }
}

template <class Key>
Point<Key>* points_in(Buffer<uint64_t>& buffer, uint32_t size) {
    return reinterpret_cast<Point<Key>*>(buffer.reserve(size * sizeof(Point<Key>) / sizeof(uint64_t)));
}

// Points by increasing key: g.sorted.
template <class Key>
void sort_points(Engine& g, uint32_t size, int bits) {
    constexpr int DIGIT = 11;
    Point<Key>* from = points_in<Key>(g.sorted, size);
    Point<Key>* to = points_in<Key>(g.spare, size);
    for (uint32_t v = 0; v < size; ++v) from[v] = {Key(g.keys[v]), v};
    for (int shift = 0; shift < bits; shift += DIGIT) {
        uint32_t place[(1 << DIGIT) + 1] = {};
        for (uint32_t v = 0; v < size; ++v) ++place[((from[v].key >> shift) & ((1 << DIGIT) - 1)) + 1];
        for (int i = 0; i < 1 << DIGIT; ++i) place[i + 1] += place[i];
        for (uint32_t v = 0; v < size; ++v) to[place[(from[v].key >> shift) & ((1 << DIGIT) - 1)]++] = from[v];
        g.sorted.swap(g.spare);
        Point<Key>* swap = from;
        from = to, to = swap;
    }
}

// next[v]: neighbour of v along an axis, or NONE; follows[u]: whether u is the neighbour of any. The sorted keys are
// merged with themselves moved by a step, without branches, in four stretches at once.
template <class Key>
void find_neighbours(Engine& g, int64_t step, uint32_t size) {
    constexpr int LANES = 4;
    uint32_t* next = g.next.reserve(size);
    uint8_t* follows = g.follows.reserve(size);
    std::memset(next, 0xff, size * sizeof(uint32_t));
    std::memset(follows, 0, size);
    const Point<Key>* sorted = points_in<Key>(g.sorted, size);
    uint32_t a[LANES], end[LANES], b[LANES], stop[LANES];
    for (int l = 0; l < LANES; ++l) {
        a[l] = uint32_t(uint64_t(size) * l / LANES);
        end[l] = uint32_t(uint64_t(size) * (l + 1) / LANES);
        uint32_t low = 0, high = size;
        while (a[l] < size && low < high) {
            const uint32_t middle = low + (high - low) / 2;
            if (int64_t(sorted[middle].key) < int64_t(sorted[a[l]].key) + step)
                low = middle + 1;
            else
                high = middle;
        }
        b[l] = low;
    }
    for (int l = 0; l < LANES; ++l) stop[l] = l + 1 < LANES ? b[l + 1] : size;
    for (bool busy = true; busy;) {
        busy = false;
        for (int l = 0; l < LANES; ++l) {
            if (a[l] == end[l] || b[l] == stop[l]) continue;
            busy = true;
            const Point<Key> from = sorted[a[l]], to = sorted[b[l]];
            const int64_t target = int64_t(from.key) + step, found = int64_t(to.key);
            next[from.id] = target == found ? to.id : NONE;
            follows[to.id] = target == found;
            a[l] += target <= found;
            b[l] += target >= found;
        }
    }
}

// Chains of neighbours along one axis; points without a neighbour are in none. In order of their first point, those
// of a stretch of points sorted by length: the blur stays in one stretch of memory and branches alike. All chains of a
// stretch take a step at once, those that end are written down: no branch depends on the length of one.
template <class Key>
void link_axis(Engine& g, Lattice& lattice, uint64_t step) {
    const uint32_t first = lattice.first, size = lattice.size;
    find_neighbours<Key>(g, int64_t(step), size);
    const uint32_t* next = g.next.data;
    const uint8_t* follows = g.follows.data;
    uint32_t head[STRETCH], last[STRETCH], ended[STRETCH];
    for (uint32_t begin = 0; begin < size; begin += STRETCH) {
        uint32_t chains = 0;
        for (uint32_t v = begin; v < size && v < begin + STRETCH; ++v) {
            head[chains] = v, last[chains] = next[v];
            chains += !follows[v] && next[v] != NONE;
        }
        for (uint32_t length = 2; chains; ++length) {
            uint32_t going = 0, done = 0;
            for (uint32_t c = 0; c < chains; ++c) {
                const uint32_t from = head[c], to = next[last[c]];
                ended[done] = head[going] = from;
                last[going] = to;
                going += to != NONE, done += to == NONE;
            }
            chains = going;
            if (!done) continue;
            lattice.groups.reserve(lattice.group_count + 1, lattice.group_count);
            lattice.groups[lattice.group_count++] = {length, done, lattice.chain_count};
            uint32_t* chain = lattice.chains.data + lattice.chain_count;
            for (uint32_t c = 0; c < done; ++c) {
                uint32_t u = ended[c];
                for (uint32_t i = 0; i < length; ++i, u = next[u]) *chain++ = first + u;
            }
            lattice.chain_count += size_t(length) * done;
        }
    }
}

template <class Key>
void link_points(Engine& g, Lattice& lattice, const Packing& packing) {
    lattice.chains.reserve(size_t(lattice.d + 1) * lattice.size + PREFETCH);
    lattice.chain_count = lattice.group_count = 0;
    sort_points<Key>(g, lattice.size, packing.bits);
    for (int axis = 0; axis <= lattice.d; ++axis) link_axis<Key>(g, lattice, packing.step[axis]);
    std::memset(lattice.chains.data + lattice.chain_count, 0, PREFETCH * sizeof(uint32_t));
}

}  // namespace
