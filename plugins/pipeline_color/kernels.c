/* Lines and matrices; and tables looked up: curves of each channel, and cubes of R, G and B together. */
#include <colors.h>

/* --- lines and matrices --------------------------------------------------------------------------------------------- */

/* Each straight colour times a slope, plus an offset, held within low and high. */
KERNEL(scaled)(const Pixels *from, const Pixels *to, const Layout *layout, const float *slopes, const float *offsets,
               float low, float high, ptrdiff_t height, ptrdiff_t width) {
    Plane planes[3], given, alpha;
    int associated = layout->alpha >= 0, large = is_large(to, height, width);
    for (ptrdiff_t y = 0; y < height; y++)
        for (ptrdiff_t x = 0; x < width; x += BLOCK) {
            int n = width - x < BLOCK ? (int)(width - x) : BLOCK;
            const char *at = pixel_at(from, y, x);
            if (layout->channels == 1 && from->dtype == FLOAT32 && from->pixel == sizeof(float)) {
                const float *values = (const float *)at;
                float *out = large ? planes[0] : (float *)pixel_at(to, y, x);
                for (int i = 0; i < n; i++) {
                    float value = values[i] * slopes[0] + offsets[0];
                    value = value < low ? low : value;
                    out[i] = value > high ? high : value;
                }
                if (large) stream(pixel_at(to, y, x), out, n);
                continue;
            }
            if (layout->count != layout->channels) carry(from, to, layout->channels, y, x, n);
            if (associated) load(alpha, at, from->pixel, layout->alpha, from->dtype, n);
            for (int first = 0; first < layout->count; first += 3) {
                Layout some = {layout->channels, layout->count - first < 3 ? layout->count - first : 3,
                               layout->colors + first, layout->alpha};
                for (int k = 0; k < some.count; k++) {
                    float *plane = planes[k], slope = slopes[first + k], offset = offsets[first + k];
                    load_straight(plane, given, alpha, from, layout, some.colors[k], y, x, n);
                    for (int i = 0; i < n; i++) {
                        float value = plane[i] * slope + offset;
                        value = value < low ? low : value;
                        plane[i] = value > high ? high : value;
                    }
                    if (associated) associate(plane, given, alpha, n);
                }
                store_colors(planes, to, &some, y, x, n);
            }
        }
    end_stream();
}

/* x ^ p for x above 0: of x = m 2^e both factors' powers are in tables, m's at even steps from 1 to 2. */
typedef struct {
    const float *mantissas, *exponents; /* from e = -151 on, and of infinity */
    int bits;                           /* of a mantissa that tell its step */
} Power;

enum { DENORMAL_BITS = 24 };

typedef uint64_t Pair __attribute__((aligned(4), may_alias)); /* of floats, taken at once */

INLINE void raise(float *restrict plane, const Power *power, int n) {
    int32_t step[BLOCK], exponent[BLOCK];
    Plane part, factor;
    Pair found[BLOCK];
    int rest = 23 - power->bits;
    float within = 1.0f / (float)(1 << rest);
    for (int i = 0; i < n; i++) {
        int denormal = plane[i] < 0x1p-126f;
        union {
            float value;
            int32_t bits;
        } x = {denormal ? plane[i] * 0x1p24f : plane[i]};
        exponent[i] = ((x.bits >> 23) & 255) + (denormal ? 0 : DENORMAL_BITS);
        step[i] = (x.bits & 0x7fffff) >> rest;
        part[i] = (float)(x.bits & ((1 << rest) - 1)) * within;
    }
    for (int i = 0; i < n; i++) found[i] = *(const Pair *)(power->mantissas + step[i]);
    for (int i = 0; i < n; i++) factor[i] = power->exponents[exponent[i]];
    for (int i = 0; i < n; i++) {
        const float *pair = (const float *)&found[i];
        float raised = (pair[0] + (pair[1] - pair[0]) * part[i]) * factor[i];
        plane[i] = plane[i] > 0 ? raised : plane[i];
    }
}

/* value * slope + offset, held within low and high, raised to a power where that is above 0, and a line once more. */
typedef struct {
    Power power;
    float slope, offset, low, high, then_slope, then_offset;
} Raise;

INLINE void raise_line(float *restrict plane, const Raise *change, int n) {
    float low = change->low, high = change->high, slope = change->slope, offset = change->offset;
    for (int i = 0; i < n; i++) {
        float value = plane[i] * slope + offset;
        value = value < low ? low : value;
        plane[i] = value > high ? high : value;
    }
    raise(plane, &change->power, n);
    slope = change->then_slope, offset = change->then_offset;
    for (int i = 0; i < n; i++) plane[i] = plane[i] * slope + offset;
}

/* Each straight colour by a change of its own. */
KERNEL(raised)(const Pixels *from, const Pixels *to, const Layout *layout, const Raise *changes, ptrdiff_t height,
               ptrdiff_t width) {
    Plane plane, given, alpha;
    int associated = layout->alpha >= 0;
    for (ptrdiff_t y = 0; y < height; y++)
        for (ptrdiff_t x = 0; x < width; x += BLOCK) {
            int n = width - x < BLOCK ? (int)(width - x) : BLOCK;
            if (layout->count != layout->channels) carry(from, to, layout->channels, y, x, n);
            if (associated) load(alpha, pixel_at(from, y, x), from->pixel, layout->alpha, from->dtype, n);
            for (int k = 0; k < layout->count; k++) {
                load_straight(plane, given, alpha, from, layout, layout->colors[k], y, x, n);
                raise_line(plane, changes + k, n);
                if (associated) associate(plane, given, alpha, n);
                store(pixel_at(to, y, x), to->pixel, layout->colors[k], plane, n);
            }
        }
}

INLINE void times(const float *m, Plane *restrict planes, Plane *restrict found, int n) {
    for (int k = 0; k < 3; k++)
        for (int i = 0; i < n; i++)
            found[k][i] = planes[0][i] * m[3 * k] + planes[1][i] * m[3 * k + 1] + planes[2][i] * m[3 * k + 2];
}

/* R, G and B of each layer times a matrix: the same for associated and straight values. */
KERNEL(mixed)(const Pixels *from, const Pixels *to, const Layout *layout, const float *m, ptrdiff_t height,
              ptrdiff_t width) {
    Plane planes[3], found[3];
    for (ptrdiff_t y = 0; y < height; y++)
        for (ptrdiff_t x = 0; x < width; x += BLOCK) {
            int n = width - x < BLOCK ? (int)(width - x) : BLOCK;
            if (layout->count != layout->channels) carry(from, to, layout->channels, y, x, n);
            for (int first = 0; first < layout->count; first += 3) {
                Layout triple = {layout->channels, 3, layout->colors + first, -1};
                for (int k = 0; k < 3; k++)
                    load(planes[k], pixel_at(from, y, x), from->pixel, triple.colors[k], from->dtype, n);
                times(m, planes, found, n);
                store_colors(found, to, &triple, y, x, n);
            }
        }
}

/* --- colour spaces -------------------------------------------------------------------------------------------------- */

/* The curve of a colour space: near 0 a line, beyond it a power. Negative values are mirrored. */
typedef struct {
    Power power; /* without tables there is no curve */
    float limit, slope, scale, offset;
} Transfer;

/* From encoded values (x scale + offset)^p, and to them x^p scale + offset. */
INLINE void transfer(float *restrict plane, const Transfer *curve, int decodes, int n) {
    Plane bent;
    float limit = curve->limit, slope = curve->slope, scale = curve->scale, offset = curve->offset;
    if (!curve->power.mantissas) return;
    for (int i = 0; i < n; i++) bent[i] = fabsf(plane[i]);
    if (decodes)
        for (int i = 0; i < n; i++) bent[i] = bent[i] * scale + offset;
    raise(bent, &curve->power, n);
    if (!decodes)
        for (int i = 0; i < n; i++) bent[i] = bent[i] * scale + offset;
    for (int i = 0; i < n; i++) {
        float size = fabsf(plane[i]), straight = size * slope;
        plane[i] = copysignf(size <= limit ? straight : bent[i], plane[i]);
    }
}

/* Each straight colour decoded; R, G and B of each layer times a matrix, if there is one; and encoded. */
KERNEL(converted)(const Pixels *from, const Pixels *to, const Layout *layout, const Transfer *decode, const float *m,
                  const Transfer *encode, ptrdiff_t height, ptrdiff_t width) {
    Plane planes[3], given[3], linear[3], alpha;
    int associated = layout->alpha >= 0;
    for (ptrdiff_t y = 0; y < height; y++)
        for (ptrdiff_t x = 0; x < width; x += BLOCK) {
            int n = width - x < BLOCK ? (int)(width - x) : BLOCK;
            if (layout->count != layout->channels) carry(from, to, layout->channels, y, x, n);
            if (associated) load(alpha, pixel_at(from, y, x), from->pixel, layout->alpha, from->dtype, n);
            for (int first = 0; first < layout->count; first += 3) {
                Layout some = {layout->channels, layout->count - first < 3 ? layout->count - first : 3,
                               layout->colors + first, layout->alpha};
                for (int k = 0; k < some.count; k++) {
                    load_straight(planes[k], given[k], alpha, from, layout, some.colors[k], y, x, n);
                    transfer(planes[k], decode, 1, n);
                }
                if (m) {
                    times(m, planes, linear, n);
                    for (int k = 0; k < 3; k++)
                        for (int i = 0; i < n; i++) planes[k][i] = linear[k][i];
                }
                for (int k = 0; k < some.count; k++) {
                    transfer(planes[k], encode, 0, n);
                    if (associated) associate(planes[k], given[k], alpha, n);
                }
                store_colors(planes, to, &some, y, x, n);
            }
        }
}

/* --- curves --------------------------------------------------------------------------------------------------------- */

/* Values at even steps from `first` to `last`, and one more; beyond both, lines of these slopes. See cubic.py. */
typedef struct {
    const float *table;
    float first, last, scale, end; /* a value's place is (value - first) * scale, from 0 to end */
    float slope_before, slope_after;
} Curve;

INLINE void look_up(float *restrict plane, const Curve *curve, int n) {
    int32_t below[BLOCK];
    Plane part;
    for (int i = 0; i < n; i++) {
        float place = (plane[i] - curve->first) * curve->scale;
        place = place > 0 ? place : 0; /* what is no number, too */
        place = place < curve->end ? place : curve->end;
        below[i] = (int32_t)place;
        part[i] = place - (float)below[i];
    }
    Pair found[BLOCK];
    for (int i = 0; i < n; i++) found[i] = *(const Pair *)(curve->table + below[i]);
    for (int i = 0; i < n; i++) {
        const float *pair = (const float *)&found[i];
        float value = plane[i], low = pair[0], between = low + (pair[1] - low) * part[i];
        float before = low + (value - curve->first) * curve->slope_before;
        float after = low + (value - curve->last) * curve->slope_after;
        between = value > curve->last ? after : between;
        between = value < curve->first ? before : between;
        plane[i] = value == value ? between : value;
    }
}

/* Each colour by a curve, and then by another; NULL is none. */
KERNEL(curved)(const Pixels *from, const Pixels *to, const Layout *layout, const Curve *const *own,
               const Curve *const *then, ptrdiff_t height, ptrdiff_t width) {
    Plane plane, given, alpha;
    int associated = layout->alpha >= 0;
    for (ptrdiff_t y = 0; y < height; y++)
        for (ptrdiff_t x = 0; x < width; x += BLOCK) {
            int n = width - x < BLOCK ? (int)(width - x) : BLOCK;
            if (layout->count != layout->channels) carry(from, to, layout->channels, y, x, n);
            if (associated) load(alpha, pixel_at(from, y, x), from->pixel, layout->alpha, from->dtype, n);
            for (int k = 0; k < layout->count; k++) {
                load_straight(plane, given, alpha, from, layout, layout->colors[k], y, x, n);
                if (own[k]) look_up(plane, own[k], n);
                if (then[k]) look_up(plane, then[k], n);
                if (associated) associate(plane, given, alpha, n);
                store(pixel_at(to, y, x), to->pixel, layout->colors[k], plane, n);
            }
        }
}

/* --- cubes ---------------------------------------------------------------------------------------------------------- */

typedef float Entry __attribute__((vector_size(16), aligned(4))); /* R, G, B, and nothing */

typedef struct {
    const Entry *entries; /* red next to red, then rows of green, then slices of blue */
    int size;
    float low[3], length[3]; /* of the domain */
} Cube;

/* Where values lie: the entry below, and how far above it. What is no number lies at 0. */
INLINE void place(const Cube *cube, int channel, const float *restrict plane, float *restrict below,
                  float *restrict part, int n) {
    float last = (float)(cube->size - 1);
    for (int i = 0; i < n; i++) {
        float at = (plane[i] - cube->low[channel]) / cube->length[channel] * last;
        at = at > 0 ? at : 0;
        at = at < last ? at : last;
        float whole = (float)(int32_t)at;
        whole = whole < last - 1 ? whole : last - 1;
        below[i] = whole;
        part[i] = at - whole;
    }
}

/* From the corner below to the corner above along the edges of one of six tetrahedra: the largest part first. */
INLINE void tetrahedral(const Cube *cube, Plane *restrict planes, Plane *restrict below, Plane *restrict part, int n) {
    int32_t corner[BLOCK], first[BLOCK], second[BLOCK], size = cube->size, green = size, blue = size * size;
    Plane most, middle, least;
    for (int i = 0; i < n; i++) {
        float x = part[0][i], y = part[1][i], z = part[2][i];
        float larger = x > y ? x : y, smaller = x > y ? y : x;
        most[i] = larger > z ? larger : z;
        least[i] = smaller < z ? smaller : z;
        float inner = larger < z ? larger : z;
        middle[i] = smaller > inner ? smaller : inner;
        corner[i] = (int32_t)below[0][i] + (int32_t)below[1][i] * green + (int32_t)below[2][i] * blue;
        int32_t up = z >= larger ? blue : x >= y ? 1 : green;
        int32_t over = z <= smaller ? blue : x <= y ? 1 : green;
        first[i] = corner[i] + up;
        second[i] = corner[i] + 1 + green + blue - over;
    }
    for (int i = 0; i < n; i++) {
        const Entry *at = cube->entries;
        Entry sum = at[corner[i]] * (1 - most[i]) + at[first[i]] * (most[i] - middle[i]);
        sum = sum + at[second[i]] * (middle[i] - least[i]);
        sum = sum + at[corner[i] + 1 + green + blue] * least[i];
        planes[0][i] = sum[0], planes[1][i] = sum[1], planes[2][i] = sum[2];
    }
}

INLINE void trilinear(const Cube *cube, Plane *restrict planes, Plane *restrict below, Plane *restrict part, int n) {
    int size = cube->size, slice = size * size;
    for (int i = 0; i < n; i++) {
        float x = part[0][i], y = part[1][i], z = part[2][i];
        const Entry *near = cube->entries + (int)below[0][i] + (int)below[1][i] * size + (int)below[2][i] * slice;
        const Entry *far = near + slice;
        Entry top = near[0] * (1 - x) + near[1] * x, bottom = near[size] * (1 - x) + near[size + 1] * x;
        Entry front = top * (1 - y) + bottom * y;
        top = far[0] * (1 - x) + far[1] * x, bottom = far[size] * (1 - x) + far[size + 1] * x;
        Entry back = top * (1 - y) + bottom * y, sum = front * (1 - z) + back * z;
        planes[0][i] = sum[0], planes[1][i] = sum[1], planes[2][i] = sum[2];
    }
}

/* R, G and B of each layer, of which the layout's colours are, by a cube. */
KERNEL(cubed)(const Pixels *from, const Pixels *to, const Layout *layout, const Cube *cube, int by_tetrahedra,
              ptrdiff_t height, ptrdiff_t width) {
    Plane planes[3], given[3], below[3], part[3], alpha;
    int associated = layout->alpha >= 0;
    for (ptrdiff_t y = 0; y < height; y++)
        for (ptrdiff_t x = 0; x < width; x += BLOCK) {
            int n = width - x < BLOCK ? (int)(width - x) : BLOCK;
            if (layout->count != layout->channels) carry(from, to, layout->channels, y, x, n);
            if (associated) load(alpha, pixel_at(from, y, x), from->pixel, layout->alpha, from->dtype, n);
            for (int first = 0; first < layout->count; first += 3) {
                const int *colors = layout->colors + first;
                for (int k = 0; k < 3; k++) {
                    load_straight(planes[k], given[k], alpha, from, layout, colors[k], y, x, n);
                    place(cube, k, planes[k], below[k], part[k], n);
                }
                if (by_tetrahedra)
                    tetrahedral(cube, planes, below, part, n);
                else
                    trilinear(cube, planes, below, part, n);
                for (int k = 0; associated && k < 3; k++) associate(planes[k], given[k], alpha, n);
                Layout triple = {layout->channels, 3, colors, layout->alpha};
                store_colors(planes, to, &triple, y, x, n);
            }
        }
}
