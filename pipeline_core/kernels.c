/* What `Image.array` and `Image.associate` do, with the same bits. */
#include <pixels.h>

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
