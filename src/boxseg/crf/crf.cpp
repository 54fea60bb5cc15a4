// Dense CRF on the CPU: mean field on permutohedral lattices, one image and one thread a call.
//
// The file is compiled once for each instruction set (CRF_ISA = sse2, avx2, ...) with -ffp-contract=off, and once
// without CRF_ISA for the plain C functions that Python calls. No step is fused or reordered between instruction
// sets, so that all of them give the same bits, and the embedding those of embedding.py.
//
// What makes it fast: pixels in 16x16 tiles and lattice points numbered by first touch, so that what is used together
// lies together; one pass over the pixels an iteration (slice, softmax, splat a block at a time), which for some
// iterations leaves out blocks of pixels that are all but certain; the blur in place along chains of neighbours, points
// without neighbours left out; one channel less than classes, as each carries the difference to the last class; the
// norms folded into the barycentric weights; lattices of positions made once a size.

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <list>
#include <memory>
#include <mutex>
#include <new>
#if defined(__linux__)
#include <sys/mman.h>
#endif

#define CRF_API extern "C" __attribute__((visibility("default")))

enum CrfStatus { CRF_OK = 0, CRF_NO_MEMORY = 1, CRF_KEYS_TOO_WIDE = 2 };

struct CrfKernel {        // mirrored in native.py
    int32_t dimensions;   // 2 (x, y), 5 (x, y, r, g, b), or that of the features
    float weight;         // in the sum of messages
    const float* scales;  // sigma of each dimension, then axis scale of each dimension
    const float* features;  // (dimensions, H * W) already divided by sigma; null for position and colour
};

#define CRF_DECLARE(isa)                                                                    \
    int crf_build_##isa(void*, const uint8_t*, int64_t, int64_t, const CrfKernel*, int);    \
    int crf_infer_##isa(void*, const float*, float*, const int32_t*, int, int, const float*, float, int);
#define CRF_JOIN_(a, b) a##b
#define CRF_JOIN(a, b) CRF_JOIN_(a, b)

namespace {

constexpr int MAX_D = 16;
constexpr int FEW = 64;     // pixels at a time while building
constexpr int BLOCK = 256;  // and in a pass over them: a tile
constexpr int WIDEST = 16;
constexpr int64_t TILE = 16;
constexpr uint32_t STRETCH = 8192;  // lattice points whose values stay in the second-level cache
constexpr int PREFETCH = 8;  // points ahead
constexpr float CERTAIN = 1 - 5e-6f;  // Q of a label that is there to stay
constexpr int RENEWAL = 5;            // iterations after which certain pixels are asked again
constexpr uint32_t NONE = 0xffffffffu;

// Memory that grows and is kept for the next image; not initialised, only `kept` elements survive growth.
template <class T>
struct Buffer {
    T* data = nullptr;
    size_t room = 0;

    T* reserve(size_t count, size_t kept = 0) {
        if (count == 0) count = 1;  // never a null pointer
        if (count > room) {
            if (kept) count += count / 2;
            constexpr size_t page = size_t(1) << 21;
            size_t bytes = count * sizeof(T);
            const bool large = bytes >= page;  // fewer page faults, fewer TLB misses in random access
            if (large) bytes = (bytes + page - 1) / page * page;
            void* memory = nullptr;
            if (posix_memalign(&memory, large ? page : 64, bytes)) throw std::bad_alloc();
#if defined(__linux__)
            if (large) madvise(memory, bytes, MADV_HUGEPAGE);
#endif
            if (kept) std::memcpy(memory, data, kept * sizeof(T));
            std::free(data);
            data = static_cast<T*>(memory);
            room = bytes / sizeof(T);
        }
        return data;
    }
    void swap(Buffer& other) {
        T* const memory = data;
        const size_t elements = room;
        data = other.data, room = other.room;
        other.data = memory, other.room = elements;
    }
    T& operator[](size_t i) { return data[i]; }
    Buffer() = default;
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    ~Buffer() { std::free(data); }
};

struct Group {  // chains of equal length along one axis
    uint32_t length, count;
    size_t begin;  // in chains
};

struct Lattice {
    int d;
    uint32_t first, size;    // its points are first ... first + size - 1
    float weight;
    float shrink;            // scale of slice
    Buffer<uint32_t> index;  // (n, d + 1) points around each pixel
    Buffer<float> bary;      // (n, d + 1) their weights, norm and root of the kernel weight folded in
    Buffer<uint32_t> chains;
    Buffer<Group> groups;    // of chains, axis after axis
    size_t chain_count, group_count;

    size_t bytes(int64_t n) const {
        return size_t(n) * (d + 1) * (sizeof(uint32_t) + sizeof(float)) + chains.room * sizeof(uint32_t);
    }
};

// A kernel on the position alone depends on the size of the image, not on what it shows: its lattice serves every
// image of this size, in every thread. The last ones used are kept.
struct PositionLattices {
    static constexpr size_t MOST_BYTES = size_t(16) << 20;
    struct Entry {
        int64_t width, height;
        float sigma[2], weight;
        uint32_t first;
        std::shared_ptr<Lattice> lattice;

        bool same(const Entry& o) const {
            return width == o.width && height == o.height && sigma[0] == o.sigma[0] && sigma[1] == o.sigma[1] &&
                   weight == o.weight && first == o.first;
        }
    };
    std::mutex turn;
    std::list<Entry> entries;  // the last used first

    std::shared_ptr<Lattice> find(const Entry& wanted) {
        const std::lock_guard<std::mutex> lock(turn);
        for (auto at = entries.begin(); at != entries.end(); ++at)
            if (at->same(wanted)) {
                entries.splice(entries.begin(), entries, at);
                return at->lattice;
            }
        return nullptr;
    }
    void keep(const Entry& made) {
        const std::lock_guard<std::mutex> lock(turn);
        entries.remove_if([&](const Entry& o) { return o.same(made); });  // of another thread
        entries.push_front(made);
        size_t bytes = 0;
        for (auto at = entries.begin(); at != entries.end();) {
            bytes += at->lattice->bytes(at->width * at->height);
            at = bytes > MOST_BYTES ? entries.erase(at) : std::next(at);
        }
    }
};

struct Panel {
    int first, width;  // channels first ... first + width - 1, those beyond the last stay 0
};

struct Point {
    int64_t key;
    uint32_t id;
};

struct Slot {  // of the hash table
    uint32_t tag;  // the low half of the key, nearly always all of it
    uint32_t id;
};

constexpr int MAX_KERNELS = 8;

struct CrfEngine {
    int isa = 0;
    int64_t width = 0, height = 0, n = 0;
    int kernels = 0;
    uint32_t size = 0;             // points of all kernels
    std::shared_ptr<Lattice> lattice[MAX_KERNELS];
    Buffer<uint32_t> order;        // raster index of each pixel, in the order of the tiles
    // while building
    Buffer<uint64_t> keys;
    Buffer<Slot> table;
    Buffer<uint32_t> next, walk, lengths, histogram;
    Buffer<uint8_t> follows;
    Buffer<Point> sorted, spare;
    uint64_t mask = 0;
    int shift = 0;
    bool wide = false;             // whether keys have more than 32 bits
    // while inferring
    Buffer<float> values, ratio, work, mixed, rest;
    Buffer<uint8_t> settled;       // of each block of pixels, whether `rest` has what it spreads
    Buffer<Panel> panels;
};

}  // namespace

#ifdef CRF_ISA

namespace {

// ---------------------------------------------------------------------------------------------- building

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

struct Embedded {
    uint64_t key[FEW][MAX_D + 1];
    float weight[FEW][MAX_D + 1];
};

// The points around each of FEW feature vectors. Arithmetic as in embedding.py, step by step.
template <int D_>
void embed(const float (*f)[FEW], int d, const float* scale, const Packing& packing, Embedded& out) {
    const int D = D_ ? D_ : d;
    float e[MAX_D + 1][FEW], base[MAX_D + 1][FEW], total[FEW] = {};
    int32_t rank[MAX_D + 1][FEW], drift[FEW] = {};
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
            drift[p] += int32_t(nearest);
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
            base[i][p] += float(wrap * (D + 1));
            e[i][p] = (e[i][p] - base[i][p]) / float(D + 1);
        }
    for (int p = 0; p < FEW; ++p) {
        uint64_t key = -packing.origin;
        float y[MAX_D + 1];
        uint8_t axis[MAX_D + 1];
        for (int i = 0; i <= D; ++i) {
            const int r = rank[i][p];
            y[r] = e[i][p];
            axis[r] = uint8_t(i);
            if (i < D) key += uint64_t(int64_t(int32_t(base[i][p]) / (D + 1))) * packing.gain[i];
        }
        out.key[p][0] = key;
        out.weight[p][0] = y[D] + (1 - y[0]);
        for (int r = 1; r <= D; ++r) {
            key += packing.step[axis[D - r + 1]];
            out.key[p][r] = key;
            out.weight[p][r] = y[D - r] - y[D - r + 1];
        }
    }
}

inline uint64_t scatter(uint64_t key) { return key * 0x9e3779b97f4a7c15u; }
inline uint64_t slot_of(const CrfEngine& g, uint64_t key) { return scatter(key) >> g.shift; }

inline uint32_t find_or_add(CrfEngine& g, uint64_t key, uint32_t& size) {
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

void resize_table(CrfEngine& g, int bits, uint32_t size) {
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

struct TileWalk {  // pixels tile by tile
    int64_t width, height, left = 0, top = 0, x = 0, y = 0;
    void advance() {
        if (++x < width && x < left + TILE) return;
        x = left;
        if (++y < height && y < top + TILE) return;
        left += TILE;
        if (left >= width) left = 0, top += TILE;
        x = left, y = top;
    }
};

struct Source {  // where features come from
    const uint8_t* image;
    const CrfKernel& kernel;
    const float* colour;  // (3, 256) colour / sigma
    TileWalk walk;
};

void read_features(const CrfEngine& g, Source& from, int64_t begin, int count, float (*f)[FEW]) {
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
struct Recent {
    static constexpr int BITS = 10;
    uint64_t key[1 << BITS];
    uint32_t id[1 << BITS];
    struct Miss {
        uint64_t key;
        size_t at;  // in index
    } miss[FEW * (MAX_D + 1) + 1];
    Recent() { std::memset(key, 0xff, sizeof key); }
};

void look_up(CrfEngine& g, Lattice& lattice, Recent& recent, const Embedded& e, int d, int64_t begin, int count) {
    size_t at = size_t(begin) * (d + 1);
    int misses = 0;
    for (int p = 0; p < count; ++p, at += d + 1)
        for (int r = 0; r <= d; ++r) {
            const uint64_t key = e.key[p][r], place = scatter(key) >> (64 - Recent::BITS);
            lattice.bary[at + r] = e.weight[p][r];
            lattice.index[at + r] = lattice.first + recent.id[place];
            recent.miss[misses] = {key, at + r};
            misses += recent.key[place] != key;
        }
    for (int m = 0; m < misses; ++m) __builtin_prefetch(&g.table[slot_of(g, recent.miss[m].key)]);
    for (int m = 0; m < misses; ++m) {
        const uint64_t key = recent.miss[m].key, place = scatter(key) >> (64 - Recent::BITS);
        const uint32_t id = find_or_add(g, key, lattice.size);
        recent.key[place] = key;
        recent.id[place] = id;
        lattice.index[recent.miss[m].at] = lattice.first + id;
    }
}

template <int D_>
void number_points(CrfEngine& g, Lattice& lattice, Source& from, const Packing& packing) {
    const int d = D_ ? D_ : from.kernel.dimensions;
    const float* scale = from.kernel.scales + d;
    uint32_t& size = lattice.size;
    size = 0;
    lattice.index.reserve(size_t(g.n) * (d + 1));
    lattice.bary.reserve(size_t(g.n) * (d + 1));
    int bits = 10;
    while ((int64_t(1) << bits) < (d > 2 ? 2 : 1) * g.n) ++bits;
    g.wide = packing.bits > 32;
    resize_table(g, bits, 0);
    float f[MAX_D][FEW] = {};
    Embedded e;
    Recent recent = {};
    for (int64_t begin = 0; begin < g.n; begin += FEW) {
        const int count = int(g.n - begin < FEW ? g.n - begin : FEW);
        read_features(g, from, begin, count, f);
        embed<D_>(f, d, scale, packing, e);
        while (size + uint64_t(FEW) * (d + 1) > g.mask / 2) resize_table(g, ++bits, size);
        look_up(g, lattice, recent, e, d, begin, count);
    }
    if (g.n % 4) {  // pydensecrf fills its last four pixels with zero vectors: see lattice.py
        std::memset(f, 0, sizeof f);
        embed<D_>(f, d, scale, packing, e);
        while (size + uint64_t(FEW) * (d + 1) > g.mask / 2) resize_table(g, ++bits, size);
        for (int r = 0; r <= d; ++r) find_or_add(g, e.key[0][r], size);
    }
}

// Points by increasing key: g.sorted.
void sort_points(CrfEngine& g, uint32_t size, int bits) {
    constexpr int DIGIT = 13;
    Point* from = g.sorted.reserve(size);
    Point* to = g.spare.reserve(size);
    for (uint32_t v = 0; v < size; ++v) from[v] = {int64_t(g.keys[v]), v};
    for (int shift = 0; shift < bits; shift += DIGIT) {
        uint32_t place[(1 << DIGIT) + 1] = {};
        for (uint32_t v = 0; v < size; ++v) ++place[((from[v].key >> shift) & ((1 << DIGIT) - 1)) + 1];
        for (int i = 0; i < 1 << DIGIT; ++i) place[i + 1] += place[i];
        for (uint32_t v = 0; v < size; ++v) to[place[(from[v].key >> shift) & ((1 << DIGIT) - 1)]++] = from[v];
        g.sorted.swap(g.spare);
        Point* swap = from;
        from = to, to = swap;
    }
}

// next[v]: neighbour of v along an axis, or NONE; follows[u]: whether u is the neighbour of any. The sorted keys are
// merged with themselves moved by a step, without branches, in four stretches at once.
void find_neighbours(CrfEngine& g, int64_t step, uint32_t size) {
    constexpr int LANES = 4;
    uint32_t* next = g.next.reserve(size);
    uint8_t* follows = g.follows.reserve(size);
    std::memset(next, 0xff, size * sizeof(uint32_t));
    std::memset(follows, 0, size);
    const Point* sorted = g.sorted.data;
    uint32_t a[LANES], end[LANES], b[LANES], stop[LANES];
    for (int l = 0; l < LANES; ++l) {
        a[l] = uint32_t(uint64_t(size) * l / LANES);
        end[l] = uint32_t(uint64_t(size) * (l + 1) / LANES);
        uint32_t low = 0, high = size;
        while (a[l] < size && low < high) {
            const uint32_t middle = low + (high - low) / 2;
            if (sorted[middle].key < sorted[a[l]].key + step)
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
            const Point from = sorted[a[l]], to = sorted[b[l]];
            const int64_t target = from.key + step;
            next[from.id] = target == to.key ? to.id : NONE;
            follows[to.id] = target == to.key;
            a[l] += target <= to.key;
            b[l] += target >= to.key;
        }
    }
}

// Append the chains that stand one behind another in `walk`, sorted by length.
void sort_chains(
    CrfEngine& g, Lattice& lattice, const uint32_t* walk, const uint32_t* length, uint32_t chains, uint32_t longest) {
    uint32_t* count = g.histogram.reserve(2 * size_t(longest + 1));
    uint32_t* place = count + longest + 1;
    std::memset(count, 0, (longest + 1) * sizeof(uint32_t));
    for (uint32_t c = 0; c < chains; ++c) ++count[length[c]];
    lattice.groups.reserve(lattice.group_count + longest, lattice.group_count);
    uint32_t filled = 0;
    for (uint32_t l = 2; l <= longest; ++l) {
        place[l] = filled;
        if (count[l]) lattice.groups[lattice.group_count++] = {l, count[l], lattice.chain_count + filled};
        filled += l * count[l];
    }
    for (uint32_t c = 0; c < chains; ++c) {
        const uint32_t l = length[c];
        std::memcpy(lattice.chains.data + lattice.chain_count + place[l], walk, l * sizeof(uint32_t));
        place[l] += l;
        walk += l;
    }
    lattice.chain_count += filled;
}

// Chains of neighbours along one axis; points without a neighbour are in none. In order of their first point, those
// of a stretch of points sorted by length: the blur stays in one stretch of memory and branches alike.
void link_axis(CrfEngine& g, Lattice& lattice, uint64_t step) {
    const uint32_t first = lattice.first, size = lattice.size;
    find_neighbours(g, int64_t(step), size);
    const uint32_t* next = g.next.data;
    const uint8_t* follows = g.follows.data;
    uint32_t* walk = g.walk.reserve(size);
    uint32_t* length = g.lengths.reserve(size);
    uint32_t heads[STRETCH];
    for (uint32_t begin = 0; begin < size; begin += STRETCH) {
        uint32_t chains = 0, walked = 0, longest = 0;
        for (uint32_t v = begin; v < size && v < begin + STRETCH; ++v) {
            heads[chains] = v;
            chains += !follows[v] && next[v] != NONE;
        }
        for (uint32_t c = 0; c < chains; ++c) {
            const uint32_t before = walked;
            for (uint32_t u = heads[c]; u != NONE; u = next[u]) walk[walked++] = first + u;
            length[c] = walked - before;
            if (walked - before > longest) longest = walked - before;
        }
        sort_chains(g, lattice, walk, length, chains, longest);
    }
}

void link_points(CrfEngine& g, Lattice& lattice, const Packing& packing) {
    lattice.chains.reserve(size_t(lattice.d + 1) * lattice.size + PREFETCH);
    lattice.chain_count = lattice.group_count = 0;
    sort_points(g, lattice.size, packing.bits);
    for (int axis = 0; axis <= lattice.d; ++axis) link_axis(g, lattice, packing.step[axis]);
    std::memset(lattice.chains.data + lattice.chain_count, 0, PREFETCH * sizeof(uint32_t));
}

void tile_order(CrfEngine& g) {
    uint32_t* order = g.order.reserve(g.n);
    TileWalk walk{g.width, g.height};
    for (int64_t p = 0; p < g.n; ++p, walk.advance()) order[p] = uint32_t(walk.y * g.width + walk.x);
}

// ---------------------------------------------------------------------------------------------- rows of channels

#define CRF_INLINE inline __attribute__((always_inline))
#ifndef CRF_LANES
#define CRF_LANES 4  // floats in a vector of this instruction set
#endif

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

// ---------------------------------------------------------------------------------------------- filtering

// (1/2, 1, 1/2) along every axis, in place: each value of a chain is read once and written once.
template <int R>
void blur(const Lattice& lattice, float* values) {
    for (size_t j = 0; j < lattice.group_count; ++j) {
        const Group group = lattice.groups.data[j];
        const uint32_t* id = lattice.chains.data + group.begin;
        const uint32_t* end = id + size_t(group.length) * group.count;
        for (; id < end; id += group.length) {
            Row<R> before, here, after, mixed;
            before.zero();
            here.load(values + id[0] * size_t(R));
            for (uint32_t i = 0; i + 1 < group.length; ++i) {
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
            here.store(values + id[group.length - 1] * size_t(R));
        }
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
CRF_INLINE void each_kernel(const CrfEngine& g, const F& f) {
    if (D1) f(0, Width<D1 + 1>());
    if (D2) f(1, Width<D2 + 1>());
    for (int k = (D1 > 0) + (D2 > 0); k < g.kernels; ++k) f(k, g.lattice[k]->d + 1);
}

template <int R, int D1, int D2>
void splat(const CrfEngine& g, int64_t begin, int count, const float* q, float* values) {
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
void slice(const CrfEngine& g, int64_t begin, int count, float* message, const float* values, const float* soon) {
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
void normalise(CrfEngine& g, Lattice& lattice) {
    const int corners = (D_ ? D_ : lattice.d) + 1;
    const size_t entries = size_t(g.n) * corners;
    float* values = g.values.reserve(lattice.first + size_t(lattice.size));
    std::memset(values + lattice.first, 0, lattice.size * sizeof(float));
    for (size_t i = 0; i < entries; ++i) values[lattice.index[i]] += lattice.bary[i];
    blur<1>(lattice, values);
    const float root = std::sqrt(std::fabs(lattice.weight) * lattice.shrink);
    const uint32_t* id = lattice.index.data;
    float* weight = lattice.bary.data;
    for (int64_t p = 0; p < g.n; ++p, id += corners, weight += corners) {
        float near = 0;
        for (int r = 0; r < corners; ++r) near += weight[r] * values[id[r]];
        const float norm = 1.f / std::sqrt(std::fabs(near) * lattice.shrink + 1e-20f);
        for (int r = 0; r < corners; ++r) weight[r] *= norm * root;
    }
}

// ---------------------------------------------------------------------------------------------- mean field

// e^x to 2e-7, x clamped to where the result is a normal number; lane by lane, so that any width gives the same.
typedef Vector<CRF_LANES>::type Wide;
typedef int32_t WideInt __attribute__((vector_size(4 * CRF_LANES)));

CRF_INLINE Wide exponential(Wide x) {
    const Wide low = Wide{} - 87.f, high = Wide{} + 87.f;
    x = x < low ? low : x;
    x = x > high ? high : x;
    const Wide rounder = Wide{} + 12582912.f;
    const Wide n = (x * 1.44269504088896341f + rounder) - rounder;
    const Wide r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
    Wide y = r * 1.9875691500e-4f + 1.3981999507e-3f;
    y = y * r + 8.3334519073e-3f;
    y = y * r + 4.1665795894e-2f;
    y = y * r + 1.6666665459e-1f;
    y = y * r + 5.0000001201e-1f;
    y = (y * (r * r) + r) + 1.f;
    const WideInt power = __builtin_convertvector(n, WideInt) + 127;
    return y * (Wide)(power << 23);
}

struct Task {
    const float* scores;   // (classes, n), raster
    float* q;              // (classes, n), raster
    const int32_t* plane;  // of each computed class; the last one stands for `absent` classes
    int channels, absent;  // channels: computed classes less one; with a matrix all classes, and none is absent
    const float* matrix;   // (channels, channels), symmetric penalty of two labels side by side; null for Potts
    float clip;
    float limit;           // of a logit, so that no product with a ratio, at most 1 / clip, overflows
    int panels, stride;    // stride: channels and padding
    Panel* panel;
};

// Channels in panels of 16 and fewer: a row of 16 is one cache line, and no row lies across two.
void divide_channels(Task& t) {
    t.panels = t.stride = 0;
    while (t.stride < t.channels) {
        const int rest = t.channels - t.stride;
        const int width = rest > 12 ? 16 : rest > 6 ? 8 : rest > 2 ? 4 : rest;
        t.panel[t.panels++] = {t.stride, width};
        t.stride += width;
    }
}

template <class F>
CRF_INLINE void each_panel(const Task& t, const F& f) {
    for (int k = 0; k < t.panels; ++k)
        with_width(t.panel[k].width, [&](auto width) { f(width, t.panel[k].first); });
}

CRF_INLINE float clipped(float v, float clip) { return v < clip ? clip : v > 1.f ? 1.f : v; }

// Stretches of a block that lie side by side in a plane (C, n) as well.
struct Runs {
    int count = 0;
    struct {
        size_t plane;
        int block, length;
    } run[BLOCK];

    Runs(const uint32_t* order, int pixels) {
        for (int p = 0; p < pixels; ++p) {
            if (p == 0 || order[p] != order[p - 1] + 1) run[count++] = {order[p], p, 0};
            ++run[count - 1].length;
        }
    }
    CRF_INLINE void copy(float* to, const float* from, int length) const {
        if (length == TILE)
            std::memcpy(to, from, TILE * sizeof(float));  // of known size: a few instructions
        else
            std::memcpy(to, from, length * sizeof(float));
    }
    void read(const float* plane, float* block) const {
        for (int i = 0; i < count; ++i) copy(block + run[i].block, plane + run[i].plane, run[i].length);
    }
    void write(float* plane, const float* block) const {
        for (int i = 0; i < count; ++i) copy(plane + run[i].plane, block + run[i].block, run[i].length);
    }
    void prefetch(const float* plane) const {
        for (int i = 0; i < count; ++i) __builtin_prefetch(plane + run[i].plane);
    }
};

CRF_INLINE void transpose(const float* from, size_t from_stride, float* to, size_t to_stride) {  // 4 x 4
    typedef Vector<4>::type V;
    V row[4];
    for (int i = 0; i < 4; ++i) row[i] = *reinterpret_cast<const V*>(from + i * from_stride);
    for (int i = 0; i < 4; ++i)
        *reinterpret_cast<V*>(to + i * to_stride) = V{row[0][i], row[1][i], row[2][i], row[3][i]};
}

// (R, BLOCK) to (BLOCK, R).
template <int R>
void to_rows(const float* planes, float* rows) {
    for (int p = 0; p < BLOCK; p += R < 4 ? 1 : 4)
        for (int c = 0; c < R; c += R < 4 ? 1 : 4)
            if (R < 4)
                rows[p * R + c] = planes[c * BLOCK + p];
            else
                transpose(planes + c * BLOCK + p, BLOCK, rows + p * R + c, R);
}

// (BLOCK, R) to (R, BLOCK).
template <int R>
void to_planes(const float* rows, float* planes) {
    for (int p = 0; p < BLOCK; p += R < 4 ? 1 : 4)
        for (int c = 0; c < R; c += R < 4 ? 1 : 4)
            if (R < 4)
                planes[c * BLOCK + p] = rows[p * R + c];
            else
                transpose(rows + p * R + c, R, planes + c * BLOCK + p, BLOCK);
}

// p_c / p_last of a block of pixels, panel by panel; p_c where no class is the last.
void read_ratio(const CrfEngine& g, const Task& t, int64_t begin, int count, float* ratio) {
    const Runs runs(g.order.data + begin, count);
    const int64_t rest = g.n - begin - count;
    const Runs later(g.order.data + begin + count, int(rest < BLOCK ? rest : BLOCK));
    float last[BLOCK] = {}, planes[WIDEST * BLOCK] = {};
    if (t.absent) runs.read(t.scores + size_t(t.plane[t.channels]) * g.n, last);
    for (float& v : last) v = t.absent ? 1.f / clipped(v, t.clip) : 1.f;
    each_panel(t, [&](auto width, int first) {
        for (int c = 0; c < width.value; ++c) {
            float* plane = planes + c * BLOCK;
            if (first + c < t.channels) {
                const float* scores = t.scores + size_t(t.plane[first + c]) * g.n;
                later.prefetch(scores);
                runs.read(scores, plane);
                for (int p = 0; p < BLOCK; ++p) plane[p] = clipped(plane[p], t.clip) * last[p];
            } else {
                std::memset(plane, 0, BLOCK * sizeof(float));
            }
        }
        to_rows<width.value>(planes, ratio + BLOCK * first);
    });
}

// all[p] += sum over the channels of pixel p; rows[p] op= by[p].
template <int R>
void add_rows(const float* rows, float* all) {
    typedef Vector<4>::type V;
    if (R < 4) {
        for (int p = 0; p < BLOCK; ++p) all[p] += R == 1 ? rows[p] : rows[2 * p] + rows[2 * p + 1];
        return;
    }
    for (int p = 0; p < BLOCK; p += 4) {
        float partial[4][4], turned[4][4];
        for (int i = 0; i < 4; ++i) {
            const V* quarter = reinterpret_cast<const V*>(rows + (p + i) * R);
            V v = quarter[0];
            if (R == 8) v = v + quarter[R / 8];
            if (R == 16) v = (v + quarter[R / 8]) + (quarter[R / 16] + quarter[3 * R / 16]);
            *reinterpret_cast<V*>(partial[i]) = v;
        }
        transpose(partial[0], 4, turned[0], 4);
        const V* column = reinterpret_cast<const V*>(turned[0]);
        *reinterpret_cast<V*>(all + p) += (column[0] + column[2]) + (column[1] + column[3]);
    }
}
template <int R>
void shift_rows(float* rows, const float* by) {
    for (int p = 0; p < BLOCK; ++p) {
        Row<R> row;
        row.load(rows + p * R);
        row.shift(by[p]);
        row.store(rows + p * R);
    }
}
template <int R>
void subtract_rows(float* rows, const float* by) {
    for (int p = 0; p < BLOCK; ++p) {
        Row<R> row;
        row.load(rows + p * R);
        row.shift(-by[p]);
        row.store(rows + p * R);
    }
}
template <int R>
void scale_rows(float* rows, const float* by) {
    for (int p = 0; p < BLOCK; ++p) {
        Row<R> row;
        row.load(rows + p * R);
        row.scale(by[p]);
        row.store(rows + p * R);
    }
}

// Keep every exponential in range: where a logit of a block (less that of the last class) is large, the largest of each
// pixel is taken off. `last` gets the weight of the last class.
void limit(const Task& t, float* logits, float* last) {
    for (int p = 0; p < BLOCK; ++p) last[p] = float(t.absent);
    Wide top = {};
    for (size_t i = 0; i < BLOCK * size_t(t.stride); i += CRF_LANES) {
        const Wide x = *reinterpret_cast<const Wide*>(logits + i);
        top = x > top ? x : top;
    }
    float most = 0;
    for (int i = 0; i < CRF_LANES; ++i) most = top[i] > most ? top[i] : most;
    if (most < t.limit) return;
    float offset[BLOCK];
    for (int p = 0; p < BLOCK; ++p) {
        most = 0;
        for (int k = 0; k < t.panels; ++k) {
            const Panel panel = t.panel[k];
            const float* row = logits + BLOCK * panel.first + p * panel.width;
            for (int c = 0; c < panel.width && panel.first + c < t.channels; ++c) most = row[c] > most ? row[c] : most;
        }
        last[p] *= std::exp(-most);
        offset[p] = -most;
    }
    each_panel(t, [&](auto width, int first) { shift_rows<width.value>(logits + BLOCK * first, offset); });
}

// Messages of a block -> logits: minus the penalties of the labels around, the largest of each pixel taken off.
void penalise(CrfEngine& g, const Task& t, float* message) {
    const int classes = t.channels;
    float* row = g.mixed.reserve(2 * size_t(classes));
    float* logit = row + classes;
    const auto each_class = [&](int p, const auto& f) {
        for (int k = 0; k < t.panels; ++k) {
            const Panel panel = t.panel[k];
            float* at = message + BLOCK * panel.first + p * panel.width;
            for (int c = 0; c < panel.width && panel.first + c < classes; ++c) f(panel.first + c, at[c]);
        }
    };
    for (int p = 0; p < BLOCK; ++p) {
        each_class(p, [&](int c, float v) { row[c] = v, logit[c] = 0; });
        for (int c = 0; c < classes; ++c)
            for (int other = 0; other < classes; ++other) logit[other] -= row[c] * t.matrix[c * classes + other];
        float most = logit[0];
        for (int c = 1; c < classes; ++c) most = logit[c] > most ? logit[c] : most;
        each_class(p, [&](int c, float& v) { v = logit[c] - most; });
    }
}

// Weights of the classes -> q, and last -> Q of the last class.
void divide(const Task& t, float* q, float* last) {
    float all[BLOCK];
    for (int p = 0; p < BLOCK; ++p) all[p] = last[p];
    each_panel(t, [&](auto width, int first) { add_rows<width.value>(q + BLOCK * first, all); });
    const float share = t.absent ? 1.f / float(t.absent) : 0.f;
    for (int p = 0; p < BLOCK; ++p) all[p] = 1.f / all[p], last[p] *= all[p] * share;
    each_panel(t, [&](auto width, int first) { scale_rows<width.value>(q + BLOCK * first, all); });
}

void write_q(const CrfEngine& g, const Task& t, int64_t begin, int count, const float* q, const float* last) {
    const Runs runs(g.order.data + begin, count);
    float planes[WIDEST * BLOCK];
    each_panel(t, [&](auto width, int first) {
        to_planes<width.value>(q + BLOCK * first, planes);
        for (int c = 0; c < width.value && first + c < t.channels; ++c)
            runs.write(t.q + size_t(t.plane[first + c]) * g.n, planes + c * BLOCK);
    });
    for (int c = t.channels; c < t.channels + t.absent; ++c) runs.write(t.q + size_t(t.plane[c]) * g.n, last);
}

// Whether each pixel of a block has a label that is all but certain.
bool is_certain(const Task& t, int count, const float* q, const float* last) {
    for (int p = 0; p < count; ++p) {
        float most = last[p];
        for (int k = 0; k < t.panels; ++k) {
            const float* row = q + BLOCK * t.panel[k].first + p * t.panel[k].width;
            for (int c = 0; c < t.panel[k].width; ++c) most = row[c] > most ? row[c] : most;
        }
        if (most < CERTAIN) return false;
    }
    return true;
}

// One pass over the pixels: Q from the messages (at the start from the scores alone), spread again or written.
// Settled blocks spread what they spread before, unless `all` are asked again.
template <int D1, int D2>
void update(CrfEngine& g, const Task& t, const float* from, float* to, size_t points, bool all) {
    const size_t cells = BLOCK * size_t(t.stride);
    float* q = g.work.data;
    float last[BLOCK];
    if (to && all) {
        std::memset(g.rest.data, 0, points * t.stride * sizeof(float));
        std::memset(to, 0, points * t.stride * sizeof(float));
    } else if (to) {
        std::memcpy(to, g.rest.data, points * t.stride * sizeof(float));
    }
    for (int64_t begin = 0; begin < g.n; begin += BLOCK) {
        const int count = int(g.n - begin < BLOCK ? g.n - begin : BLOCK);
        uint8_t& settled = g.settled[size_t(begin) / BLOCK];
        if (to && !all && settled) continue;
        float* ratio = g.ratio.data + size_t(begin) * t.stride;
        if (from) {
            each_panel(t, [&](auto width, int first) {
                slice<width.value, D1, D2>(
                    g, begin, count, q + BLOCK * first, from + points * first, ratio + BLOCK * first);
            });
            if (t.matrix)
                penalise(g, t, q), std::memset(last, 0, sizeof last);
            else
                limit(t, q, last);
            for (size_t i = 0; i < cells; i += CRF_LANES) {
                Wide& at = *reinterpret_cast<Wide*>(q + i);
                at = exponential(at) * *reinterpret_cast<const Wide*>(ratio + i);
            }
        } else {
            read_ratio(g, t, begin, count, ratio);
            std::memcpy(q, ratio, cells * sizeof(float));
            for (float& v : last) v = float(t.absent);
        }
        divide(t, q, last);
        if (!to) {
            write_q(g, t, begin, count, q, last);
            continue;
        }
        settled = from && is_certain(t, count, q, last);
        each_panel(t, [&](auto width, int first) {
            // Messages are linear: the difference of two classes gives that of their logits, with no class
            // left over and nothing lost to cancellation.
            subtract_rows<width.value>(q + BLOCK * first, last);
            splat<width.value, D1, D2>(g, begin, count, q + BLOCK * first, to + points * first);
            if (settled)
                splat<width.value, D1, D2>(g, begin, count, q + BLOCK * first, g.rest.data + points * first);
        });
    }
}

template <int D1, int D2>
void mean_field(CrfEngine& g, const Task& t, int iterations) {
    const size_t points = (size_t(g.size) + 15) / 16 * 16;  // every panel starts at a cache line
    const size_t cells = points * t.stride;
    float* values = g.values.reserve(2 * cells);
    float* other = values + cells;
    g.ratio.reserve(size_t(g.n + BLOCK) * t.stride);
    const size_t work = BLOCK * size_t(t.stride) + 16;
    std::memset(g.work.reserve(work), 0, work * sizeof(float));  // rows beyond the last pixel are computed too
    g.rest.reserve(cells);
    g.settled.reserve(size_t(g.n) / BLOCK + 1);
    update<D1, D2>(g, t, nullptr, iterations ? values : nullptr, points, true);
    for (int i = 1; i <= iterations; ++i) {
        each_panel(t, [&](auto width, int first) {
            for (int k = 0; k < g.kernels; ++k) blur<width.value>(*g.lattice[k], values + points * first);
        });
        update<D1, D2>(g, t, values, i < iterations ? other : nullptr, points, i == 1 || i % RENEWAL == 0);
        float* swap = values;
        values = other, other = swap;
    }
}

template <int D_>
void fill(CrfEngine& g, Lattice& lattice, Source& from, const Packing& packing) {
    number_points<D_>(g, lattice, from, packing);
    link_points(g, lattice, packing);
    normalise<D_>(g, lattice);
}

bool build_lattice(CrfEngine& g, const uint8_t* image, const CrfKernel& kernel, Lattice& lattice) {
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

PositionLattices position_lattices;

// The lattice of a kernel: one made before, or built in the memory of the one before.
bool prepare_lattice(
    CrfEngine& g, const uint8_t* image, const CrfKernel& kernel, std::shared_ptr<Lattice>& lattice) {
    const bool positions = kernel.dimensions == 2 && !kernel.features;
    PositionLattices::Entry entry{
        g.width, g.height, {kernel.scales[0], kernel.scales[1]}, kernel.weight, g.size, nullptr};
    if (positions) entry.lattice = position_lattices.find(entry);
    if (entry.lattice) {
        lattice = entry.lattice;
    } else {
        if (!lattice || lattice.use_count() > 1) lattice = std::make_shared<Lattice>();
        if (!build_lattice(g, image, kernel, *lattice)) return false;
        entry.lattice = lattice;
        if (positions) position_lattices.keep(entry);
    }
    g.size += lattice->size;
    return true;
}

}  // namespace

int CRF_JOIN(crf_build_, CRF_ISA)(
    void* engine, const uint8_t* image, int64_t height, int64_t width, const CrfKernel* kernels, int count) {
    CrfEngine& g = *static_cast<CrfEngine*>(engine);
    g.kernels = 0;  // none is whole before the end
    g.size = 0;
    if (height != g.height || width != g.width) {
        g.height = height, g.width = width, g.n = height * width;
        tile_order(g);
    }
    for (int k = 0; k < count; ++k)
        if (!prepare_lattice(g, image, kernels[k], g.lattice[k])) return CRF_KEYS_TOO_WIDE;
    g.kernels = count;
    return CRF_OK;
}

int CRF_JOIN(crf_infer_, CRF_ISA)(
    void* engine, const float* scores, float* q, const int32_t* plane, int computed, int absent,
    const float* matrix, float clip, int iterations) {
    CrfEngine& g = *static_cast<CrfEngine*>(engine);
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
    return CRF_OK;
}

#else  // the functions that Python calls

CRF_DECLARE(base)
#ifdef CRF_X86
CRF_DECLARE(avx2)
CRF_DECLARE(avx512)
#endif

namespace {

const struct {
    const char* name;
    decltype(&crf_build_base) build;
    decltype(&crf_infer_base) infer;
} levels[] = {
    {"base", crf_build_base, crf_infer_base},
#ifdef CRF_X86
    {"avx2", crf_build_avx2, crf_infer_avx2},
    {"avx512", crf_build_avx512, crf_infer_avx512},
#endif
};

}  // namespace

// Raised with every change of these functions: native.py refuses a library of another version.
CRF_API int crf_version() { return 2; }

// How many instruction sets this processor can use: levels 0 ... count - 1.
CRF_API int crf_levels() {
#ifdef CRF_X86
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2")) return 1;
    const bool wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
    return wide ? 3 : 2;
#else
    return 1;
#endif
}

CRF_API const char* crf_level_name(int level) { return levels[level].name; }

CRF_API void* crf_create(int level) {
    CrfEngine* engine = new (std::nothrow) CrfEngine;
    if (engine) engine->isa = level;
    return engine;
}

CRF_API void crf_destroy(void* engine) { delete static_cast<CrfEngine*>(engine); }

// Lattices of one image, (height, width, 3).
CRF_API int crf_build(
    void* engine, const uint8_t* image, int64_t height, int64_t width, const CrfKernel* kernels, int count) {
    try {
        return levels[static_cast<CrfEngine*>(engine)->isa].build(engine, image, height, width, kernels, count);
    } catch (const std::bad_alloc&) {
        return CRF_NO_MEMORY;
    }
}

// Marginals q of scores, both (classes, height * width). plane lists the classes: the computed ones first, the last of
// which stands for itself and the absent - 1 classes listed behind it. matrix: (computed, computed), symmetric, the
// penalty of two labels side by side, all classes computed; null for Potts.
CRF_API int crf_infer(
    void* engine, const float* scores, float* q, const int32_t* plane, int computed, int absent,
    const float* matrix, float clip, int iterations) {
    try {
        return levels[static_cast<CrfEngine*>(engine)->isa].infer(
            engine, scores, q, plane, computed, absent, matrix, clip, iterations);
    } catch (const std::bad_alloc&) {
        return CRF_NO_MEMORY;
    }
}

#endif
