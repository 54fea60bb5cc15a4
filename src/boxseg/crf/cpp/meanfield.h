// Mean field: the passes over the pixels and the iterations.
#pragma once

#include <cmath>

#include "filtering.h"

namespace {

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
void read_ratio(const Engine& g, const Task& t, int64_t begin, int count, float* ratio) {
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
void penalise(Engine& g, const Task& t, float* message) {
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

void write_q(const Engine& g, const Task& t, int64_t begin, int count, const float* q, const float* last) {
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
// Settled blocks spread what they spread before, unless `all` are asked again, and may settle.
template <int D1, int D2>
void update(Engine& g, const Task& t, const float* from, float* to, size_t points, bool all) {
    const size_t cells = BLOCK * size_t(t.stride);
    float* q = g.work.data;
    float last[BLOCK];
    if (to && all) {
        std::memset(g.rest.data, 0, points * t.stride * sizeof(float));
        std::memset(to, 0, points * t.stride * sizeof(float));
    } else if (to) {
        std::memcpy(to, g.rest.data, points * t.stride * sizeof(float));
    }
    bool any = false;  // block has settled
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
        settled = from && all && is_certain(t, count, q, last);
        any |= settled;
        each_panel(t, [&](auto width, int first) {
            // Messages are linear: the difference of two classes gives that of their logits, with no class
            // left over and nothing lost to cancellation.
            subtract_rows<width.value>(q + BLOCK * first, last);
            float* const target = settled ? g.rest.data : to;
            splat<width.value, D1, D2>(g, begin, count, q + BLOCK * first, target + points * first);
        });
    }
    if (any)  // to what the others spread; later they begin with it
        for (size_t i = 0; i < points * t.stride; ++i) to[i] += g.rest.data[i];
}

template <int D1, int D2>
void mean_field(Engine& g, const Task& t, int iterations) {
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

}  // namespace
