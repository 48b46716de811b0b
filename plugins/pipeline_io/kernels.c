/* Undoing the filters of PNG: Portable Network Graphics (PNG) Specification (Third Edition), W3C, section 9. And floats as
 * the whole numbers that files hold. */
#include <string.h>

#include <pixels.h>

enum { NONE, SUB, UP, AVERAGE, PAETH };

/* The samples of one pixel, at most eight bytes of it, in lanes that hold their sums and differences. */
typedef uint8_t Bytes __attribute__((vector_size(8)));
typedef int16_t Sums __attribute__((vector_size(16)));
typedef uint8_t Halves __attribute__((vector_size(16)));

INLINE Sums pixel(const uint8_t *at, int step) {
    Bytes bytes = {};
    memcpy(&bytes, at, step);
    return __builtin_convertvector(bytes, Sums);
}

INLINE void put(uint8_t *at, Sums sums, int step) {
    Bytes bytes = __builtin_convertvector(sums, Bytes);
    memcpy(at, &bytes, step);
}

/* Modulo 256: upper halves are 0 and stay it. */
INLINE Sums added(Sums a, Sums b) { return (Sums)((Halves)a + (Halves)b); }

INLINE Sums size_of(Sums a) {
    Sums sign = a >> 15;
    return (a ^ sign) - sign;
}

/* The neighbour nearest to left + above - corner; on a tie left, then above. Without comparing, whose masks take longer
 * to arrive than a difference's sign. */
INLINE Sums nearest(Sums left, Sums above, Sums corner) {
    Sums up = above - corner, across = left - corner;
    Sums to_left = size_of(up), to_above = size_of(across), to_corner = size_of(across + up);
    Sums not_left = ((to_above - to_left) | (to_corner - to_left)) >> 15, not_above = (to_corner - to_above) >> 15;
    Sums other = (above & ~not_above) | (corner & not_above);
    return (left & ~not_left) | (other & not_left);
}

INLINE void undo(int filter, const uint8_t *restrict from, const uint8_t *restrict above, uint8_t *restrict to,
                 ptrdiff_t length, int step) {
    Sums left = {}, corner = {};
    switch (filter) {
    case SUB:
        for (ptrdiff_t x = 0; x < length; x += step) put(to + x, left = added(pixel(from + x, step), left), step);
        break;
    case UP:
        for (ptrdiff_t x = 0; x < length; x++) to[x] = from[x] + above[x];
        break;
    case AVERAGE:
        for (ptrdiff_t x = 0; x < length; x += step)
            put(to + x, left = added(pixel(from + x, step), (left + pixel(above + x, step)) >> 1), step);
        break;
    case PAETH:
        for (ptrdiff_t x = 0; x < length; x += step) {
            Sums up = pixel(above + x, step);
            put(to + x, left = added(pixel(from + x, step), nearest(left, up, corner)), step);
            corner = up;
        }
        break;
    default: memcpy(to, from, length);
    }
}

/* Two rows that both have Paeth's filter, the lower one a pixel behind the upper: each waits for its own pixel to the left,
 * not for the other. */
INLINE void undo_two(const uint8_t *restrict from, const uint8_t *restrict above, uint8_t *restrict to,
                     ptrdiff_t length, int step) {
    const uint8_t *restrict from_low = from + length + 1;
    uint8_t *restrict to_low = to + length;
    Sums left = {}, corner = {}, left_low = {}, corner_low = {};
    for (ptrdiff_t x = 0; x < length; x += step) {
        Sums up = pixel(above + x, step), up_low = left;
        left = added(pixel(from + x, step), nearest(left, up, corner));
        corner = up;
        put(to + x, left, step);
        if (x == 0) continue;
        left_low = added(pixel(from_low + x - step, step), nearest(left_low, up_low, corner_low));
        corner_low = up_low;
        put(to_low + x - step, left_low, step);
    }
    left_low = added(pixel(from_low + length - step, step), nearest(left_low, left, corner_low));
    put(to_low + length - step, left_low, step);
}

INLINE void undo_rows(const uint8_t *from, uint8_t *to, const uint8_t *above, ptrdiff_t count, ptrdiff_t length,
                      int step) {
    for (ptrdiff_t y = 0; y < count; y++) {
        const uint8_t *row = from + y * (length + 1);
        if (row[0] == PAETH && y + 1 < count && row[length + 1] == PAETH)
            undo_two(row + 1, above, to + y++ * length, length, step);
        else
            undo(row[0], row + 1, above, to + y * length, length, step);
        above = to + y * length;
    }
}

/* `count` rows of `length` bytes, each behind its filter's number, whose pixels are `step` bytes apart. `above` is the row
 * before them, and becomes the last of them. Of two bytes of a sample the high one comes first; `swaps` turns them round. */
KERNEL(unfilter)(const uint8_t *from, uint8_t *to, uint8_t *above, ptrdiff_t count, ptrdiff_t length, int step,
                 int swaps) {
    switch (step) {
    case 1: undo_rows(from, to, above, count, length, 1); break;
    case 2: undo_rows(from, to, above, count, length, 2); break;
    case 3: undo_rows(from, to, above, count, length, 3); break;
    case 4: undo_rows(from, to, above, count, length, 4); break;
    case 6: undo_rows(from, to, above, count, length, 6); break;
    case 8: undo_rows(from, to, above, count, length, 8); break;
    }
    memcpy(above, to + (count - 1) * length, length);
    if (swaps) {
        uint16_t *samples = (uint16_t *)to;
        for (ptrdiff_t i = 0; i < count * length / 2; i++) samples[i] = samples[i] << 8 | samples[i] >> 8;
    }
}

/* --- samples ------------------------------------------------------------------------------------------------------ */

#define WHOLE 0x1.8p23f /* beside it a float has no finer steps than 1 */

/* 0..1 as 0..`full`, clamped, the nearest, halves to even. The largest of `worst` and the magnitudes, as bits. */
INLINE int32_t quantise_some(const float *restrict from, int32_t *restrict to, float full, int32_t worst, int n) {
    for (int i = 0; i < n; i++) {
        int32_t bits;
        memcpy(&bits, &from[i], sizeof bits);
        bits &= 0x7fffffff;
        worst = bits > worst ? bits : worst;
        float value = from[i] * full;
        value = value > 0 ? value : 0;
        value = value < full ? value : full;
        to[i] = (int32_t)((value + WHOLE) - WHOLE);
    }
    return worst;
}

INLINE void put_bytes(uint8_t *restrict to, const int32_t *restrict codes, int n) {
    for (int i = 0; i < n; i++) to[i] = (uint8_t)codes[i];
}

INLINE void put_words(uint16_t *restrict to, const int32_t *restrict codes, int n) {
    for (int i = 0; i < n; i++) to[i] = (uint16_t)codes[i];
}

/* Rows of `samples` floats next to each other into 8 or 16 bits; `wrong` becomes 1 where one is not finite. */
KERNEL(quantise)(const Pixels *from, const Pixels *to, int channels, float full, int *wrong, ptrdiff_t height,
                 ptrdiff_t width) {
    Plane values;
    int32_t codes[BLOCK], worst = 0;
    for (ptrdiff_t y = 0; y < height; y++)
        for (ptrdiff_t x = 0; x < width * channels; x += BLOCK) {
            int n = width * channels - x < BLOCK ? (int)(width * channels - x) : BLOCK;
            ptrdiff_t size = from->dtype == FLOAT16 ? 2 : 4;
            load_row(values, from->at + y * from->row + x * size, from->dtype, n);
            worst = quantise_some(values, codes, full, worst, n);
            if (to->dtype == UINT8)
                put_bytes((uint8_t *)(to->at + y * to->row) + x, codes, n);
            else
                put_words((uint16_t *)(to->at + y * to->row) + x, codes, n);
        }
    if (worst >= 0x7f800000) *wrong = 1;
}
