// What libFuzzer feeds the compiled CRF: bytes become images, kernels, scores and penalties, for the functions that
// native.py calls. An input runs on every instruction set of this processor, one after the other or in threads at once.
// Whatever native.py would refuse is refused here. Errors are those of AddressSanitizer and UndefinedBehaviorSanitizer,
// a Q that is no number or does not sum to 1, and instruction sets that do not give the same bits.
//
//     CXX=clang++ cmake -S . -B build/fuzz -DCRF_SANITIZE=ON -DCRF_FUZZ=ON && cmake --build build/fuzz
//     mkdir -p build/corpus/crf && build/fuzz/crf_fuzz build/corpus/crf -max_total_time=1800 -print_final_stats=1

#include <fuzzer/FuzzedDataProvider.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <random>
#include <thread>
#include <vector>

#include "engine.h"

extern "C" {
int crf_levels();
void* crf_create(int);
void crf_destroy(void*);
int crf_build(void*, const uint8_t*, int64_t, int64_t, const CrfKernel*, int);
int crf_infer(void*, const float*, float*, const int32_t*, int, int, const float*, float, int);
}

namespace {

constexpr int MOST_SIDE = 120, MOST_CLASSES = 70, MOST_IMAGES = 3, MOST_ITERATIONS = 7;
// Pixels, and pixels times classes: more only takes time.
constexpr int64_t MOST_PIXELS = 3000, MOST_VALUES = 12000;
constexpr double KEY_LIMIT = 32767;     // as in embedding.py
constexpr double LEAST_SIGMA = 1e-30, MOST_WEIGHT = 1e15;  // as in kernels.py and inputs.py
constexpr float TOLERANCE = 1e-4f;      // of a sum of Q

struct Kernel {
    std::vector<double> sigma;
    float weight;
    std::vector<float> scales, features;
};

struct Case {
    int64_t height, width;
    int classes, iterations;
    float clip;
    std::vector<uint8_t> image;
    std::vector<Kernel> kernels;
    std::vector<float> scores, matrix;
    std::vector<int32_t> plane;
    int computed, absent;
};

[[noreturn]] void fail(const char* what, const Case& c) {
    std::fprintf(
        stderr, "the CRF is wrong: %s\n%lld x %lld, %d classes, %d computed, clip %g, %d iterations, %s\n", what,
        (long long)c.height, (long long)c.width, c.classes, c.computed, c.clip, c.iterations,
        c.matrix.empty() ? "Potts" : "a matrix");
    for (size_t i = 0; i < c.matrix.size() && i < 4; ++i) std::fprintf(stderr, "%g ", c.matrix[i]);
    for (const Kernel& kernel : c.kernels) {
        const char* of = kernel.features.empty() ? "" : " of features";
        std::fprintf(stderr, "kernel%s, weight %g, sigma", of, kernel.weight);
        for (double sigma : kernel.sigma) std::fprintf(stderr, " %g", sigma);
        std::fprintf(stderr, "\n");
    }
    std::abort();
}

// A number of the usual size, or any finite one.
double number(FuzzedDataProvider& data, double low, double high) {
    if (data.ConsumeProbability<float>() < .85f)  // by magnitude
        return low * std::pow(high / low, data.ConsumeProbability<double>());
    const uint64_t bits = data.ConsumeIntegral<uint64_t>();
    double value;
    std::memcpy(&value, &bits, sizeof value);
    return std::isfinite(value) ? value : -low;
}

// axis_scales of embedding.py.
std::vector<double> axis_scales(int d) {
    const double reach = float(std::sqrt(2. / 3) * (d + 1));
    std::vector<double> scales;
    for (int i = 0; i < d; ++i) scales.push_back(reach / std::sqrt((i + 1.) * (i + 2)));
    return scales;
}

// largest_key of embedding.py: whether features in [0, extent] fit into the lattice.
bool fits(const std::vector<double>& extent) {
    const int d = int(extent.size());
    const std::vector<double> scales = axis_scales(d);
    double sum = 0, reach = 0;
    for (int i = 0; i < d; ++i) {
        sum += extent[i] * scales[i];
        reach = std::max(reach, (i + 1) * extent[i] * scales[i]);
    }
    return std::max(sum, reach) + 2 * (d + 1) <= KEY_LIMIT;
}

// Values that repeat a few bytes, or noise.
std::vector<uint8_t> pattern(FuzzedDataProvider& data, size_t count) {
    std::vector<uint8_t> values(count);
    const std::vector<uint8_t> few = data.ConsumeBytes<uint8_t>(data.ConsumeIntegralInRange<size_t>(0, 24));
    std::minstd_rand noise(data.ConsumeIntegral<uint16_t>());
    for (size_t i = 0; i < count; ++i) values[i] = few.empty() ? uint8_t(noise() >> 8) : few[i % few.size()];
    return values;
}

// What kernels.py lets through.
bool usable(const Kernel& kernel, const Case& c) {
    if (!(std::fabs(kernel.weight) <= MOST_WEIGHT)) return false;
    for (double sigma : kernel.sigma)
        if (!(sigma >= LEAST_SIGMA && sigma <= 1 / LEAST_SIGMA)) return false;
    std::vector<double> extent;
    if (kernel.features.empty()) {
        const double most[] = {double(c.width - 1), double(c.height - 1), 255, 255, 255};
        for (size_t i = 0; i < kernel.sigma.size(); ++i) extent.push_back(most[i] / kernel.sigma[i]);
    } else {
        for (size_t i = 0; i < kernel.sigma.size(); ++i) {
            float most = 0;
            for (int64_t p = 0; p < c.height * c.width; ++p) {
                const float v = kernel.features[i * c.height * c.width + p];
                if (!std::isfinite(v)) return false;
                most = std::max(most, std::fabs(v));
            }
            extent.push_back(2. * most);
        }
    }
    return fits(extent);
}

void read_kernel(FuzzedDataProvider& data, Case& c) {
    Kernel kernel;
    const int kind = data.ConsumeIntegralInRange(0, 3), n = int(c.height * c.width);
    const int d = kind < 3 ? (kind ? 5 : 2) : data.ConsumeIntegralInRange(1, MAX_D);
    for (int i = 0; i < d; ++i) kernel.sigma.push_back(kind < 3 ? number(data, .01, 300) : 1);
    kernel.weight = float(number(data, .01, 1000));
    if (kind == 3) {
        const float reach = float(number(data, .01, 1000));
        for (uint8_t v : pattern(data, size_t(d) * n)) kernel.features.push_back((v - 128) / 128.f * reach);
    }
    for (double sigma : kernel.sigma) kernel.scales.push_back(float(sigma));
    for (double scale : axis_scales(d)) kernel.scales.push_back(float(scale));
    if (usable(kernel, c)) c.kernels.push_back(kernel);
}

// As `Settings.to_compute`: the classes that are anywhere, and one for all the others.
void choose_classes(Case& c) {
    const int64_t n = c.height * c.width;
    std::vector<int32_t> others;
    for (int k = 0; k < c.classes; ++k) {
        const float* plane = c.scores.data() + k * n;
        const bool present = !c.matrix.empty() || *std::max_element(plane, plane + n) > c.clip;
        (present ? c.plane : others).push_back(k);
    }
    c.computed = int(c.plane.size()) + !others.empty();
    c.absent = std::max(int(others.size()), 1);
    c.plane.insert(c.plane.end(), others.begin(), others.end());
}

void read_matrix(FuzzedDataProvider& data, Case& c) {
    const double reach = number(data, .01, 1000);
    if (!(std::fabs(reach) <= MOST_WEIGHT)) return;
    const std::vector<uint8_t> values = pattern(data, size_t(c.classes) * c.classes);
    c.matrix.resize(values.size());
    for (int a = 0; a < c.classes; ++a)
        for (int b = 0; b <= a; ++b)
            c.matrix[a * c.classes + b] = c.matrix[b * c.classes + a] =
                float((values[a * c.classes + b] - 128) / 128. * reach);
}

bool read_case(FuzzedDataProvider& data, Case& c) {
    c.height = data.ConsumeIntegralInRange(1, MOST_SIDE);
    c.width = data.ConsumeIntegralInRange<int64_t>(1, std::min<int64_t>(MOST_SIDE, MOST_PIXELS / c.height));
    const int64_t n = c.height * c.width;
    c.classes = int(data.ConsumeIntegralInRange<int64_t>(1, std::min<int64_t>(MOST_CLASSES, MOST_VALUES / n)));
    c.iterations = data.ConsumeIntegralInRange(0, MOST_ITERATIONS);
    c.clip = float(number(data, 1e-30, .99));
    if (!(c.clip >= 1e-30f && c.clip < 1)) return false;
    c.image = pattern(data, size_t(n) * 3);
    for (int count = data.ConsumeIntegralInRange(1, n < 1000 ? MAX_KERNELS : 3); count; --count) read_kernel(data, c);
    if (c.kernels.empty()) return false;
    const float sharpness = float(data.ConsumeIntegralInRange(1, 40));
    for (uint8_t v : pattern(data, size_t(n) * c.classes))
        c.scores.push_back(v == 254 ? 1.001f : v == 253 ? -.001f : std::pow(v / 255.f, sharpness));
    const std::vector<uint8_t> left_out = data.ConsumeBytes<uint8_t>(data.ConsumeIntegralInRange<size_t>(0, 8));
    for (uint8_t k : left_out) {
        float* plane = c.scores.data() + k % c.classes * n;
        std::fill(plane, plane + n, 0.f);
    }
    if (data.ConsumeProbability<float>() < .3f) read_matrix(data, c);
    choose_classes(c);
    return true;
}

// Q of one image on one engine; empty where its keys are too wide, which torch computes then.
std::vector<float> infer(void* engine, const Case& c) {
    std::vector<CrfKernel> kernels;
    for (const Kernel& k : c.kernels) {
        const float* own = k.features.empty() ? nullptr : k.features.data();
        kernels.push_back({int32_t(k.sigma.size()), k.weight, k.scales.data(), own});
    }
    const int built = crf_build(engine, c.image.data(), c.height, c.width, kernels.data(), int(kernels.size()));
    if (built == CRF_KEYS_TOO_WIDE) return {};
    std::vector<float> q(c.scores.size(), std::numeric_limits<float>::quiet_NaN());
    const float* matrix = c.matrix.empty() ? nullptr : c.matrix.data();
    const int done = crf_infer(
        engine, c.scores.data(), q.data(), c.plane.data(), c.computed, c.absent, matrix, c.clip, c.iterations);
    if (built != CRF_OK || done != CRF_OK) fail("it says that memory ran out", c);
    return q;
}

void check(const Case& c, const std::vector<float>& q) {
    const int64_t n = c.height * c.width;
    for (int64_t p = 0; p < n && !q.empty(); ++p) {
        float sum = 0;
        for (int k = 0; k < c.classes; ++k) {
            const float v = q[k * n + p];
            if (!(v >= 0 && v <= 1 + TOLERANCE)) fail("Q is no probability", c);
            sum += v;
        }
        if (!(std::fabs(sum - 1) < TOLERANCE)) fail("Q does not sum to 1", c);
    }
}

struct Engines {
    std::vector<void*> all;
    Engines() {
        for (int level = 0; level < crf_levels(); ++level) all.push_back(crf_create(level));
    }
    ~Engines() {
        for (void* engine : all) crf_destroy(engine);
    }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
    FuzzedDataProvider data(bytes, size);
    Engines engines;  // keep the memory of one image for the next
    for (int image = 0; image < MOST_IMAGES && data.remaining_bytes(); ++image) {
        const bool at_once = data.ConsumeBool();
        Case c;
        if (!read_case(data, c)) return 0;
        std::vector<std::vector<float>> q(engines.all.size());
        std::vector<std::thread> threads;
        for (size_t level = 0; level < q.size(); ++level) {
            const auto work = [&, level] { q[level] = infer(engines.all[level], c); };
            if (at_once)
                threads.emplace_back(work);
            else
                work();
        }
        for (std::thread& thread : threads) thread.join();
        for (const std::vector<float>& own : q) {
            check(c, own);
            if (own != q[0]) fail("instruction sets differ", c);
        }
    }
    return 0;
}
