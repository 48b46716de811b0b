/* Merging by shares: the alphas tell what part of each colour the result has, once for all channels.
 *
 * Of straight colours c, with t, b for top and base, ta, ba for their alphas and Ft, Fb for Porter and Duff's fractions:
 * c = (ta Ft ct + ba Fb cb) / (ta Ft + ba Fb), and for a blend mode a third share, ta ba, of B(cb, ct). So no colour is
 * multiplied by its alpha first and divided by it at the end, and a picture without alpha keeps its bits. The formulas
 * are those of porter_duff.py and blend.py, where their sources are said; tests hold these against them.
 */
#include <colors.h>

enum { NONE, STRAIGHT, ASSOCIATED }; /* alpha states */

enum { NOTHING, ALL, INSIDE, OUTSIDE }; /* porter_duff.Seen */

/* In the order of `compiled.BLENDS`. */
enum {
    NO_BLEND,
    MULTIPLY, SCREEN, OVERLAY, DARKEN, LIGHTEN, COLOR_DODGE, COLOR_BURN, HARD_LIGHT, SOFT_LIGHT, DIFFERENCE, EXCLUSION,
    LINEAR_BURN, LINEAR_DODGE, VIVID_LIGHT, LINEAR_LIGHT, PIN_LIGHT, HARD_MIX, SUBTRACT, DIVIDE,
    GRAIN_EXTRACT, GRAIN_MERGE,
    HUE, SATURATION, COLOR, LUMINOSITY, DARKER_COLOR, LIGHTER_COLOR
};

#define MOST_COLORS 4

typedef struct {
    Pixels pixels;
    int alpha;                     /* its state */
    int colors[MOST_COLORS], last; /* which channels are the colours, and which is alpha */
} Side;

/* --- blend functions of the backdrop b and the source s ----------------------------------------------------------- */

INLINE Lanes held(Lanes value, Lanes b, Lanes s) {
    return least(most(value, least(least(b, s), all(0))), most(most(b, s), all(1)));
}

INLINE Lanes screen(Lanes b, Lanes s) { return b + s - b * s; }

INLINE Lanes hard_light(Lanes b, Lanes s) { return pick(s <= 0.5f, b * (2 * s), screen(b, 2 * s - 1)); }

INLINE Lanes color_dodge(Lanes b, Lanes s) {
    Lanes room = 1 - s, quotient = pick(room > 0, b / room, all(INFINITY));
    return held(pick(b == 0, all(0), quotient), b, s);
}

INLINE Lanes color_burn(Lanes b, Lanes s) {
    Lanes quotient = pick(s > 0, (1 - b) / s, all(INFINITY));
    return held(pick(b == 1, all(1), 1 - quotient), b, s);
}

INLINE Lanes soft_light(Lanes b, Lanes s) {
    Lanes lifted = pick(b <= 0.25f, ((16 * b - 12) * b + 4) * b, root(most(b, all(0))));
    return b + (2 * s - 1) * pick(s <= 0.5f, b * (1 - b), lifted - b);
}

INLINE Lanes vivid_light(Lanes b, Lanes s) {
    Lanes lit = pick(s <= 0.5f, color_burn(b, 2 * s), color_dodge(b, 2 * s - 1));
    return pick(s == 0, all(0), pick(s == 1, all(1), lit));
}

INLINE Lanes pin_light(Lanes b, Lanes s) { return pick(s <= 0.5f, least(b, 2 * s), most(b, 2 * s - 1)); }

INLINE Lanes hard_mix(Lanes b, Lanes s) {
    Lanes beyond = b + s - 1;
    Picks exact = magnitude(beyond) < 1e-6f;
    return pick((exact & (b > 0.5f)) | (~exact & (beyond > 0)), all(1), all(0));
}

INLINE Lanes divide(Lanes b, Lanes s) {
    Lanes quotient = pick(s > 0, b / s, all(INFINITY));
    return held(pick(b == 0, all(0), quotient), b, s);
}

#define AT(plane, i) (*(Anywhere *)((plane) + (i)))
#define OF(plane, i) (*(const Anywhere *)((plane) + (i)))
#define EACH for (int i = 0; i < n; i += LANES)
#define BLEND(formula)                                                                                                 \
    EACH {                                                                                                             \
        Lanes b = OF(backdrop, i), s = OF(source, i);                                                                  \
        AT(out, i) = (formula);                                                                                        \
    }                                                                                                                  \
    break

INLINE void blend_plane(int blend, float *restrict out, const float *restrict backdrop, const float *restrict source,
                        int n) {
    switch (blend) {
    case MULTIPLY: BLEND(b * s);
    case SCREEN: BLEND(screen(b, s));
    case OVERLAY: BLEND(hard_light(s, b));
    case DARKEN: BLEND(least(b, s));
    case LIGHTEN: BLEND(most(b, s));
    case COLOR_DODGE: BLEND(color_dodge(b, s));
    case COLOR_BURN: BLEND(color_burn(b, s));
    case HARD_LIGHT: BLEND(hard_light(b, s));
    case SOFT_LIGHT: BLEND(soft_light(b, s));
    case DIFFERENCE: BLEND(magnitude(b - s));
    case EXCLUSION: BLEND(b + s - 2 * b * s);
    case LINEAR_BURN: BLEND(held(b + s - 1, b, s));
    case LINEAR_DODGE: BLEND(held(b + s, b, s));
    case VIVID_LIGHT: BLEND(vivid_light(b, s));
    case LINEAR_LIGHT: BLEND(held(b + 2 * s - 1, b, s));
    case PIN_LIGHT: BLEND(pin_light(b, s));
    case HARD_MIX: BLEND(hard_mix(b, s));
    case SUBTRACT: BLEND(held(b - s, b, s));
    case DIVIDE: BLEND(divide(b, s));
    case GRAIN_EXTRACT: BLEND(held(b - s + 0.5f, b, s));
    case GRAIN_MERGE: BLEND(held(b + s - 0.5f, b, s));
    default: break;
    }
}

typedef struct {
    Lanes r, g, b;
} Rgb;

INLINE Lanes luma(Rgb c) { return 0.3f * c.r + 0.59f * c.g + 0.11f * c.b; }
INLINE Lanes most_of(Rgb c) { return most(most(c.r, c.g), c.b); }
INLINE Lanes least_of(Rgb c) { return least(least(c.r, c.g), c.b); }

INLINE Rgb with_saturation(Rgb c, Lanes wanted) {
    Lanes low = least_of(c), spread = most_of(c) - low, ratio = pick(spread > 0, wanted / spread, all(0));
    return (Rgb){(c.r - low) * ratio, (c.g - low) * ratio, (c.b - low) * ratio};
}

INLINE Rgb with_luma(Rgb c, Lanes wanted, Rgb b, Rgb s) {
    Lanes shift = wanted - luma(c);
    Rgb moved = {c.r + shift, c.g + shift, c.b + shift};
    Lanes low = least(least(least_of(b), least_of(s)), all(0)), high = most(most(most_of(b), most_of(s)), all(1));
    Lanes smallest = least_of(moved), largest = most_of(moved);
    Lanes shrink = pick(smallest < low, (wanted - low) / (wanted - smallest), all(1));
    shrink = pick(largest > high, shrink * (high - wanted) / (largest - wanted), shrink);
    return (Rgb){wanted + (moved.r - wanted) * shrink, wanted + (moved.g - wanted) * shrink,
                 wanted + (moved.b - wanted) * shrink};
}

INLINE Rgb chosen(Picks first, Rgb a, Rgb b) {
    return (Rgb){pick(first, a.r, b.r), pick(first, a.g, b.g), pick(first, a.b, b.b)};
}

#define BLEND_COLOR(formula)                                                                                           \
    EACH {                                                                                                             \
        Rgb b = {OF(backdrop[0], i), OF(backdrop[1], i), OF(backdrop[2], i)};                                          \
        Rgb s = {OF(source[0], i), OF(source[1], i), OF(source[2], i)};                                                \
        Rgb c = (formula);                                                                                             \
        AT(out[0], i) = c.r, AT(out[1], i) = c.g, AT(out[2], i) = c.b;                                                 \
    }                                                                                                                  \
    break

INLINE void blend_colors(int blend, Plane *restrict out, const Plane *restrict backdrop, const Plane *restrict source,
                         int n) {
    switch (blend) {
    case HUE: BLEND_COLOR(with_luma(with_saturation(s, most_of(b) - least_of(b)), luma(b), b, s));
    case SATURATION: BLEND_COLOR(with_luma(with_saturation(b, most_of(s) - least_of(s)), luma(b), b, s));
    case COLOR: BLEND_COLOR(with_luma(s, luma(b), b, s));
    case LUMINOSITY: BLEND_COLOR(with_luma(b, luma(s), b, s));
    case DARKER_COLOR: BLEND_COLOR(chosen(luma(s) < luma(b), s, b));
    case LIGHTER_COLOR: BLEND_COLOR(chosen(luma(s) > luma(b), s, b));
    default: break;
    }
}

/* --- shares -------------------------------------------------------------------------------------------------------- */

INLINE void fill(float *plane, float value, int n) {
    for (int i = 0; i < n; i++) plane[i] = value;
}

/* Three colours without alpha, all in one pass over them. */
INLINE void load_three(Plane *restrict planes, const char *at, int dtype, int n) {
    float *restrict a = planes[0], *restrict b = planes[1], *restrict c = planes[2];
    if (dtype == FLOAT32) {
        const float *from = (const float *)at;
        for (int i = 0; i < n; i++) a[i] = from[3 * i], b[i] = from[3 * i + 1], c[i] = from[3 * i + 2];
    } else if (dtype == UINT8) {
        const uint8_t *from = (const uint8_t *)at;
        for (int i = 0; i < n; i++)
            a[i] = of_uint8(from[3 * i]), b[i] = of_uint8(from[3 * i + 1]), c[i] = of_uint8(from[3 * i + 2]);
    } else
        for (int k = 0; k < 3; k++) load(planes[k], at, 6, k, dtype, n);
}

INLINE void store_three(char *at, const Plane *restrict planes, int n) {
    float *restrict to = (float *)at;
    const float *restrict a = planes[0], *restrict b = planes[1], *restrict c = planes[2];
    for (int i = 0; i < n; i++) to[3 * i] = a[i], to[3 * i + 1] = b[i], to[3 * i + 2] = c[i];
}

/* The colours as they are stored, and alpha, 1 where there is none. */
INLINE void load_side(const Side *side, int plain, int count, ptrdiff_t y, ptrdiff_t x, int n, Plane *restrict planes,
                      float *restrict alpha) {
    const char *at = pixel_at(&side->pixels, y, x);
    if (plain && count == 3 && side->alpha != NONE) {
        load_four(planes, at, side->pixels.dtype, n);
        for (int i = 0; i < n; i++) alpha[i] = planes[3][i];
        return;
    }
    if (plain && count == 3)
        load_three(planes, at, side->pixels.dtype, n);
    else
        for (int k = 0; k < count; k++) load(planes[k], at, side->pixels.pixel, side->colors[k], side->pixels.dtype, n);
    if (side->alpha == NONE)
        fill(alpha, 1.0f, n);
    else
        load(alpha, at, side->pixels.pixel, side->last, side->pixels.dtype, n);
}

/* How much is seen of one picture, where `other` is the other's alpha. */
INLINE void fraction(int seen, float *restrict plane, const float *restrict other, int n) {
    if (seen == OUTSIDE)
        for (int i = 0; i < n; i++) plane[i] = 1.0f - other[i];
    else if (seen == INSIDE)
        for (int i = 0; i < n; i++) plane[i] = other[i];
    else
        fill(plane, seen == ALL ? 1.0f : 0.0f, n);
}

INLINE void straight_of(Plane *restrict planes, const Plane *restrict stored, const float *restrict alpha, int count,
                        int n) {
    for (int k = 0; k < count; k++) {
        for (int i = 0; i < n; i++) planes[k][i] = stored[k][i];
        straighten(planes[k], alpha, n);
    }
}

INLINE int is_one(const float *plane, int n) {
    int all = 1;
    for (int i = 0; i < n; i++) all &= plane[i] == 1.0f;
    return all;
}

/* Whether the samples of a pixel are the colours in order, and alpha behind them where there is one: nothing else. */
INLINE int in_order(const Side *side, int count) {
    static const int sizes[] = {1, 2, 2, 4};
    for (int k = 0; k < count; k++)
        if (side->colors[k] != k) return 0;
    int all_of_it = count + (side->alpha != NONE);
    return side->pixels.pixel == all_of_it * sizes[side->pixels.dtype] && (side->alpha == NONE || side->last == count);
}

INLINE Lanes seen_of(int seen, Lanes other) {
    if (seen == OUTSIDE) return 1 - other;
    if (seen == INSIDE) return other;
    return all(seen == ALL ? 1 : 0);
}

/* Associated pixels of four channels of float32, as they lie: alpha goes by the formula of the colours. */
INLINE void merge_in_place(const Side *top, const Side *base, const Side *out, float opacity, int of_top, int of_base,
                           ptrdiff_t height, ptrdiff_t width) {
    ptrdiff_t samples = 4 * width;
    for (ptrdiff_t y = 0; y < height; y++) {
        const float *t = (const float *)pixel_at(&top->pixels, y, 0), *b = (const float *)pixel_at(&base->pixels, y, 0);
        float *to = (float *)pixel_at(&out->pixels, y, 0);
        for (ptrdiff_t x = 0; x < samples; x += LANES) {
            Lanes above = lanes_at(t + x, samples - x), below = lanes_at(b + x, samples - x);
            Lanes merged = all(0); /* 0 times what is no number is none */
            if (of_top != NOTHING) merged = above * seen_of(of_top, alpha_of(below));
            if (of_base != NOTHING) merged = merged + below * seen_of(of_base, alpha_of(above));
            if (opacity != 1) merged = merged * opacity + below * (1 - opacity);
            put_lanes(to + x, merged, samples - x);
        }
    }
}

/* A blend of two pictures without alpha, each sample by itself. */
INLINE void blend_in_place(const Side *top, const Side *base, const Side *out, float opacity, int count, int blend,
                           ptrdiff_t height, ptrdiff_t width) {
    ptrdiff_t samples = count * width;
    ptrdiff_t t_step = top->pixels.pixel / count, b_step = base->pixels.pixel / count;
    int floats = opacity == 1 && top->pixels.dtype == FLOAT32 && base->pixels.dtype == FLOAT32;
    ptrdiff_t whole = floats ? samples / LANES * LANES : 0; /* what needs no planes */
    for (ptrdiff_t y = 0; y < height; y++) {
        if (whole)
            blend_plane(blend, (float *)pixel_at(&out->pixels, y, 0), (const float *)pixel_at(&base->pixels, y, 0),
                        (const float *)pixel_at(&top->pixels, y, 0), (int)whole);
        for (ptrdiff_t x = whole; x < samples; x += BLOCK) {
            Plane t, b, blended;
            int n = samples - x < BLOCK ? (int)(samples - x) : BLOCK;
            load(t, pixel_at(&top->pixels, y, 0) + x * t_step, t_step, 0, top->pixels.dtype, n);
            load(b, pixel_at(&base->pixels, y, 0) + x * b_step, b_step, 0, base->pixels.dtype, n);
            blend_plane(blend, blended, b, t, n);
            if (opacity != 1.0f)
                for (int i = 0; i < n; i++) blended[i] = blended[i] * opacity + b[i] * (1.0f - opacity);
            store(pixel_at(&out->pixels, y, 0) + x * 4, 4, 0, blended, n);
        }
    }
}

/* How much the result has of each picture's colours as they are stored, and of their blend; and its alpha. */
typedef struct {
    Plane top, base, blend, coverage;
} Shares;

/* Of a block of pixels with these alphas. `amount`, where it mixes, is how much of the result is mixed into base. */
INLINE void find_shares(Shares *restrict out, const Side *top, const Side *base, int out_alpha, const float *restrict ta,
                        const float *restrict ba, int mixes, const float *restrict amount, int of_top, int of_base,
                        int blend, int n) {
    float *restrict share_t = out->top, *restrict share_b = out->base, *restrict share_m = out->blend;
    float *restrict coverage = out->coverage;
    fraction(of_top, share_t, ba, n);
    fraction(of_base, share_b, ta, n);
    if (mixes) /* base is left where there is nothing of the result */
        for (int i = 0; i < n; i++) {
            share_t[i] *= amount[i];
            share_b[i] = 1.0f - (1.0f - share_b[i]) * amount[i];
        }
    if (blend != NO_BLEND) {
        for (int i = 0; i < n; i++) share_m[i] = ta[i] * ba[i];
        if (mixes)
            for (int i = 0; i < n; i++) share_m[i] *= amount[i];
    }
    /* The alpha of the result, which is that of the operator without its blend function's part: W3C, 5. */
    if (blend != NO_BLEND)
        for (int i = 0; i < n; i++) {
            float only_top = ta[i] * share_t[i];
            coverage[i] = only_top + ba[i];
        }
    else
        for (int i = 0; i < n; i++) coverage[i] = ta[i] * share_t[i] + ba[i] * share_b[i];
    if (top->alpha != ASSOCIATED)
        for (int i = 0; i < n; i++) share_t[i] *= ta[i];
    if (base->alpha != ASSOCIATED)
        for (int i = 0; i < n; i++) share_b[i] *= ba[i];
    if (out_alpha == STRAIGHT && !is_one(coverage, n)) {
        if (blend != NO_BLEND)
            for (int i = 0; i < n; i++) share_m[i] /= coverage[i] == 0.0f ? 1.0f : coverage[i];
        for (int i = 0; i < n; i++) {
            float divisor = coverage[i] == 0.0f ? 1.0f : coverage[i];
            share_t[i] /= divisor;
            share_b[i] /= divisor;
        }
    }
}

/* The amount of the result at each pixel of a block. */
INLINE void load_amount(const Pixels *amounts, float opacity, float *restrict amount, ptrdiff_t y, ptrdiff_t x, int n) {
    fill(amount, opacity, n);
    if (amounts->at == 0) return;
    load(amount, pixel_at(amounts, y, x), amounts->pixel, 0, amounts->dtype, n);
    for (int i = 0; i < n; i++) amount[i] *= opacity;
}

#define VALUES(plane, i) (*(const Lanes *)((plane) + (i)))
#define ANYWHERE(at) (*(Anywhere *)(at))
typedef float Row[4 * BLOCK] __attribute__((aligned(64))); /* a block of pixels of four, as they lie */

/* Of the values of LANES pixels those of a quarter of them, each for all four samples of its pixel. */
INLINE Lanes for_samples(Lanes values, int quarter) {
#if defined(__clang__)
#define FOUR(i) i, i, i, i
#if LANES == 16
#define SAMPLES(q) FOUR(4 * q), FOUR(4 * q + 1), FOUR(4 * q + 2), FOUR(4 * q + 3)
#elif LANES == 8
#define SAMPLES(q) FOUR(2 * q), FOUR(2 * q + 1)
#else
#define SAMPLES(q) FOUR(q)
#endif
    switch (quarter) {
    case 0: return __builtin_shufflevector(values, values, SAMPLES(0));
    case 1: return __builtin_shufflevector(values, values, SAMPLES(1));
    case 2: return __builtin_shufflevector(values, values, SAMPLES(2));
    default: return __builtin_shufflevector(values, values, SAMPLES(3));
    }
#else
    Picks which;
    for (int i = 0; i < LANES; i++) which[i] = quarter * (LANES / 4) + i / 4;
    return __builtin_shuffle(values, which);
#endif
}

/* Pixels of three colours and alpha each, as they lie: no plane is made of anything but alpha. */
INLINE void merge_fours(const Side *top, const Side *base, const Side *out, const Pixels *amounts, float opacity,
                        int of_top, int of_base, int blend, ptrdiff_t height, ptrdiff_t width) {
    int blends = blend != NO_BLEND;
    Row t_room, b_room, blended;
    Plane ta, ba, amount;
    Shares shares;
    Picks is_alpha;
    int mixes = amounts->at != 0 || opacity != 1.0f;
    for (int i = 0; i < LANES; i++) is_alpha[i] = (i & 3) == 3 ? -1 : 0;
    for (ptrdiff_t y = 0; y < height; y++)
        for (ptrdiff_t x = 0; x < width; x += BLOCK) {
            int n = width - x < BLOCK ? (int)(width - x) : BLOCK, samples = 4 * n;
            const float *t = (const float *)pixel_at(&top->pixels, y, x), *b = (const float *)pixel_at(&base->pixels, y, x);
            float *to = (float *)pixel_at(&out->pixels, y, x);
            if (top->pixels.dtype != FLOAT32) load_row(t_room, t, top->pixels.dtype, samples), t = t_room;
            if (base->pixels.dtype != FLOAT32) load_row(b_room, b, base->pixels.dtype, samples), b = b_room;
            for (int i = 0; i < n; i++) ta[i] = t[4 * i + 3];
            for (int i = 0; i < n; i++) ba[i] = b[4 * i + 3];
            if (mixes) load_amount(amounts, opacity, amount, y, x, n);
            find_shares(&shares, top, base, out->alpha, ta, ba, mixes, amount, of_top, of_base, blend, n);
            if (blends) {
                int whole = samples / LANES * LANES; /* what lies beyond may be no memory of ours */
                blend_plane(blend, blended, b, t, whole);
                if (whole < samples) {
                    Lanes last_t = lanes_at(t + whole, samples - whole), last_b = lanes_at(b + whole, samples - whole);
                    float few_t[LANES] __attribute__((aligned(64))), few_b[LANES] __attribute__((aligned(64)));
                    *(Lanes *)few_t = last_t, *(Lanes *)few_b = last_b;
                    blend_plane(blend, blended + whole, few_b, few_t, LANES);
                }
            }
            int vectors = n / LANES * LANES;
            for (int i = 0; i < vectors; i += LANES) {
                Lanes share_t = VALUES(shares.top, i), share_b = VALUES(shares.base, i);
                Lanes share_m = VALUES(shares.blend, i), coverage = VALUES(shares.coverage, i);
#pragma GCC unroll 4
                for (int k = 0; k < 4; k++) {
                    int at = 4 * i + k * LANES;
                    Lanes above = ANYWHERE(t + at) * for_samples(share_t, k);
                    Lanes below = ANYWHERE(b + at) * for_samples(share_b, k);
                    Lanes merged = below + above;
                    if (blends) merged += VALUES(blended, at) * for_samples(share_m, k);
                    ANYWHERE(to + at) = pick(is_alpha, for_samples(coverage, k), merged);
                }
            }
            for (int i = 4 * vectors; i < samples; i++) {
                float merged = b[i] * shares.base[i / 4] + t[i] * shares.top[i / 4];
                if (blends) merged += blended[i] * shares.blend[i / 4];
                to[i] = i % 4 == 3 ? shares.coverage[i / 4] : merged;
            }
        }
}

/* Top merged with base, written to out, which is float32 and may be base itself. `amounts`, a picture of one channel or
 * of none (at = 0), times `opacity` is how much of the result is mixed into base. */
KERNEL(merge)(const Side *top, const Side *base, const Side *out, const Pixels *amounts, float opacity, int count,
              int of_top, int of_base, int blend, ptrdiff_t height, ptrdiff_t width) {
    int top_plain = in_order(top, count), base_plain = in_order(base, count), out_plain = in_order(out, count);
    int plain = top_plain && base_plain && out_plain && amounts->at == 0;
    int floats = top->pixels.dtype == FLOAT32 && base->pixels.dtype == FLOAT32;
    int associated = top->alpha == ASSOCIATED && base->alpha == ASSOCIATED && out->alpha == ASSOCIATED;
    int opaque = top->alpha == NONE && base->alpha == NONE;
    if (plain && floats && associated && blend == NO_BLEND && count == 3) {
        merge_in_place(top, base, out, opacity, of_top, of_base, height, width);
        return;
    }
    if (plain && opaque && out->alpha == NONE && blend != NO_BLEND && blend < HUE) {
        blend_in_place(top, base, out, opacity, count, blend, height, width);
        return;
    }
    int mixes = amounts->at != 0 || opacity != 1.0f;
    int seen = of_top != NOTHING && (of_base != NOTHING || mixes);
    int stored = blend == NO_BLEND || (blend < HUE && top->alpha == STRAIGHT && base->alpha == STRAIGHT);
    if (top_plain && base_plain && out_plain && count == 3 && seen && stored && top->alpha != NONE &&
        base->alpha != NONE && out->alpha != NONE) {
        if (blend == NO_BLEND)
            merge_fours(top, base, out, amounts, opacity, of_top, of_base, NO_BLEND, height, width);
        else
            merge_fours(top, base, out, amounts, opacity, of_top, of_base, blend, height, width);
        return;
    }
    Plane t[MOST_COLORS], b[MOST_COLORS], straight_t[MOST_COLORS], straight_b[MOST_COLORS], blended[MOST_COLORS];
    Plane ta, ba, amount;
    Shares shares;
    for (ptrdiff_t y = 0; y < height; y++)
        for (ptrdiff_t x = 0; x < width; x += BLOCK) {
            int n = width - x < BLOCK ? (int)(width - x) : BLOCK;
            load_side(top, top_plain, count, y, x, n, t, ta);
            load_side(base, base_plain, count, y, x, n, b, ba);
            if (of_top == NOTHING) /* 0 times what is no number is none */
                for (int k = 0; k < count; k++) fill(t[k], 0.0f, n);
            if (of_base == NOTHING && !mixes)
                for (int k = 0; k < count; k++) fill(b[k], 0.0f, n);
            if (mixes) load_amount(amounts, opacity, amount, y, x, n);
            find_shares(&shares, top, base, out->alpha, ta, ba, mixes, amount, of_top, of_base, blend, n);
            const float *share_t = shares.top, *share_b = shares.base, *share_m = shares.blend;
            if (blend != NO_BLEND) {
                const Plane *source = t, *backdrop = b;
                if (top->alpha == ASSOCIATED) {
                    straight_of(straight_t, t, ta, count, n);
                    source = straight_t;
                }
                if (base->alpha == ASSOCIATED) {
                    straight_of(straight_b, b, ba, count, n);
                    backdrop = straight_b;
                }
                if (blend >= HUE)
                    blend_colors(blend, blended, backdrop, source, n);
                else
                    for (int k = 0; k < count; k++) blend_plane(blend, blended[k], backdrop[k], source[k], n);
                for (int k = 0; k < count && opaque; k++) /* with no part that nothing is seen of */
                    for (int i = 0; i < n; i++)
                        t[k][i] = mixes ? blended[k][i] * amount[i] + b[k][i] * (1.0f - amount[i]) : blended[k][i];
                for (int k = 0; k < count && !opaque; k++)
                    for (int i = 0; i < n; i++)
                        t[k][i] = (b[k][i] * share_b[i] + t[k][i] * share_t[i]) + blended[k][i] * share_m[i];
            } else {
                for (int k = 0; k < count; k++)
                    for (int i = 0; i < n; i++) t[k][i] = t[k][i] * share_t[i] + b[k][i] * share_b[i];
            }
            char *to = pixel_at(&out->pixels, y, x);
            if (out_plain && count == 3 && out->alpha != NONE) {
                for (int i = 0; i < n; i++) t[3][i] = shares.coverage[i];
                store_four(to, t, n);
                continue;
            }
            if (out_plain && count == 3) {
                store_three(to, t, n);
                continue;
            }
            for (int k = 0; k < count; k++) store(to, out->pixels.pixel, out->colors[k], t[k], n);
            if (out->alpha != NONE) store(to, out->pixels.pixel, out->last, shares.coverage, n);
        }
}
