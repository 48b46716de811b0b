/* What `Image.array` and `Image.associate` do, with the same bits; and bytes that go past the caches. */
#include <pixels.h>
#if defined(__SSE2__)
#include <immintrin.h>
#endif

/* Samples next to each other, in rows, as floats next to each other. */
KERNEL(floats)(const Pixels *from, float *to, ptrdiff_t height, ptrdiff_t samples) {
    for (ptrdiff_t y = 0; y < height; y++, to += samples)
        load_row(to, pixel_at(from, y, 0), from->dtype, samples);
}

/* Pixels of four samples next to each other: the first three multiplied by the last, or divided by it where it isn't 0. */
KERNEL(weigh)(const Pixels *from, float *to, int multiply, ptrdiff_t height, ptrdiff_t width) {
    Picks is_alpha;
    for (int i = 0; i < LANES; i++) is_alpha[i] = (i & 3) == 3 ? -1 : 0;
    ptrdiff_t samples = 4 * width, itemsize = from->pixel / 4;
    for (ptrdiff_t y = 0; y < height; y++, to += samples)
        for (ptrdiff_t x = 0; x < samples; x += BLOCK) {
            Plane part;
            int n = samples - x < BLOCK ? (int)(samples - x) : BLOCK;
            load(part, pixel_at(from, y, 0) + x * itemsize, itemsize, 0, from->dtype, n);
            for (int i = 0; i < n; i += LANES) {
                Lanes values = *(const Lanes *)(part + i), alpha = alpha_of(values), one = all(1);
                Lanes weighed = multiply ? values * pick(is_alpha, one, alpha)
                                         : values / pick(is_alpha | (alpha == 0), one, alpha);
                put_lanes(to + x + i, weighed, n - i);
            }
        }
}

/* Aligned lanes into memory without fetching it first, where processor and compiler know how. */
INLINE void put_past_caches(char *at, Lanes lanes) {
#if defined(__clang__)
    __builtin_nontemporal_store(lanes, (Lanes *)at);
#elif defined(__AVX512F__)
    _mm512_stream_ps((float *)at, (__m512)lanes);
#elif defined(__AVX__)
    _mm256_stream_ps((float *)at, (__m256)lanes);
#elif defined(__SSE2__)
    _mm_stream_ps((float *)at, (__m128)lanes);
#else
    *(Lanes *)at = lanes;
#endif
}

/* Bytes into memory that nobody reads soon. */
KERNEL(stream)(char *to, const char *from, ptrdiff_t bytes) {
    const ptrdiff_t size = sizeof(Lanes);
    ptrdiff_t i = -(uintptr_t)to % size;
    if (i > bytes) i = bytes;
    memcpy(to, from, i);
    for (; i + 4 * size <= bytes; i += 4 * size)
        for (int j = 0; j < 4; j++) put_past_caches(to + i + j * size, *(const Anywhere *)(from + i + j * size));
    memcpy(to + i, from + i, bytes - i);
#if defined(__SSE2__)
    _mm_sfence(); /* such stores may come after others: before anybody is told that they are there, they are */
#endif
}
