// What the parts of the compiled CRF share: memory, lattices, the state of one call.
//
// Everything is in an anonymous namespace, and nothing of the C++ library that lives in headers is used, here and in
// what is compiled once for each instruction set: of two copies of such a function the linker keeps one, and might keep
// that of an instruction set that the processor lacks. For the same reason there are no global variables to set up.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#if defined(__linux__)
#include <sys/mman.h>
#endif

enum CrfStatus { CRF_OK = 0, CRF_NO_MEMORY = 1, CRF_KEYS_TOO_WIDE = 2 };

struct CrfKernel {        // mirrored in native.py
    int32_t dimensions;   // 2 (x, y), 5 (x, y, r, g, b), or that of the features
    float weight;         // in the sum of messages
    const float* scales;  // sigma of each dimension, then axis scale of each dimension
    const float* features;  // (dimensions, H * W) already divided by sigma; null for position and colour
};

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
constexpr size_t LARGE = size_t(1) << 25;  // bytes of a buffer

// Memory that grows and is kept for the next image; not initialised, only `kept` elements survive growth.
template <class T>
struct Buffer {
    T* data = nullptr;
    size_t room = 0;  // bytes

    T* reserve(size_t count, size_t kept = 0) {
        if (count == 0) count = 1;  // never a null pointer
        if (count * sizeof(T) > room) {
            if (kept) count += count / 2;
            constexpr size_t page = size_t(1) << 21;
            size_t bytes = count * sizeof(T);
            // Huge pages are faster to get and to look up. Of less memory, what the network has freed in the heap is
            // taken as it lies: a whole number of huge pages would not be found there.
            const bool large = bytes >= LARGE;
            if (large) bytes = (bytes + page - 1) / page * page;
            if (!kept) std::free(data), data = nullptr, room = 0;
            void* memory = nullptr;
            if (posix_memalign(&memory, large ? page : 64, bytes)) throw std::bad_alloc();
#if defined(__linux__)
            if (large) madvise(memory, bytes, MADV_HUGEPAGE);
#endif
            if (kept) std::memcpy(memory, data, kept * sizeof(T)), std::free(data);
            data = static_cast<T*>(memory);
            room = bytes;
        }
        return data;
    }
    template <class U>
    void swap(Buffer<U>& other) {
        T* const memory = data;
        const size_t bytes = room;
        data = reinterpret_cast<T*>(other.data), room = other.room;
        other.data = reinterpret_cast<U*>(memory), other.room = bytes;
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
        return size_t(n) * (d + 1) * (sizeof(uint32_t) + sizeof(float)) + chains.room;
    }
};

struct Panel {
    int first, width;  // channels first ... first + width - 1, those beyond the last stay 0
};

template <class Key>
struct Point {
    Key key;
    uint32_t id;
};

struct Slot {  // of the hash table
    uint32_t tag;  // the low half of the key, nearly always all of it
    uint32_t id;
};

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

constexpr int MAX_KERNELS = 8;

struct Engine {
    int64_t width = 0, height = 0, n = 0;
    int kernels = 0;
    uint32_t size = 0;             // points of all kernels
    const Lattice* lattice[MAX_KERNELS] = {};
    Buffer<uint32_t> order;        // raster index of each pixel, in the order of the tiles
    // while building
    Buffer<uint64_t> keys;
    Buffer<Slot> table;
    Buffer<uint32_t> next;
    Buffer<uint8_t> follows;
    Buffer<uint64_t> sorted, spare;  // points by increasing key
    uint64_t mask = 0;
    int shift = 0;
    bool wide = false;             // whether keys have more than 32 bits
    // while inferring
    Buffer<float> values, ratio, work, mixed, rest;
    Buffer<uint8_t> settled;       // of each block of pixels, whether `rest` has what it spreads
    Buffer<Panel> panels;

    // What is of no use while building and what is of none later take turns in the same memory.
    void take_turns() {
        values.swap(table);
        ratio.swap(sorted);
        rest.swap(spare);
    }
};

}  // namespace
