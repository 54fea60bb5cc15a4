// The compiled CRF as Python calls it: plain C functions, one image and one thread a call.
//
// Nothing here takes time: lattices and inference are in level.cpp, of which the best for the processor is chosen.

#include <list>
#include <memory>
#include <mutex>

#include "engine.h"

#define CRF_API extern "C" __attribute__((visibility("default")))

// Of level.cpp: an Engine, a Lattice; the other arguments are those of crf_build and crf_infer.
#define CRF_DECLARE(isa)                                                            \
    bool crf_lattice_##isa(void*, const uint8_t*, const CrfKernel*, void*);         \
    void crf_infer_##isa(void*, const float*, float*, const int32_t*, int, int, const float*, float, int);

CRF_DECLARE(base)
#ifdef CRF_X86
CRF_DECLARE(avx2)
CRF_DECLARE(avx512)
#endif

namespace {

const struct {
    const char* name;
    decltype(&crf_lattice_base) lattice;
    decltype(&crf_infer_base) infer;
} levels[] = {
    {"base", crf_lattice_base, crf_infer_base},
#ifdef CRF_X86
    {"avx2", crf_lattice_avx2, crf_infer_avx2},
    {"avx512", crf_lattice_avx512, crf_infer_avx512},
#endif
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

PositionLattices position_lattices;

struct CrfEngine {
    int level = 0;
    Engine parts;
    std::shared_ptr<Lattice> lattice[MAX_KERNELS];  // those of `parts`
};

void tile_order(Engine& g) {
    uint32_t* order = g.order.reserve(g.n);
    TileWalk walk{g.width, g.height};
    for (int64_t p = 0; p < g.n; ++p, walk.advance()) order[p] = uint32_t(walk.y * g.width + walk.x);
}

// The lattice of a kernel: one made before, or built in the memory of the one before.
bool prepare_lattice(CrfEngine& engine, const uint8_t* image, const CrfKernel& kernel, int k) {
    Engine& g = engine.parts;
    std::shared_ptr<Lattice>& lattice = engine.lattice[k];
    const bool positions = kernel.dimensions == 2 && !kernel.features;
    PositionLattices::Entry entry{
        g.width, g.height, {kernel.scales[0], kernel.scales[1]}, kernel.weight, g.size, nullptr};
    if (positions) entry.lattice = position_lattices.find(entry);
    if (entry.lattice) {
        lattice = entry.lattice;
    } else {
        if (!lattice || lattice.use_count() > 1) lattice = std::make_shared<Lattice>();
        if (!levels[engine.level].lattice(&g, image, &kernel, lattice.get())) return false;
        entry.lattice = lattice;
        if (positions) position_lattices.keep(entry);
    }
    g.lattice[k] = lattice.get();
    g.size += lattice->size;
    return true;
}

int build(
    CrfEngine& engine, const uint8_t* image, int64_t height, int64_t width, const CrfKernel* kernels, int count) {
    Engine& g = engine.parts;
    g.kernels = 0;  // none is whole before the end
    g.size = 0;
    if (height != g.height || width != g.width) {
        g.height = height, g.width = width, g.n = height * width;
        tile_order(g);
    }
    for (int k = 0; k < count; ++k)
        if (!prepare_lattice(engine, image, kernels[k], k)) return CRF_KEYS_TOO_WIDE;
    g.kernels = count;
    return CRF_OK;
}

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
    if (engine) engine->level = level;
    return engine;
}

CRF_API void crf_destroy(void* engine) { delete static_cast<CrfEngine*>(engine); }

// Lattices of one image, (height, width, 3).
CRF_API int crf_build(
    void* engine, const uint8_t* image, int64_t height, int64_t width, const CrfKernel* kernels, int count) {
    try {
        return build(*static_cast<CrfEngine*>(engine), image, height, width, kernels, count);
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
        CrfEngine& g = *static_cast<CrfEngine*>(engine);
        levels[g.level].infer(&g.parts, scores, q, plane, computed, absent, matrix, clip, iterations);
        return CRF_OK;
    } catch (const std::bad_alloc&) {
        return CRF_NO_MEMORY;
    }
}
