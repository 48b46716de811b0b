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

/* Changed colours times alpha, where `given` were there. */
INLINE void associate(float *restrict plane, const float *restrict given, const float *restrict alpha, int n) {
    for (int i = 0; i < n; i++) {
        float lit = given[i] == 0 ? 0.0f : plane[i];
        plane[i] = alpha[i] == 0 ? lit : plane[i] * alpha[i];
    }
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
