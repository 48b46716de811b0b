/* Painting and erasing where a region is, a pixel at a time; and planes that are nearly all of one value. */
#include <colors.h>
#include <string.h>

typedef float Four __attribute__((vector_size(16), aligned(4)));

enum { NONE, STRAIGHT, ASSOCIATED }; /* alpha states */

/* How much of each pixel is meant: what the region says, or all else, times `factor`. Whether it is any at all. */
INLINE int covered(const Pixels *region, float factor, int invert, ptrdiff_t y, ptrdiff_t x, int n,
                   float *restrict cover) {
    int some = 0;
    load(cover, pixel_at(region, y, x), region->pixel, 0, region->dtype, n);
    for (int i = 0; i < n; i++) {
        float part = invert ? 1 - cover[i] : cover[i];
        cover[i] = part * factor;
        some |= cover[i] != 0;
    }
    return some;
}

INLINE void copied(const Pixels *from, const Pixels *to, int channels, ptrdiff_t y, ptrdiff_t x, int n) {
    ptrdiff_t pixel = channels * sizeof(float);
    if (from->dtype == FLOAT32 && from->pixel == pixel && to->pixel == pixel)
        memcpy(pixel_at(to, y, x), pixel_at(from, y, x), n * pixel);
    else
        carry(from, to, channels, y, x, n);
}

/* The paint, straight and a value for every colour of the layout, over what is there: painting.py has the formula. */
KERNEL(paint)(const Pixels *from, const Pixels *region, const Pixels *to, const Layout *layout, int state, int last,
              const float *paint, float factor, int invert, ptrdiff_t height, ptrdiff_t width) {
    Plane cover, share, alpha, planes[3];
    for (ptrdiff_t y = 0; y < height; y++)
        for (ptrdiff_t x = 0; x < width; x += BLOCK) {
            int n = width - x < BLOCK ? (int)(width - x) : BLOCK;
            int some = covered(region, factor, invert, y, x, n, cover), others = state != NONE;
            if (!some || layout->count + others != layout->channels) copied(from, to, layout->channels, y, x, n);
            if (!some) continue;
            const char *at = pixel_at(from, y, x);
            for (int i = 0; i < n; i++) share[i] = cover[i];
            if (state != NONE) {
                load(alpha, at, from->pixel, last, from->dtype, n);
                for (int i = 0; i < n; i++) {
                    float over = cover[i] + alpha[i] * (1 - cover[i]);
                    float part = cover[i] / (over == 0 ? 1.0f : over);
                    if (state == STRAIGHT) share[i] = cover[i] == 0 ? 0.0f : part;
                    alpha[i] = alpha[i] * (1 - cover[i]) + cover[i];
                }
                store(pixel_at(to, y, x), to->pixel, last, alpha, n);
            }
            for (int first = 0; first < layout->count; first += 3) {
                int count = layout->count - first < 3 ? layout->count - first : 3;
                Layout some = {layout->channels, count, layout->colors + first, -1};
                for (int k = 0; k < count; k++) {
                    load(planes[k], at, from->pixel, some.colors[k], from->dtype, n);
                    for (int i = 0; i < n; i++)
                        planes[k][i] = planes[k][i] * (1 - share[i]) + paint[first + k] * share[i];
                }
                store_colors(planes, to, &some, y, x, n);
            }
        }
}

/* The layout's channels, of `given` and one of ones where there is one more, times what is not covered. */
KERNEL(fade)(const Pixels *from, const Pixels *region, const Pixels *to, const Layout *layout, int given, int invert,
             ptrdiff_t height, ptrdiff_t width) {
    Plane cover, plane;
    Four fading = {0, 0, 0, 0};
    int four = given == 4 && layout->channels == 4 && from->dtype == FLOAT32 && from->pixel == 16;
    for (int k = 0; four && k < layout->count; k++) fading[layout->colors[k]] = 1;
    for (ptrdiff_t y = 0; y < height; y++)
        for (ptrdiff_t x = 0; x < width; x += BLOCK) {
            int n = width - x < BLOCK ? (int)(width - x) : BLOCK;
            covered(region, 1, invert, y, x, n, cover);
            if (four) {
                const Four *at = (const Four *)pixel_at(from, y, x);
                Four *out = (Four *)pixel_at(to, y, x);
                for (int i = 0; i < n; i++) out[i] = at[i] * (1 - fading * cover[i]);
                continue;
            }
            if (layout->count != layout->channels) copied(from, to, given, y, x, n);
            for (int k = 0; k < layout->count; k++) {
                for (int i = 0; i < n; i++) plane[i] = 1;
                if (layout->colors[k] < given)
                    load(plane, pixel_at(from, y, x), from->pixel, layout->colors[k], from->dtype, n);
                for (int i = 0; i < n; i++) plane[i] *= 1 - cover[i];
                store(pixel_at(to, y, x), to->pixel, layout->colors[k], plane, n);
            }
        }
}

/* From each start up to the next, or to `size`, one shade; the plane is aligned, and stores are where that is worth it. */
KERNEL(pieces)(const int64_t *starts, const float *shades, float *plane, ptrdiff_t count, ptrdiff_t size) {
    for (ptrdiff_t piece = 0; piece < count; piece++) {
        ptrdiff_t stop = piece + 1 < count ? starts[piece + 1] : size;
        float shade = shades[piece];
        ptrdiff_t i = starts[piece];
        for (; i < stop && i % 16; i++) plane[i] = shade;
        for (; i + 16 <= stop; i += 16)
            for (int k = 0; k < 16; k++) plane[i + k] = shade;
        for (; i < stop; i++) plane[i] = shade;
    }
}
