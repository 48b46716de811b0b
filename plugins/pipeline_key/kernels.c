/* Keys: a ramp over one number per pixel, of the straight colours. The formulas are those of ramps.py and threshold.py. */
#include <colors.h>

enum { WEIGHTED, FARTHEST, DISTANCE }; /* measures */

/* (measure - low) * slope, held within 0 and 1; with a slope of 0 a step, 1 from `low` on, or up to it for a distance. */
typedef struct {
    int measure;
    float numbers[3]; /* weights, or the colour that distances are from */
    float low, slope;
    int invert, blank; /* what is no number stays, or is 0 */
} Ramp;

INLINE void colors_of(Plane *restrict planes, const Pixels *from, const Layout *layout, ptrdiff_t y, ptrdiff_t x, int n) {
    Plane alpha;
    const char *at = pixel_at(from, y, x);
    if (layout->alpha >= 0) load(alpha, at, from->pixel, layout->alpha, from->dtype, n);
    for (int k = 0; k < layout->count; k++) {
        load(planes[k], at, from->pixel, layout->colors[k], from->dtype, n);
        if (layout->alpha >= 0) straighten(planes[k], alpha, n);
    }
}

INLINE void ramped(const Ramp *ramp, float *restrict key, const float *restrict values, int n) {
    float low = ramp->low, slope = ramp->slope;
    if (slope != 0)
        for (int i = 0; i < n; i++) {
            float part = (values[i] - low) * slope;
            part = part < 0 ? 0 : part;
            key[i] = part > 1 ? 1 : part;
        }
    else if (ramp->measure == DISTANCE)
        for (int i = 0; i < n; i++) key[i] = values[i] <= low ? 1.0f : 0.0f;
    else
        for (int i = 0; i < n; i++) key[i] = values[i] >= low ? 1.0f : 0.0f;
    if (ramp->blank && slope != 0)
        for (int i = 0; i < n; i++) key[i] = key[i] == key[i] ? key[i] : 0;
    if (ramp->invert)
        for (int i = 0; i < n; i++) key[i] = 1 - key[i];
}

/* `other` is looked at for differences alone. */
KERNEL(key)(const Pixels *from, const Pixels *other, const Pixels *to, const Layout *layout,
            const Layout *other_layout, const Ramp *ramp, ptrdiff_t height, ptrdiff_t width) {
    Plane planes[3], others[3], found;
    const float *c = ramp->numbers;
    int as_stored = layout->channels == 1 && from->dtype == FLOAT32 && from->pixel == sizeof(float);
    for (ptrdiff_t y = 0; y < height; y++)
        for (ptrdiff_t x = 0; x < width; x += BLOCK) {
            int n = width - x < BLOCK ? (int)(width - x) : BLOCK;
            float *key = (float *)pixel_at(to, y, x);
            if (as_stored && ramp->measure == WEIGHTED) {
                ramped(ramp, key, (const float *)pixel_at(from, y, x), n);
                continue;
            }
            colors_of(planes, from, layout, y, x, n);
            const float *r = planes[0], *g = planes[1], *b = planes[2];
            if (ramp->measure == DISTANCE) {
                for (int i = 0; i < n; i++) {
                    float dr = r[i] - c[0], dg = g[i] - c[1], db = b[i] - c[2];
                    found[i] = sqrtf((dr * dr + dg * dg + db * db) * (1.0f / 3));
                }
            } else if (ramp->measure == FARTHEST) {
                colors_of(others, other, other_layout, y, x, n);
                for (int i = 0; i < n; i++) found[i] = 0;
                for (int k = 0; k < layout->count; k++)
                    for (int i = 0; i < n; i++) {
                        float apart = fabsf(planes[k][i] - others[k][i]);
                        found[i] = apart > found[i] || apart != apart ? apart : found[i];
                    }
            } else if (layout->count == 3) {
                for (int i = 0; i < n; i++) found[i] = r[i] * c[0] + g[i] * c[1] + b[i] * c[2];
            }
            ramped(ramp, key, ramp->measure == WEIGHTED && layout->count == 1 ? r : found, n);
        }
}
