/* The colours of a picture among its other channels: straight while they change, and back in the state they came in.
 *
 * As docs/data.md has it: where alpha is 0 there is nothing to divide by; light there is changed as it is, and black
 * stays black.
 */
#ifndef PIPELINE_COLORS_H
#define PIPELINE_COLORS_H

#include <pixels.h>

/* The same fields as `passes.Layout`. */
typedef struct {
    int channels;      /* of a pixel */
    int count;         /* of them colours */
    const int *colors; /* where those are */
    int alpha;         /* where the alpha is that they are multiplied by; -1 where they are straight */
} Layout;

INLINE void straighten(float *restrict plane, const float *restrict alpha, int n) {
    for (int i = 0; i < n; i++) plane[i] /= alpha[i] == 0 ? 1.0f : alpha[i];
}

/* A block of a colour, straight. Where it is associated with this alpha, `given` keeps what was there. */
INLINE void load_straight(float *restrict plane, float *restrict given, const float *restrict alpha, const Pixels *from,
                          const Layout *layout, int channel, ptrdiff_t y, ptrdiff_t x, int n) {
    load(plane, pixel_at(from, y, x), from->pixel, channel, from->dtype, n);
    if (layout->alpha < 0) return;
    for (int i = 0; i < n; i++) given[i] = plane[i];
    straighten(plane, alpha, n);
}

/* Changed colours times alpha, where `given` were there. */
INLINE void associate(float *restrict plane, const float *restrict given, const float *restrict alpha, int n) {
    for (int i = 0; i < n; i++) {
        float lit = given[i] == 0 ? 0.0f : plane[i];
        plane[i] = alpha[i] == 0 ? lit : plane[i] * alpha[i];
    }
}

/* Whether a part is so large that nobody will find it in a cache again: it is better written past them. */
INLINE int is_large(const Pixels *to, ptrdiff_t height, ptrdiff_t width) {
    return height * width * to->pixel >= 4 << 20;
}

/* Floats next to each other, past the caches: what is there is not read first. `end_stream` comes before others read. */
INLINE void stream(char *at, const float *restrict values, int n) {
    int i = 0;
#if defined(__SSE2__)
    if ((uintptr_t)at % 16 == 0)
        for (; i + 4 <= n; i += 4) _mm_stream_ps((float *)at + i, _mm_loadu_ps(values + i));
#endif
    for (; i < n; i++) ((float *)at)[i] = values[i];
}

INLINE void end_stream(void) {
#if defined(__SSE2__)
    _mm_sfence();
#endif
}

/* A block of the colours, into where they are. */
INLINE void store_colors(Plane *restrict planes, const Pixels *to, const Layout *layout, ptrdiff_t y, ptrdiff_t x,
                         int n) {
    const int *colors = layout->colors;
    char *at = pixel_at(to, y, x);
    if (to->pixel == 12 && layout->count == 3 && colors[0] == 0 && colors[1] == 1 && colors[2] == 2) {
        const float *a = planes[0], *b = planes[1], *c = planes[2];
        for (int i = 0; i < n; i++) {
            ((float *)at)[3 * i] = a[i];
            ((float *)at)[3 * i + 1] = b[i];
            ((float *)at)[3 * i + 2] = c[i];
        }
        return;
    }
    for (int k = 0; k < layout->count; k++) store(at, to->pixel, colors[k], planes[k], n);
}

/* Every channel of a block as floats, for a kernel that changes some of them afterwards. */
INLINE void carry(const Pixels *from, const Pixels *to, int channels, ptrdiff_t y, ptrdiff_t x, int n) {
    Plane plane;
    for (int channel = 0; channel < channels; channel++) {
        load(plane, pixel_at(from, y, x), from->pixel, channel, from->dtype, n);
        store(pixel_at(to, y, x), to->pixel, channel, plane, n);
    }
}

#endif
