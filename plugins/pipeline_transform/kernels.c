/* Another size for a picture, by weighted sums of its pixels down and then across: the sums of resampling.py, in order.
 *
 * As many rows of the result are made at a time as there are lanes. What is summed down is turned, so that a column of
 * these rows is one vector; across, a weight is the same for all of its lanes, however many channels there are.
 */
#include <pixels.h>

/* Each sum has `number` pixels from `first` on, and its weights begin at a multiple of `taps`. */
typedef struct {
    const int32_t *first, *number;
    const float *weights;
    ptrdiff_t taps;
} Sums;

/* Pixels of `channels` samples next to each other, of which `low` is the row that sums count from 0. `alpha` is the channel
 * that `is_color` are to be multiplied by, or -1. */
typedef struct {
    Pixels pixels;
    ptrdiff_t height, width, low;
    int channels, alpha;
    const uint8_t *is_color;
} Picture;

#define AT_ONCE 16 /* rows of the picture */
#define VECTOR(at) (*(Lanes *)(at))

/* --- turning rows and columns ------------------------------------------------------------------------------------- */

/* Blocks of `size` lanes beside the diagonal change places. */
INLINE void exchange(Lanes *block, int size) {
    Picks low, high;
    for (int k = 0; k < LANES; k++) {
        low[k] = k & size ? LANES + k - size : k;
        high[k] = k & size ? LANES + k : k + size;
    }
    for (int i = 0; i < LANES; i++) {
        if (i & size) continue;
        Lanes a = block[i], b = block[i + size];
#if defined(__clang__)
        for (int k = 0; k < LANES; k++) {
            block[i][k] = k & size ? b[k - size] : a[k];
            block[i + size][k] = k & size ? b[k] : a[k + size];
        }
#else
        block[i] = __builtin_shuffle(a, b, low);
        block[i + size] = __builtin_shuffle(a, b, high);
#endif
    }
}

INLINE void turn(Lanes *block) {
    exchange(block, 1);
    exchange(block, 2);
#if LANES > 4
    exchange(block, 4);
#endif
#if LANES > 8
    exchange(block, 8);
#endif
}

/* --- rows of the picture ------------------------------------------------------------------------------------------ */

INLINE ptrdiff_t modulo(ptrdiff_t a, ptrdiff_t b) {
    ptrdiff_t rest = a % b;
    return rest < 0 ? rest + b : rest;
}

/* Columns from..to of a row as floats, colours multiplied by alpha: where they lie, or in `room`. Beyond the ends it goes on
 * from the other one. */
INLINE const float *row_of(const Picture *picture, ptrdiff_t y, ptrdiff_t from, ptrdiff_t to, float *restrict room) {
    const Pixels *pixels = &picture->pixels;
    int channels = picture->channels, alpha = picture->alpha;
    if (y < 0 || y >= picture->height) y = modulo(y, picture->height);
    int inside = from >= 0 && to <= picture->width;
    if (pixels->dtype == FLOAT32 && alpha < 0 && inside) return (const float *)pixel_at(pixels, y, from);
    ptrdiff_t samples = (to - from) * channels;
    const uint8_t *is_color = picture->is_color;
    int in_order = alpha == 3 && channels == 4 && is_color[0] && is_color[1] && is_color[2];
    const float *at = room;
    if (in_order && pixels->dtype == FLOAT32 && inside)
        at = (const float *)pixel_at(pixels, y, from);
    else
        for (ptrdiff_t x = from; x < to;) {
            ptrdiff_t column = inside ? x : modulo(x, picture->width);
            ptrdiff_t count = to - x < picture->width - column ? to - x : picture->width - column;
            load_row(room + (x - from) * channels, pixel_at(pixels, y, column), pixels->dtype, count * channels);
            x += count;
        }
    if (in_order) {
        Picks is_alpha;
        for (int i = 0; i < LANES; i++) is_alpha[i] = (i & 3) == 3 ? -1 : 0;
        ptrdiff_t whole = samples / LANES * LANES, ahead = at == room ? 0 : pixels->row;
        for (ptrdiff_t i = 0; i < whole; i += LANES) {
            Lanes values = *(const Anywhere *)(at + i);
            __builtin_prefetch((const char *)(at + i) + ahead); /* the next row, or what was read is read again */
            VECTOR(room + i) = values * pick(is_alpha, all(1), alpha_of(values));
        }
        if (whole < samples) {
            Lanes values = lanes_at(at + whole, samples - whole);
            VECTOR(room + whole) = values * pick(is_alpha, all(1), alpha_of(values));
        }
    } else if (alpha >= 0)
        for (ptrdiff_t i = 0; i < samples; i += channels)
            for (int c = 0; c < channels; c++)
                if (is_color[c]) room[i + c] *= room[i + alpha];
    return room;
}

/* A row of the result while rows `begin` to `finish` of those at hand are added to its sum, by these weights; the first of
 * them begins it, or it goes on. */
typedef struct {
    float *sum;
    const float *weights;
    int begin, finish, begins;
} Sum;

INLINE Sum sum_of(const Sums *down, ptrdiff_t row, ptrdiff_t low, ptrdiff_t high, float *sum) {
    ptrdiff_t first = down->first[row], last = first + down->number[row];
    ptrdiff_t begin = first > low ? first : low, finish = last < high ? last : high;
    const float *weights = down->weights + row * down->taps + (begin - first);
    return (Sum){sum, weights, (int)(begin - low), (int)(finish > begin ? finish - low : begin - low), begin == first};
}

INLINE void add_each(const Sum *a, const float *const *rows, ptrdiff_t from, ptrdiff_t to) {
    for (ptrdiff_t at = from; at < to && a->begin < a->finish; at++) {
        float value = a->begins ? a->weights[0] * rows[a->begin][at] : a->sum[at];
        for (int i = a->begin + a->begins; i < a->finish; i++) value += a->weights[i - a->begin] * rows[i][at];
        a->sum[at] = value;
    }
}

/* Two sums, of which the second begins and ends no earlier, a few vectors at a time in registers: rows that both need are
 * loaded once. Rows are added one after the other. */
INLINE void add_rows(const Sum *a, const Sum *b, const float *const *rows, ptrdiff_t samples) {
    int alone = a->finish < b->begin ? a->finish : b->begin;
    ptrdiff_t whole = samples / (2 * LANES) * (2 * LANES);
    add_each(a, rows, whole, samples);
    add_each(b, rows, whole, samples);
    for (ptrdiff_t at = 0; at < whole; at += 2 * LANES) {
#define ROW(i, k) (*(const Anywhere *)(rows[i] + at + (k) * LANES))
#define BEGIN(s, k) \
    ((s)->begins ? (Lanes)((s)->weights[0] * ROW((s)->begin, k)) : VECTOR((s)->sum + at + (k) * LANES))
        Lanes a0 = BEGIN(a, 0), a1 = BEGIN(a, 1);
        int i = a->begin + a->begins;
        for (; i < alone; i++) {
            float weight = a->weights[i - a->begin];
            a0 += weight * ROW(i, 0), a1 += weight * ROW(i, 1);
        }
        if (b->begin < b->finish) {
            Lanes b0 = BEGIN(b, 0), b1 = BEGIN(b, 1);
            int j = b->begin + b->begins;
            for (; i < j && i < a->finish; i++) {
                float weight = a->weights[i - a->begin];
                a0 += weight * ROW(i, 0), a1 += weight * ROW(i, 1);
            }
            for (; j < i; j++) b0 += b->weights[j - b->begin] * ROW(j, 0), b1 += b->weights[j - b->begin] * ROW(j, 1);
            for (; i < a->finish; i++, j++) {
                float weight = a->weights[i - a->begin], other = b->weights[i - b->begin];
                Lanes row0 = ROW(i, 0), row1 = ROW(i, 1);
                a0 += weight * row0, a1 += weight * row1, b0 += other * row0, b1 += other * row1;
            }
            for (; j < b->finish; j++) {
                float weight = b->weights[j - b->begin];
                b0 += weight * ROW(j, 0), b1 += weight * ROW(j, 1);
            }
            VECTOR(b->sum + at) = b0, VECTOR(b->sum + at + LANES) = b1;
        }
        VECTOR(a->sum + at) = a0, VECTOR(a->sum + at + LANES) = a1;
    }
}

/* --- across ------------------------------------------------------------------------------------------------------- */

INLINE void across_some(float *restrict to, const float *restrict from, const float *restrict weights, int number,
                        int step, int channels) {
    Lanes sums[4];
    for (int c = 0; c < channels; c++) sums[c] = weights[0] * VECTOR(from + c * LANES);
    for (int t = 1; t < number; t++) {
        Lanes weight = all(weights[t]);
        from += step * LANES;
        for (int c = 0; c < channels; c++) sums[c] += weight * VECTOR(from + c * LANES);
    }
    for (int c = 0; c < channels; c++) VECTOR(to + c * LANES) = sums[c];
}

INLINE void across(float *restrict to, const float *restrict from, const float *restrict weights, int number,
                   int channels) {
    int c = 0;
    for (; c + 4 <= channels; c += 4) across_some(to + c * LANES, from + c * LANES, weights, number, channels, 4);
    switch (channels - c) {
    case 1: across_some(to + c * LANES, from + c * LANES, weights, number, channels, 1); break;
    case 2: across_some(to + c * LANES, from + c * LANES, weights, number, channels, 2); break;
    case 3: across_some(to + c * LANES, from + c * LANES, weights, number, channels, 3); break;
    }
}

/* Rows start..stop of the result into `to`, of float32, packed as the picture is. The result's columns are divided at
 * `tiles`, so that none needs more than `span` samples of a row, nor gives more, a multiple of 32; `room` is for 64 times
 * that. */
KERNEL(resample)(const Picture *picture, const Sums *down, const Sums *along, const int32_t *tiles, ptrdiff_t count,
                 ptrdiff_t span, float *room, const Pixels *to, ptrdiff_t start, ptrdiff_t stop) {
    float *summed = room, *turned = room + LANES * span, *made = room + 2 * LANES * span, *rows = room + 48 * span;
    int channels = picture->channels, alpha = picture->alpha;
    for (ptrdiff_t top = start; top < stop; top += LANES) {
        ptrdiff_t bottom = top + LANES < stop ? top + LANES : stop;
        ptrdiff_t low = down->first[top], high = down->first[bottom - 1] + down->number[bottom - 1];
        for (ptrdiff_t tile = 0; tile < count; tile++) {
            ptrdiff_t left = tiles[tile], right = tiles[tile + 1];
            ptrdiff_t from = along->first[left], end = along->first[right - 1] + along->number[right - 1];
            ptrdiff_t samples = (end - from) * channels, results = (right - left) * channels;
            for (ptrdiff_t y = low; y < high; y += AT_ONCE) {
                const float *some[AT_ONCE];
                ptrdiff_t behind = y + AT_ONCE < high ? y + AT_ONCE : high;
                for (ptrdiff_t i = y; i < behind; i++)
                    some[i - y] = row_of(picture, i - picture->low, from, end, rows + (i - y) * span);
                Sum waiting = {0};
                for (ptrdiff_t row = top; row < bottom; row++) {
                    Sum sum = sum_of(down, row, y, behind, summed + (row - top) * span);
                    if (sum.begin >= sum.finish) continue;
                    if (waiting.sum == 0) {
                        waiting = sum;
                        continue;
                    }
                    add_rows(&waiting, &sum, some, samples);
                    waiting.sum = 0;
                }
                if (waiting.sum != 0) add_rows(&waiting, &(Sum){.begin = waiting.finish, .finish = 0}, some, samples);
            }
            for (ptrdiff_t i = 0; i < samples; i += LANES) {
                Lanes block[LANES];
                for (int k = 0; k < LANES; k++) block[k] = VECTOR(summed + k * span + i);
                turn(block);
                for (int k = 0; k < LANES; k++) VECTOR(turned + (i + k) * LANES) = block[k];
            }
            for (ptrdiff_t x = left; x < right; x++) {
                float *pixel = made + (x - left) * channels * LANES;
                across(pixel, turned + (along->first[x] - from) * channels * LANES, along->weights + x * along->taps,
                       along->number[x], channels);
                if (alpha < 0) continue;
                Lanes covered = VECTOR(pixel + alpha * LANES), divisor = pick(covered == 0, all(1), covered);
                for (int c = 0; c < channels; c++)
                    if (picture->is_color[c]) VECTOR(pixel + c * LANES) /= divisor;
            }
            for (ptrdiff_t i = 0; i < results; i += LANES) {
                Lanes block[LANES];
                for (int k = 0; k < LANES; k++) block[k] = VECTOR(made + (i + k) * LANES);
                turn(block);
                for (ptrdiff_t row = top; row < bottom; row++)
                    put_lanes((float *)pixel_at(to, row - start, left) + i, block[row - top], results - i);
            }
        }
    }
}

/* --- means of blocks ---------------------------------------------------------------------------------------------- */

/* Samples next to each other, of the rows of a block. */
INLINE void sum_rows(uint16_t *restrict sums, const uint8_t *at, ptrdiff_t row, int count, ptrdiff_t samples) {
    const uint8_t *second = at + (count > 1 ? row : 0);
    if (count == 1)
        for (ptrdiff_t i = 0; i < samples; i++) sums[i] = at[i];
    else
        for (ptrdiff_t i = 0; i < samples; i++) sums[i] = at[i] + second[i];
    for (int k = 2; k < count; k++) {
        const uint8_t *other = at + k * row;
        for (ptrdiff_t i = 0; i < samples; i++) sums[i] += other[i];
    }
}

/* What lies `step` apart, added to what lies at every place: only that at the beginning of a block is asked for. */
INLINE void sum_across(uint16_t *restrict wide, const uint16_t *restrict sums, int count, int step, ptrdiff_t samples) {
    for (ptrdiff_t i = 0; i < samples; i++) wide[i] = sums[i] + sums[i + step];
    for (int k = 2; k < count; k++)
        for (ptrdiff_t i = 0; i < samples; i++) wide[i] += sums[i + k * step];
}

INLINE void first_of_blocks(uint16_t *restrict to, const uint16_t *restrict wide, ptrdiff_t count, ptrdiff_t step,
                            int channels) {
    for (ptrdiff_t i = 0; i < count; i++) memcpy(to + i * channels, wide + i * step, 4 * sizeof(uint16_t));
}

INLINE void divide(float *restrict to, const uint16_t *restrict sums, float by, ptrdiff_t samples) {
    for (ptrdiff_t i = 0; i < samples; i++) to[i] = sums[i] / by;
}

/* Rows start..stop of a result of `width` pixels, each the mean of `across` x `down` pixels of 8 bits and at most four
 * channels, at most 257 of them, so that their sum has 16 bits; the first block begins at (left, top). `room` is for a row
 * of the picture twice, and 8 more. A mean of equal pixels is that pixel. */
KERNEL(block_means)(const Picture *picture, int across, int down, ptrdiff_t left, ptrdiff_t top, uint16_t *room,
                    const Pixels *to, ptrdiff_t width, ptrdiff_t start, ptrdiff_t stop) {
    int channels = picture->channels;
    ptrdiff_t samples = width * across * channels;
    uint16_t *sums = room, *wide = across > 1 ? room + samples : sums;
    for (ptrdiff_t y = start; y < stop; y++) {
        const char *at = pixel_at(&picture->pixels, top + y * down - picture->low, left);
        sum_rows(sums, (const uint8_t *)at, picture->pixels.row, down, samples);
        if (across > 1) {
            sum_across(wide, sums, across, channels, samples - (across - 1) * channels);
            first_of_blocks(sums, wide, width, across * channels, channels);
        }
        divide((float *)(to->at + (y - start) * to->row), sums, 255.0f * across * down, width * channels);
    }
}

/* --- any place of the picture ------------------------------------------------------------------------------------- */

/* Where the pixels of a result come from: through a matrix of three rows, by their centres, the first of which is at
 * (left, top) + 0.5; or as it is told, in rows of `row` places. Pixel i of the picture covers i to i + 1. */
typedef struct {
    const double *matrix, *across, *down;
    ptrdiff_t row, left, top;
} Map;

/* Weights of `taps` pixels at PHASES + 1 fractions of a pixel; what lies between is on a line. */
typedef struct {
    const float *weights;
    int taps;
} Filter;

#define PHASES 1024
#define GRAIN (1.5 * (1 << 30)) /* beside it a double has no finer steps than 2^-22 */
#define FAR (1 << 28)
#define MOST_TAPS 6
#define TILE 64

typedef float Four __attribute__((vector_size(16), may_alias, aligned(4)));
typedef float Eight __attribute__((vector_size(32), may_alias, aligned(4)));
typedef float Sixteen __attribute__((vector_size(64), may_alias, aligned(4)));

#define HALF_OF_EIGHT(a, i) __builtin_shufflevector(a, a, i, i + 1, i + 2, i + 3)
#define HALF_OF_SIXTEEN(a, i) __builtin_shufflevector(a, a, i, i + 1, i + 2, i + 3, i + 4, i + 5, i + 6, i + 7)
INLINE Four four_of_eight(Eight a) { return HALF_OF_EIGHT(a, 0) + HALF_OF_EIGHT(a, 4); }
INLINE Eight eight_of_sixteen(Sixteen a) { return HALF_OF_SIXTEEN(a, 0) + HALF_OF_SIXTEEN(a, 8); }
INLINE Eight eight_times(Four w) { return __builtin_shufflevector(w, w, 0, 0, 0, 0, 1, 1, 1, 1); }
INLINE Sixteen sixteen_times(Four w) {
    return __builtin_shufflevector(w, w, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
}

/* Where a pixel's first tap is, and how far the place is from the pixel before it. */
typedef struct {
    int32_t x[BLOCK], y[BLOCK];
    float across[BLOCK], down[BLOCK];
} Spots;

INLINE void spots_along(double *restrict places, double size, int wraps, int before, int n, int32_t *restrict first,
                        float *restrict fraction) {
    if (wraps)
        for (int i = 0; i < n; i++) places[i] -= floor(places[i] / size) * size;
    for (int i = 0; i < n; i++) {
        double place = places[i] - 0.5;
        place = place > -FAR && place < FAR ? place : -FAR; /* what is no number neither is a place */
        place = (place + GRAIN) - GRAIN;
        double whole = floor(place);
        first[i] = (int32_t)whole - before;
        fraction[i] = (float)(place - whole);
    }
}

INLINE void spots(const Map *map, const Picture *picture, int wraps, int taps, ptrdiff_t y, ptrdiff_t x, int n,
                  Spots *restrict out) {
    double across[BLOCK], down[BLOCK];
    if (map->matrix != 0) {
        const double *m = map->matrix;
        double row = y + map->top + 0.5, column = x + map->left + 0.5;
        double from_x = m[1] * row + m[2], from_y = m[4] * row + m[5], from_depth = m[7] * row + m[8];
        for (int i = 0; i < n; i++) {
            across[i] = m[0] * (column + i) + from_x;
            down[i] = m[3] * (column + i) + from_y;
        }
        if (m[6] != 0 || m[7] != 0)
            for (int i = 0; i < n; i++) {
                double depth = m[6] * (column + i) + from_depth;
                depth = depth > 0 ? depth : NAN; /* nowhere from the horizon on */
                across[i] /= depth, down[i] /= depth;
            }
    } else {
        memcpy(across, map->across + y * map->row + x, n * sizeof(double));
        memcpy(down, map->down + y * map->row + x, n * sizeof(double));
    }
    spots_along(across, picture->width, wraps & 1, taps / 2 - 1, n, out->x, out->across);
    spots_along(down, picture->height, wraps & 2, taps / 2 - 1, n, out->y, out->down);
    if (picture->low != 0)
        for (int i = 0; i < n; i++) out->y[i] -= (int32_t)picture->low;
}

INLINE void weigh_taps(const Filter *filter, float fraction, int taps, float *restrict weights) {
    if (taps == 2) {
        weights[0] = 1 - fraction, weights[1] = fraction;
        return;
    }
    float phase = fraction * PHASES;
    int before = (int)phase;
    const float *low = filter->weights + before * taps, *high = low + taps;
    for (int t = 0; t < taps; t++) weights[t] = low[t] + (high[t] - low[t]) * (phase - before);
}

/* Pixels of four floats that lie `row` floats under each other, all of them there. */
INLINE Four sampled(const float *at, ptrdiff_t row, const float *across, const float *down, int taps) {
    if (taps == 2) {
        Eight sum = down[0] * *(const Eight *)at + down[1] * *(const Eight *)(at + row);
        return four_of_eight(sum * eight_times((Four){across[0], across[1]}));
    }
    Sixteen sum = down[0] * *(const Sixteen *)at;
    for (int t = 1; t < taps; t++) sum += down[t] * *(const Sixteen *)(at + t * row);
    Eight half = eight_of_sixteen(sum * sixteen_times(*(const Four *)across));
    if (taps > 4) {
        Eight more = down[0] * *(const Eight *)(at + 16);
        for (int t = 1; t < taps; t++) more += down[t] * *(const Eight *)(at + 16 + t * row);
        half += more * eight_times((Four){across[4], across[5]});
    }
    return four_of_eight(half);
}

/* Pixels of four floats, of which those from (left, top) on lie at `at`. */
typedef struct {
    const float *at;
    ptrdiff_t row, left, top, width, height;
} Part;

/* The same where some are beyond the edge: there the picture goes on from the other one, or there is what is behind it. */
INLINE Four sampled_at_edge(const Part *part, const Picture *picture, int wraps, ptrdiff_t x, ptrdiff_t y,
                            const float *across, const float *down, int taps, Four behind) {
    Four sum = {};
    float share = 0;
    int all = 1;
    for (int j = 0; j < taps; j++) {
        ptrdiff_t row = y + j - part->top;
        if ((row < 0 || row >= part->height) && wraps & 2) row = modulo(y + j, picture->height) - part->top;
        for (int i = 0; i < taps; i++) {
            ptrdiff_t column = x + i - part->left;
            if ((column < 0 || column >= part->width) && wraps & 1) column = modulo(x + i, picture->width) - part->left;
            if (column < 0 || column >= part->width || row < 0 || row >= part->height) {
                all = 0;
                continue;
            }
            float weight = down[j] * across[i];
            sum += weight * *(const Four *)(part->at + row * part->row + 4 * column);
            share += weight;
        }
    }
    if (all) return sum;
    return sum + (1 - share) * behind;
}

INLINE void warp_tile(const Part *part, const Picture *picture, const Map *map, const Filter *filter, int wraps,
                      Four behind, const Pixels *to, int channels, ptrdiff_t top, ptrdiff_t bottom, ptrdiff_t left,
                      ptrdiff_t right, int taps) {
    Spots at;
    for (ptrdiff_t y = top; y < bottom; y++)
        for (ptrdiff_t start = left; start < right; start += BLOCK) {
            int n = right - start < BLOCK ? (int)(right - start) : BLOCK;
            spots(map, picture, wraps, taps, y, start, n, &at);
            for (int i = 0; i < n; i++) {
                ptrdiff_t column = at.x[i], row = at.y[i];
                Four found = behind;
                ptrdiff_t x = column - part->left, under = row - part->top;
                if (wraps || (x + taps > 0 && x < part->width && under + taps > 0 && under < part->height)) {
                    float across[MOST_TAPS], down[MOST_TAPS];
                    weigh_taps(filter, at.across[i], taps, across);
                    weigh_taps(filter, at.down[i], taps, down);
                    if (x >= 0 && x + taps <= part->width && under >= 0 && under + taps <= part->height)
                        found = sampled(part->at + under * part->row + 4 * x, part->row, across, down, taps);
                    else
                        found = sampled_at_edge(part, picture, wraps, column, row, across, down, taps, behind);
                }
                float *result = (float *)pixel_at(to, y, start + i);
                if (channels == 4)
                    *(Four *)result = found;
                else
                    for (int c = 0; c < channels; c++) result[c] = found[c];
            }
        }
}

/* The part of the picture that a tile needs, as four floats a pixel, in `room`: `channels` of its samples from `group` on.
 * 0 where it is more than there is room for. */
INLINE int part_of(const Picture *picture, int group, int channels, const Map *map, int wraps, int taps, float *room,
                   ptrdiff_t capacity, ptrdiff_t top, ptrdiff_t bottom, ptrdiff_t left, ptrdiff_t right, Part *part) {
    Spots at;
    int32_t low_x = INT32_MAX, low_y = INT32_MAX, high_x = INT32_MIN, high_y = INT32_MIN;
    for (ptrdiff_t y = top; y < bottom; y++)
        for (ptrdiff_t start = left; start < right; start += BLOCK) {
            int n = right - start < BLOCK ? (int)(right - start) : BLOCK;
            spots(map, picture, wraps, taps, y, start, n, &at);
            for (int i = 0; i < n; i++) {
                low_x = at.x[i] < low_x ? at.x[i] : low_x, high_x = at.x[i] > high_x ? at.x[i] : high_x;
                low_y = at.y[i] < low_y ? at.y[i] : low_y, high_y = at.y[i] > high_y ? at.y[i] : high_y;
            }
        }
    ptrdiff_t x = low_x, end = high_x + taps, y = low_y, bottom_y = high_y + taps;
    if (!(wraps & 1)) x = x > 0 ? x : 0, end = end < picture->width ? end : picture->width;
    if (!(wraps & 2)) y = y > 0 ? y : 0, bottom_y = bottom_y < picture->height ? bottom_y : picture->height;
    ptrdiff_t width = end > x ? end - x : 0, height = bottom_y > y ? bottom_y - y : 0;
    ptrdiff_t row = (4 * width + LANES - 1) / LANES * LANES;
    ptrdiff_t line = (width * picture->channels + LANES - 1) / LANES * LANES;
    if (row * height + line > capacity) return 0;
    *part = (Part){room, row, x, y, width, height};
    for (ptrdiff_t i = 0; i < height && width; i++) {
        float *to = room + i * row;
        if (picture->channels == 4) {
            const float *from = row_of(picture, y + i, x, end, to);
            if (from != to) memcpy(to, from, 4 * width * sizeof(float));
            continue;
        }
        const float *from = row_of(picture, y + i, x, end, room + height * row);
        for (ptrdiff_t k = 0; k < width; k++)
            for (int c = 0; c < 4; c++) to[4 * k + c] = c < channels ? from[k * picture->channels + group + c] : 0;
    }
    return 1;
}

INLINE int warp_all(const Picture *picture, int group, int channels, const Map *map, const Filter *filter, int wraps,
                    Four behind, float *room, ptrdiff_t capacity, const Pixels *to, ptrdiff_t height, ptrdiff_t width,
                    int taps) {
    int direct = picture->pixels.dtype == FLOAT32 && picture->channels == 4 && picture->alpha < 0;
    Part part = {(const float *)picture->pixels.at, picture->pixels.row / 4, 0, 0, picture->width, picture->height};
    for (ptrdiff_t top = 0; top < height; top += TILE)
        for (ptrdiff_t left = 0; left < width; left += TILE) {
            ptrdiff_t bottom = top + TILE < height ? top + TILE : height;
            ptrdiff_t right = left + TILE < width ? left + TILE : width;
            if (!direct && !part_of(picture, group, channels, map, wraps, taps, room, capacity, top, bottom, left,
                                    right, &part))
                return 0;
            warp_tile(&part, picture, map, filter, wraps, behind, to, channels, top, bottom, left, right, taps);
        }
    return 1;
}

/* A picture through a map, `channels` of its samples from `group` on, at most four, into those of `to`: over `behind`, or in
 * tiles, across (1) and down (2). `done` is 0 where a tile needs so much of the picture that it should be made of four
 * floats a pixel, associated, first: of those no part has to be made. */
KERNEL(warp)(const Picture *picture, int group, int channels, const Map *map, const Filter *filter, int wraps,
             const float *behind, float *room, ptrdiff_t capacity, const Pixels *to, ptrdiff_t height, ptrdiff_t width,
             int *done) {
    Four back = *(const Four *)behind;
#define WARP(taps)                                                                                                     \
    *done = warp_all(picture, group, channels, map, filter, wraps, back, room, capacity, to, height, width, taps);     \
    break
    switch (filter->taps) {
    case 2: WARP(2);
    case 4: WARP(4);
    case 6: WARP(6);
    }
}

/* Colours divided by the alpha of their pixel, where that is not 0. */
KERNEL(unassociate)(const Pixels *pixels, int channels, int alpha, const uint8_t *is_color, ptrdiff_t height,
                    ptrdiff_t width) {
    int in_order = alpha == 3 && channels == 4 && is_color[0] && is_color[1] && is_color[2];
    Picks is_alpha;
    for (int i = 0; i < LANES; i++) is_alpha[i] = (i & 3) == 3 ? -1 : 0;
    for (ptrdiff_t y = 0; y < height; y++) {
        float *row = (float *)pixel_at(pixels, y, 0);
        for (ptrdiff_t i = 0; in_order && i < 4 * width; i += LANES) {
            Lanes values = lanes_at(row + i, 4 * width - i), covered = alpha_of(values);
            put_lanes(row + i, values / pick(is_alpha | (covered == 0), all(1), covered), 4 * width - i);
        }
        for (ptrdiff_t x = 0; !in_order && x < width; x++) {
            float *at = row + x * channels, divisor = at[alpha] == 0 ? 1 : at[alpha];
            for (int c = 0; c < channels; c++)
                if (is_color[c]) at[c] /= divisor;
        }
    }
}
