/* Pixels for kernels: a part of a row of interleaved channels becomes planes of floats in the first cache, and back.
 *
 * See docs/decisions/0014-kernels-in-c.md. No kernel allocates, fails, or knows Python; each is told of memory that the
 * caller has checked, and runs without the interpreter's lock. Compiled without contraction, so that a sum of products
 * is rounded as numpy rounds it.
 */
#ifndef PIPELINE_PIXELS_H
#define PIPELINE_PIXELS_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#if defined(__SSE2__)
#include <immintrin.h>
#endif

#define INLINE static inline __attribute__((always_inline))

/* Built once for each LEVEL of processor, all in one library; `load_kernels` takes the best that this one has. */
#define NAMED_(name, level) name##_##level
#define NAMED(name, level) NAMED_(name, level)
#define KERNEL(name) __attribute__((visibility("default"))) void NAMED(name, LEVEL)

enum { UINT8, UINT16, FLOAT16, FLOAT32 };

/* (H, W, C) as it lies in memory: the samples of a pixel next to each other. The same fields as `kernels.Pixels`. */
typedef struct {
    char *at;
    ptrdiff_t row, pixel; /* bytes from one to the next */
    int dtype;
} Pixels;

#define BLOCK 256 /* pixels at once: a plane is 1 KiB */
typedef float Plane[BLOCK] __attribute__((aligned(64)));

/* Lanes of a plane that are reckoned at once; a loop over a part of a plane may go on to the last lane, as planes are
 * whole. Conditions are picked, not branched on. */
#if defined(__AVX512F__)
#define LANES 16
#elif defined(__AVX__)
#define LANES 8
#else
#define LANES 4
#endif
typedef float Lanes __attribute__((vector_size(4 * LANES), may_alias));
typedef int32_t Picks __attribute__((vector_size(4 * LANES), may_alias)); /* all bits or none */

INLINE Lanes pick(Picks when, Lanes then, Lanes otherwise) {
    return (Lanes)((when & (Picks)then) | (~when & (Picks)otherwise));
}
INLINE Lanes all(float value) { return (Lanes){} + value; }
/* numpy's minimum and maximum: what is not a number stays. */
INLINE Lanes least(Lanes a, Lanes b) { return pick((a < b) | (a != a), a, b); }
INLINE Lanes most(Lanes a, Lanes b) { return pick((a > b) | (a != a), a, b); }
INLINE Lanes magnitude(Lanes a) { return (Lanes)((Picks)a & 0x7fffffff); }
INLINE Lanes root(Lanes a) {
    for (int i = 0; i < LANES; i++) a[i] = sqrtf(a[i]);
    return a;
}

/* So many of them as are left, wherever they lie; the others are 0. */
typedef Lanes Anywhere __attribute__((aligned(4)));
INLINE Lanes lanes_at(const float *at, ptrdiff_t left) {
    if (left >= LANES) return *(const Anywhere *)at;
    Lanes lanes = all(0);
    memcpy(&lanes, at, left * sizeof(float));
    return lanes;
}
INLINE void put_lanes(float *at, Lanes lanes, ptrdiff_t left) {
    if (left >= LANES)
        *(Anywhere *)at = lanes;
    else
        memcpy(at, &lanes, left * sizeof(float));
}

/* The alpha of each pixel of four for all of its channels. */
INLINE Lanes alpha_of(Lanes pixels) {
#if defined(__clang__)
#define FOURTH(i) i | 3, (i + 1) | 3, (i + 2) | 3, (i + 3) | 3
#if LANES == 16
    return __builtin_shufflevector(pixels, pixels, FOURTH(0), FOURTH(4), FOURTH(8), FOURTH(12));
#elif LANES == 8
    return __builtin_shufflevector(pixels, pixels, FOURTH(0), FOURTH(4));
#else
    return __builtin_shufflevector(pixels, pixels, FOURTH(0));
#endif
#else
    Picks fourth;
    for (int i = 0; i < LANES; i++) fourth[i] = i | 3;
    return __builtin_shuffle(pixels, fourth);
#endif
}

/* x / 255 and x / 65535 as they are rightly rounded, without dividing: the first product is exact, as its factor has 16
 * and 8 bits, and tests/core/test_kernels.py tries every x. */
INLINE float of_uint8(uint8_t x) { return x * 0x1.01p-8f + x * 0x1.010102p-24f; }
INLINE float of_uint16(uint16_t x) { return x * 0x1p-16f + x * 0x1.0001p-32f; }

#if defined(__AVX2__) /* compilers find a longer way */
INLINE Lanes of_bytes(const uint8_t *at) {
#if LANES == 16
    Lanes x = (Lanes)_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)at)));
#else
    Lanes x = (Lanes)_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)at)));
#endif
    return x * 0x1.01p-8f + x * 0x1.010102p-24f;
}
#endif

INLINE char *pixel_at(const Pixels *pixels, ptrdiff_t y, ptrdiff_t x) {
    return pixels->at + y * pixels->row + x * pixels->pixel;
}

/* Samples next to each other as floats. */
INLINE void load_row(float *restrict to, const void *from, int dtype, ptrdiff_t samples) {
    if (dtype == UINT8) {
        ptrdiff_t whole = 0;
#if defined(__AVX2__)
        for (; whole + LANES <= samples; whole += LANES)
            put_lanes(to + whole, of_bytes((const uint8_t *)from + whole), LANES);
#endif
        for (ptrdiff_t i = whole; i < samples; i++) to[i] = of_uint8(((const uint8_t *)from)[i]);
    } else if (dtype == UINT16)
        for (ptrdiff_t i = 0; i < samples; i++) to[i] = of_uint16(((const uint16_t *)from)[i]);
    else if (dtype == FLOAT16)
        for (ptrdiff_t i = 0; i < samples; i++) to[i] = (float)((const _Float16 *)from)[i];
    else
        memcpy(to, from, samples * sizeof(float));
}

/* One sample of each of n pixels, as a float. */
INLINE void load(float *restrict plane, const char *at, ptrdiff_t pixel, int channel, int dtype, int n) {
    if (dtype == UINT8) {
        const uint8_t *from = (const uint8_t *)at + channel;
        if (pixel == 4) {
            for (int i = 0; i < n; i++) plane[i] = of_uint8(from[4 * i]);
        } else {
            for (int i = 0; i < n; i++) plane[i] = of_uint8(from[i * pixel]);
        }
    } else if (dtype == UINT16) {
        const uint16_t *from = (const uint16_t *)at + channel;
        ptrdiff_t step = pixel / 2;
        for (int i = 0; i < n; i++) plane[i] = of_uint16(from[i * step]);
    } else if (dtype == FLOAT16) {
        const _Float16 *from = (const _Float16 *)at + channel;
        ptrdiff_t step = pixel / 2;
        for (int i = 0; i < n; i++) plane[i] = (float)from[i * step];
    } else {
        const float *from = (const float *)at + channel;
        ptrdiff_t step = pixel / 4;
        if (step == 4) {
            for (int i = 0; i < n; i++) plane[i] = from[4 * i];
        } else if (step == 3) {
            for (int i = 0; i < n; i++) plane[i] = from[3 * i];
        } else if (step == 1) {
            for (int i = 0; i < n; i++) plane[i] = from[i];
        } else {
            for (int i = 0; i < n; i++) plane[i] = from[i * step];
        }
    }
}

/* All four samples of n pixels of four: one pass over them. */
INLINE void load_four(Plane *restrict planes, const char *at, int dtype, int n) {
    float *a = planes[0], *b = planes[1], *c = planes[2], *d = planes[3];
    if (dtype == UINT8) {
        const uint8_t *from = (const uint8_t *)at;
        for (int i = 0; i < n; i++) {
            a[i] = of_uint8(from[4 * i]);
            b[i] = of_uint8(from[4 * i + 1]);
            c[i] = of_uint8(from[4 * i + 2]);
            d[i] = of_uint8(from[4 * i + 3]);
        }
    } else if (dtype == FLOAT32) {
        const float *from = (const float *)at;
        for (int i = 0; i < n; i++) {
            a[i] = from[4 * i];
            b[i] = from[4 * i + 1];
            c[i] = from[4 * i + 2];
            d[i] = from[4 * i + 3];
        }
    } else {
        for (int channel = 0; channel < 4; channel++) load(planes[channel], at, 8, channel, dtype, n);
    }
}

/* Floats into one sample of each of n pixels of float32. */
INLINE void store(char *at, ptrdiff_t pixel, int channel, const float *restrict plane, int n) {
    float *to = (float *)at + channel;
    ptrdiff_t step = pixel / 4;
    if (step == 4) {
        for (int i = 0; i < n; i++) to[4 * i] = plane[i];
    } else if (step == 1) {
        for (int i = 0; i < n; i++) to[i] = plane[i];
    } else {
        for (int i = 0; i < n; i++) to[i * step] = plane[i];
    }
}

INLINE void store_four(char *at, Plane *restrict planes, int n) {
    float *to = (float *)at;
    const float *a = planes[0], *b = planes[1], *c = planes[2], *d = planes[3];
    for (int i = 0; i < n; i++) {
        to[4 * i] = a[i];
        to[4 * i + 1] = b[i];
        to[4 * i + 2] = c[i];
        to[4 * i + 3] = d[i];
    }
}

#endif
