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

#define AT_ONCE 4 /* rows of the picture */
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
    float *at = room;
    for (ptrdiff_t x = from; x < to;) {
        ptrdiff_t column = inside ? x : modulo(x, picture->width);
        ptrdiff_t count = to - x < picture->width - column ? to - x : picture->width - column;
        load_row(at, pixel_at(pixels, y, column), pixels->dtype, count * channels);
        at += count * channels, x += count;
    }
    ptrdiff_t samples = (to - from) * channels;
    if (alpha == 3 && channels == 4) {
        Picks is_alpha;
        for (int i = 0; i < LANES; i++) is_alpha[i] = (i & 3) == 3 ? -1 : 0;
        for (ptrdiff_t i = 0; i < samples; i += LANES) {
            Lanes values = VECTOR(room + i);
            VECTOR(room + i) = values * pick(is_alpha, all(1), alpha_of(values));
        }
    } else if (alpha >= 0)
        for (ptrdiff_t i = 0; i < samples; i += channels)
            for (int c = 0; c < channels; c++)
                if (picture->is_color[c]) room[i + c] *= room[i + alpha];
    return room;
}

/* `count` rows times their weights, added to a sum or the beginning of one. */
INLINE void add_rows(float *restrict sum, const float *const *rows, const float *weights, int count, int begins,
                     ptrdiff_t samples) {
    const float *a = rows[0], *b = rows[count > 1], *c = rows[count > 2 ? 2 : 0], *d = rows[count > 3 ? 3 : 0];
    float of_a = weights[0], of_b = count > 1 ? weights[1] : 0, of_c = count > 2 ? weights[2] : 0,
          of_d = count > 3 ? weights[3] : 0;
    for (ptrdiff_t i = 0; i < samples; i++) {
        float value = begins ? of_a * a[i] : sum[i] + of_a * a[i];
        if (count > 1) value += of_b * b[i];
        if (count > 2) value += of_c * c[i];
        if (count > 3) value += of_d * d[i];
        sum[i] = value;
    }
}

INLINE void add_some(float *sum, const float *const *rows, const float *weights, int count, int begins,
                     ptrdiff_t samples) {
    switch (2 * count + begins) {
    case 2: add_rows(sum, rows, weights, 1, 0, samples); break;
    case 3: add_rows(sum, rows, weights, 1, 1, samples); break;
    case 4: add_rows(sum, rows, weights, 2, 0, samples); break;
    case 5: add_rows(sum, rows, weights, 2, 1, samples); break;
    case 6: add_rows(sum, rows, weights, 3, 0, samples); break;
    case 7: add_rows(sum, rows, weights, 3, 1, samples); break;
    case 8: add_rows(sum, rows, weights, 4, 0, samples); break;
    case 9: add_rows(sum, rows, weights, 4, 1, samples); break;
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
 * `tiles`, so that none needs more than `span` samples of a row, nor gives more, a multiple of 16; `room` is for 52 times
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
                for (ptrdiff_t row = top; row < bottom; row++) {
                    ptrdiff_t first = down->first[row], last = first + down->number[row];
                    ptrdiff_t begin = first > y ? first : y, finish = last < behind ? last : behind;
                    if (begin < finish)
                        add_some(summed + (row - top) * span, some + (begin - y),
                                 down->weights + row * down->taps + (begin - first), (int)(finish - begin),
                                 begin == first, samples);
                }
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
