/* What `equalize` and `auto_levels` ask of a picture's values, and what they make of them (see ranks.py); reliefs, shadows. */
#include <colors.h>

#define MOST_COLORS 12
#define WITHIN_STEP 9 /* bits of a float that are less than a step: 16384 steps in an octave */

/* Which values are looked at, of which pixels. */
typedef struct {
    Layout layout;
    int coverage; /* where alpha is, whether colours are multiplied by it or not; -1 where there is none */
    int by_luma;  /* the sum of the colours by these weights instead of them */
    float weights[3];
} Tones;

/* What becomes of values. Their bits, moved up by `shift` and counted from `first` on, are steps in a table. */
typedef struct {
    const float *table; /* the new value at every step, and once more the last; NULL: of none */
    float low, high, shift;
    int32_t first;
    float scale; /* without a table: (value - low) * scale; 0: as it is */
} Change;

typedef uint64_t Pair __attribute__((aligned(4), may_alias)); /* of floats, taken at once */

typedef struct {
    Plane given[MOST_COLORS], values[MOST_COLORS], alpha; /* given: where some may stay */
    int32_t counts[BLOCK]; /* 1 where a pixel is to be counted */
    int planes;
} Part;

/* Straight colours or their luma, of pixels that are seen and have nothing but numbers. */
INLINE void take(Part *part, const Pixels *from, const Tones *tones, ptrdiff_t y, ptrdiff_t x, int n) {
    const Layout *layout = &tones->layout;
    const char *at = pixel_at(from, y, x);
    part->planes = layout->count;
    if (tones->coverage >= 0) load(part->alpha, at, from->pixel, tones->coverage, from->dtype, n);
    for (int k = 0; k < layout->count; k++) {
        load(part->values[k], at, from->pixel, layout->colors[k], from->dtype, n);
        if (tones->coverage >= 0 || tones->by_luma)
            for (int i = 0; i < n; i++) part->given[k][i] = part->values[k][i];
    }
    if (tones->by_luma) {
        part->planes = 1;
        const float *w = tones->weights, *b = part->given[1], *c = part->given[2];
        float *a = part->values[0];
        for (int i = 0; i < n; i++) a[i] = a[i] * w[0] + b[i] * w[1] + c[i] * w[2];
    }
    for (int k = 0; layout->alpha >= 0 && k < part->planes; k++) straighten(part->values[k], part->alpha, n);
    for (int i = 0; i < BLOCK; i++) part->counts[i] = i < n;
    if (tones->coverage >= 0)
        for (int i = 0; i < n; i++) part->counts[i] &= part->alpha[i] != 0;
    for (int k = 0; k < part->planes; k++) {
        const int32_t *bits = (const int32_t *)part->values[k];
        for (int i = 0; i < n; i++) part->counts[i] &= (bits[i] & 0x7f800000) != 0x7f800000;
    }
}

#define EACH_PART                                                                                                      \
    for (ptrdiff_t y = 0; y < height; y++)                                                                             \
        for (ptrdiff_t x = 0, n; n = width - x < BLOCK ? width - x : BLOCK, x < width; x += BLOCK)

/* Of each plane the least and the largest value that counts, which go on from what they are; and how many pixels do. */
KERNEL(ends)(const Pixels *from, const Tones *tones, float *ends, int64_t *number, ptrdiff_t height, ptrdiff_t width) {
    Part part;
    EACH_PART {
        take(&part, from, tones, y, x, (int)n);
        for (int i = 0; i < n; i++) *number += part.counts[i];
        for (int k = 0; k < part.planes; k++) {
            Lanes low = all(ends[2 * k]), high = all(ends[2 * k + 1]);
            for (int i = 0; i < n; i += LANES) {
                Lanes value = *(Lanes *)(part.values[k] + i);
                Picks counts = *(Picks *)(part.counts + i) != 0;
                low = pick(counts & (value < low), value, low);
                high = pick(counts & (value > high), value, high);
            }
            for (int i = 0; i < LANES; i++) {
                ends[2 * k] = low[i] < ends[2 * k] ? low[i] : ends[2 * k];
                ends[2 * k + 1] = high[i] > ends[2 * k + 1] ? high[i] : ends[2 * k + 1];
            }
        }
    }
}

/* How far above the first step values are, in parts of a step. */
INLINE void steps_of(int32_t *restrict steps, const float *restrict values, const Change *change, int n) {
    for (int i = 0; i < n; i++) {
        float held = values[i] > change->low ? values[i] : change->low;
        held = held < change->high ? held : change->high;
        union {
            float value;
            int32_t bits;
        } moved = {held + change->shift};
        steps[i] = moved.bits - change->first;
    }
}

INLINE int32_t nearest(int32_t steps) { return (steps + (1 << (WITHIN_STEP - 1))) >> WITHIN_STEP; }

/* How many values are nearest to each step, added to what there is. */
KERNEL(count)(const Pixels *from, const Tones *tones, const Change *changes, uint32_t *const *histograms,
              ptrdiff_t height, ptrdiff_t width) {
    Part part;
    int32_t steps[BLOCK];
    EACH_PART {
        take(&part, from, tones, y, x, (int)n);
        for (int k = 0; k < part.planes; k++) {
            if (!histograms[k]) continue;
            steps_of(steps, part.values[k], changes + k, (int)n);
            for (int i = 0; i < BLOCK; i++) steps[i] = i < n ? nearest(steps[i]) : 0;
            for (int first = 0; first < n; first += LANES) {
                int32_t alike = 1, number = 0;
                for (int i = first; i < first + LANES; i++) alike &= steps[i] == steps[first];
                for (int i = first; i < first + LANES; i++) number += part.counts[i];
                if (alike) /* adding one by one to one number would wait for it each time */
                    histograms[k][steps[first]] += number;
                else
                    for (int i = first; i < first + LANES; i++) histograms[k][steps[i]] += part.counts[i];
            }
        }
    }
}

/* Of a histogram the share of values before each step and half of those at it; linear over steps that nothing is at. */
KERNEL(ranks)(const uint32_t *histogram, float *table, ptrdiff_t steps, ptrdiff_t number) {
    double before = 0, last = 0;
    ptrdiff_t done = 0; /* so many have a rank */
    for (ptrdiff_t step = 0; step < steps; step++) {
        if (!histogram[step]) continue;
        double rank = (before + histogram[step] / 2.0) / (double)number;
        double rise = done ? (rank - last) / (double)(step - (done - 1)) : 0;
        if (!done) last = rank;
        for (ptrdiff_t start = done - 1, i = done; i <= step; i++)
            table[i] = (float)(done ? last + rise * (double)(i - start) : rank);
        table[step] = (float)rank;
        before += histogram[step], last = rank, done = step + 1;
    }
    for (; done <= steps; done++) table[done] = (float)last;
}

/* What is collected of values: in any order, of which so many are there. */
typedef struct {
    float *values;
    int64_t number;
} Tail;

INLINE void collect(Tail *tail, const float *values, const int32_t *chosen, int n) {
    int found = 0;
    for (int i = 0; i < n; i++) found += chosen[i];
    if (!found) return;
    int64_t to = __atomic_fetch_add(&tail->number, found, __ATOMIC_RELAXED);
    for (int i = 0; i < n; i++)
        if (chosen[i]) tail->values[to++] = values[i];
}

/* Values that count, up to one step and from another on; of one plane, or of all (-1). */
KERNEL(tails)(const Pixels *from, const Tones *tones, const Change *change, int plane, int32_t lowest, int32_t highest,
              Tail *lower, Tail *upper, ptrdiff_t height, ptrdiff_t width) {
    Part part;
    int32_t steps[BLOCK], below[BLOCK], above[BLOCK];
    EACH_PART {
        take(&part, from, tones, y, x, (int)n);
        for (int k = 0; k < part.planes; k++) {
            if (plane >= 0 && plane != k) continue;
            steps_of(steps, part.values[k], change, (int)n);
            for (int i = 0; i < n; i++) {
                int32_t step = nearest(steps[i]);
                below[i] = part.counts[i] & (step <= lowest);
                above[i] = part.counts[i] & (step >= highest);
            }
            collect(lower, part.values[k], below, (int)n);
            collect(upper, part.values[k], above, (int)n);
        }
    }
}

INLINE void changed(float *restrict values, const Change *change, int n) {
    if (change->table) {
        int32_t steps[BLOCK];
        Pair found[BLOCK];
        steps_of(steps, values, change, n);
        for (int i = 0; i < n; i++) found[i] = *(const Pair *)(change->table + (steps[i] >> WITHIN_STEP));
        for (int i = 0; i < n; i++) {
            const float *pair = (const float *)&found[i];
            float part = (float)(steps[i] & ((1 << WITHIN_STEP) - 1)) * (1.0f / (1 << WITHIN_STEP));
            float value = values[i], between = pair[0] + (pair[1] - pair[0]) * part;
            values[i] = value == value ? between : value;
        }
    } else if (change->scale != 0) {
        for (int i = 0; i < n; i++) values[i] = (values[i] - change->low) * change->scale;
    }
}

/* The picture with changed values; by luma its colours get what that changes by. Alpha 0 keeps its colour. */
KERNEL(tone)(const Pixels *from, const Pixels *to, const Tones *tones, const Change *changes, ptrdiff_t height,
             ptrdiff_t width) {
    Part part;
    Plane luma;
    const Layout *layout = &tones->layout;
    EACH_PART {
        if (layout->count != layout->channels) carry(from, to, layout->channels, y, x, (int)n);
        take(&part, from, tones, y, x, (int)n);
        if (tones->by_luma)
            for (int i = 0; i < n; i++) luma[i] = part.values[0][i];
        for (int k = 0; k < part.planes; k++) changed(part.values[k], changes + k, (int)n);
        if (tones->by_luma)
            for (int i = 0; i < n; i++) luma[i] = part.values[0][i] - luma[i];
        for (int k = 0; k < layout->count; k++) {
            const float *values = tones->by_luma ? luma : part.values[k], *given = part.given[k];
            float *new = part.values[k];
            for (int i = 0; i < n; i++) new[i] = layout->alpha >= 0 ? values[i] * part.alpha[i] : values[i];
            if (tones->by_luma)
                for (int i = 0; i < n; i++) new[i] = given[i] + new[i];
            if (tones->coverage >= 0)
                for (int i = 0; i < n; i++) new[i] = part.alpha[i] == 0 ? given[i] : new[i];
        }
        store_colors(part.values, to, layout, y, x, (int)n);
    }
}

/* --- reliefs and shadows ------------------------------------------------------------------------------------------- */

typedef float Four __attribute__((vector_size(16), aligned(4)));

/* Slopes of associated values become a relief of the layout's colours, alpha times them less what is alpha's own: see
 * sharpen.py. Other channels are the values. */
KERNEL(relief)(const Pixels *values, const Pixels *slopes, const Pixels *to, const Layout *layout, float middle,
               ptrdiff_t height, ptrdiff_t width) {
    typedef int32_t Chosen __attribute__((vector_size(16)));
    int four = layout->channels == 4 && values->pixel == 16 && slopes->pixel == 16 && layout->alpha >= 0;
    Chosen is_color = {0, 0, 0, 0};
    for (int k = 0; four && k < layout->count; k++) is_color[layout->colors[k]] = -1;
    Plane given, slope, alpha, alpha_slope;
    for (ptrdiff_t y = 0; y < height; y++)
        for (ptrdiff_t x = 0; x < width; x += BLOCK) {
            int n = width - x < BLOCK ? (int)(width - x) : BLOCK;
            const char *at = pixel_at(values, y, x), *steep = pixel_at(slopes, y, x);
            char *out = pixel_at(to, y, x);
            if (four) {
                for (int i = 0; i < n; i++) {
                    Four value = ((const Four *)at)[i], rise = ((const Four *)steep)[i];
                    Four lit = (rise + middle) * value[layout->alpha] - value * rise[layout->alpha];
                    ((Four *)out)[i] = (Four)(((Chosen)lit & is_color) | ((Chosen)value & ~is_color));
                }
                continue;
            }
            if (layout->alpha >= 0) {
                load(alpha, at, values->pixel, layout->alpha, FLOAT32, n);
                load(alpha_slope, steep, slopes->pixel, layout->alpha, FLOAT32, n);
            }
            if (layout->count != layout->channels) carry(values, to, layout->channels, y, x, n);
            for (int k = 0; k < layout->count; k++) {
                load(given, at, values->pixel, layout->colors[k], FLOAT32, n);
                load(slope, steep, slopes->pixel, layout->colors[k], FLOAT32, n);
                for (int i = 0; i < n; i++) slope[i] += middle;
                if (layout->alpha >= 0)
                    for (int i = 0; i < n; i++) slope[i] = slope[i] * alpha[i] - given[i] * alpha_slope[i];
                store(out, to->pixel, layout->colors[k], slope, n);
            }
        }
}

/* A layer of one colour below the picture, as opaque as the shade times `strength`; in the picture's alpha state. */
KERNEL(shadow)(const Pixels *from, const Pixels *shade, const Pixels *to, const Layout *layout, int last,
               const float *colors, float strength, ptrdiff_t height, ptrdiff_t width) {
    Plane alpha, below, plane, after;
    int straight = layout->alpha < 0, others = layout->count + 1 != layout->channels;
    for (ptrdiff_t y = 0; y < height; y++)
        for (ptrdiff_t x = 0; x < width; x += BLOCK) {
            int n = width - x < BLOCK ? (int)(width - x) : BLOCK;
            const char *at = pixel_at(from, y, x);
            if (others) carry(from, to, layout->channels, y, x, n);
            load(alpha, at, from->pixel, last, from->dtype, n);
            load(below, pixel_at(shade, y, x), shade->pixel, 0, shade->dtype, n);
            for (int i = 0; i < n; i++) {
                below[i] = (1 - alpha[i]) * (below[i] * strength);
                after[i] = alpha[i] + below[i];
            }
            for (int k = 0; k < layout->count; k++) {
                load(plane, at, from->pixel, layout->colors[k], from->dtype, n);
                if (straight)
                    for (int i = 0; i < n; i++) plane[i] *= alpha[i];
                for (int i = 0; i < n; i++) plane[i] += below[i] * colors[k];
                if (straight) straighten(plane, after, n);
                store(pixel_at(to, y, x), to->pixel, layout->colors[k], plane, n);
            }
            store(pixel_at(to, y, x), to->pixel, last, after, n);
        }
}

/* --- detail.py: what a colour differs by from the mean around it --------------------------------------------------- */

#define DETAIL_TILE 128

/* Pixels of `channels` samples next to each other. `coverage` is where alpha is, or -1; `straight`: colours are to be
 * multiplied by it. Beyond the frame the edge is repeated, or the picture goes on: across (1), down (2). */
typedef struct {
    Pixels pixels;
    ptrdiff_t height, width;
    int channels, coverage, straight, wraps;
    const uint8_t *is_color;
} Field;

typedef struct {
    float amount, color, middle, threshold;
} Detail;

INLINE ptrdiff_t held_within(ptrdiff_t at, ptrdiff_t size, int wraps) {
    if (at >= 0 && at < size) return at;
    if (!wraps) return at < 0 ? 0 : size - 1;
    ptrdiff_t rest = at % size;
    return rest < 0 ? rest + size : rest;
}

/* Columns left..right of a row as floats, colours multiplied by alpha. */
INLINE void row_of(const Field *field, ptrdiff_t y, ptrdiff_t left, ptrdiff_t right, float *restrict to) {
    const Pixels *from = &field->pixels;
    int channels = field->channels;
    y = held_within(y, field->height, field->wraps & 2);
    ptrdiff_t start = left > 0 ? left : 0, stop = right < field->width ? right : field->width;
    if (start < stop)
        load_row(to + (start - left) * channels, pixel_at(from, y, start), from->dtype, (stop - start) * channels);
    for (ptrdiff_t x = left; x < right; x++) {
        if (x == start && start < stop) x = stop;
        if (x >= right) break;
        ptrdiff_t column = held_within(x, field->width, field->wraps & 1);
        load_row(to + (x - left) * channels, pixel_at(from, y, column), from->dtype, channels);
    }
    if (!field->straight) return;
    ptrdiff_t samples = (right - left) * channels;
    const uint8_t *is_color = field->is_color;
    if (channels == 4 && field->coverage == 3 && is_color[0] && is_color[1] && is_color[2]) {
        Picks is_alpha;
        for (int i = 0; i < LANES; i++) is_alpha[i] = (i & 3) == 3 ? -1 : 0;
        for (ptrdiff_t i = 0; i < samples; i += LANES) {
            Lanes values = lanes_at(to + i, samples - i);
            put_lanes(to + i, values * pick(is_alpha, all(1), alpha_of(values)), samples - i);
        }
    } else
        for (ptrdiff_t i = 0; i < samples; i += channels)
            for (int c = 0; c < channels; c++)
                if (is_color[c]) to[i + c] *= to[i + field->coverage];
}

/* The sum of rows or columns that lie `step` apart, as far away on one side as on the other: `weights` from the middle on. */
#define AT_ONCE 4 /* vectors, none of which waits for the others */
INLINE void mean_of(float *restrict to, const float *restrict from, ptrdiff_t step, const float *restrict weights,
                    int radius, ptrdiff_t n) {
    for (ptrdiff_t i = 0; i < n; i += AT_ONCE * LANES) { /* and what is left over of the last */
        const float *at = from + i;
        Lanes sums[AT_ONCE];
        for (int j = 0; j < AT_ONCE; j++) sums[j] = weights[0] * *(const Anywhere *)(at + j * LANES);
        for (int k = 1; k <= radius; k++) {
            const float *after = at + k * step, *before = at - k * step;
            for (int j = 0; j < AT_ONCE; j++)
                sums[j] += weights[k] * (*(const Anywhere *)(after + j * LANES) + *(const Anywhere *)(before + j * LANES));
        }
        for (int j = 0; j < AT_ONCE; j++) *(Anywhere *)(to + i + j * LANES) = sums[j];
    }
}

/* `mean_of` a row and of the one below it: what both look at is loaded once. */
INLINE void means_of_two(float *restrict to, float *restrict below, const float *restrict from, ptrdiff_t step,
                         const float *restrict weights, int radius, ptrdiff_t n) {
    for (ptrdiff_t i = 0; i < n; i += 2 * LANES) {
        Lanes sums[2], others[2], over[2], under[2];
        for (int j = 0; j < 2; j++) {
            const float *at = from + i + j * LANES;
            over[j] = *(const Anywhere *)at, under[j] = *(const Anywhere *)(at + step);
            sums[j] = weights[0] * over[j], others[j] = weights[0] * under[j];
        }
        for (int k = 1; k <= radius; k++)
            for (int j = 0; j < 2; j++) {
                const float *at = from + i + j * LANES;
                Lanes before = *(const Anywhere *)(at - k * step), after = *(const Anywhere *)(at + (k + 1) * step);
                sums[j] += weights[k] * (under[j] + before);
                others[j] += weights[k] * (after + over[j]);
                over[j] = before, under[j] = after;
            }
        for (int j = 0; j < 2; j++) {
            *(Anywhere *)(to + i + j * LANES) = sums[j];
            *(Anywhere *)(below + i + j * LANES) = others[j];
        }
    }
}

INLINE void change_detail(float *restrict to, const float *restrict values, const float *restrict means,
                          const float *restrict alpha, const float *restrict around, const Detail *detail, int covered,
                          int straight, int lessened, ptrdiff_t n) {
    float amount = detail->amount, color = detail->color;
    for (ptrdiff_t i = 0; i < n; i++) {
        float value = values[i], mean = means[i], middle = detail->middle, threshold = detail->threshold, shown = 1;
        if (covered) {
            float divisor = around[i] == 0 ? 1 : around[i];
            shown = alpha[i] != 0 ? 1 : 0;
            if (straight)
                mean /= divisor;
            else
                mean *= alpha[i] / divisor, middle *= alpha[i], threshold *= alpha[i];
        }
        float result;
        if (lessened) {
            float differs = (straight ? value : value * shown) - mean;
            float within = differs < -threshold ? -threshold : differs > threshold ? threshold : differs;
            result = value * color + (differs - within) * amount;
        } else
            result = value * (straight ? color + amount : color + amount * shown) - mean * amount;
        result += middle;
        to[i] = straight ? result * shown : result;
    }
}

INLINE void spread_alpha(float *restrict to, const float *restrict from, int channels, int alpha, ptrdiff_t pixels) {
    for (ptrdiff_t x = 0; x < pixels; x++)
        for (int c = 0; c < channels; c++) to[x * channels + c] = from[x * channels + alpha];
}

/* Rows top..bottom of the picture with its detail changed, into `to`. `room` is for DETAIL_TILE + 2 radius pixels of floats,
 * and 64 more, 6 + bottom - top + 2 radius times. */
KERNEL(detail)(const Field *field, const float *weights, int radius, const Detail *detail, float *room,
               const Pixels *to, ptrdiff_t top, ptrdiff_t bottom) {
    const Pixels *from = &field->pixels;
    int channels = field->channels, coverage = field->coverage;
    int way = coverage < 0 ? 0 : field->straight ? 2 : 1, lessened = detail->threshold != 0;
    ptrdiff_t row = (DETAIL_TILE + 2 * radius) * channels + 16 * AT_ONCE;
    float *line = room, *means = line + row, *floats = means + row, *alpha = floats + row, *around = alpha + row;
    float *below = around + row, *rows = below + row;
    for (ptrdiff_t left = 0; left < field->width; left += DETAIL_TILE) {
        ptrdiff_t right = left + DETAIL_TILE < field->width ? left + DETAIL_TILE : field->width;
        ptrdiff_t samples = (right - left) * channels, wide = samples + 2 * radius * channels;
        for (ptrdiff_t y = top - radius; y < bottom + radius; y++)
            row_of(field, y, left - radius, right + radius, rows + (y - top + radius) * row);
        for (ptrdiff_t y = top; y < bottom; y++) {
            int is_second = (y - top) & 1;
            if (!is_second && y + 1 < bottom)
                means_of_two(line, below, rows + (y - top + radius) * row, row, weights, radius, wide);
            else if (!is_second)
                mean_of(line, rows + (y - top + radius) * row, row, weights, radius, wide);
            mean_of(means, (is_second ? below : line) + radius * channels, channels, weights, radius, samples);
            const float *values = (const float *)pixel_at(from, y, left);
            float *result = (float *)pixel_at(to, y - top, left);
            if (from->dtype != FLOAT32) {
                load_row(floats, pixel_at(from, y, left), from->dtype, samples);
                values = floats;
            }
            if (way && channels == 4) {
                spread_alpha(alpha, values, 4, coverage, right - left);
                spread_alpha(around, means, 4, coverage, right - left);
            } else if (way) {
                spread_alpha(alpha, values, channels, coverage, right - left);
                spread_alpha(around, means, channels, coverage, right - left);
            }
            switch (2 * way + lessened) {
            case 0: change_detail(result, values, means, alpha, around, detail, 0, 0, 0, samples); break;
            case 1: change_detail(result, values, means, alpha, around, detail, 0, 0, 1, samples); break;
            case 2: change_detail(result, values, means, alpha, around, detail, 1, 0, 0, samples); break;
            case 3: change_detail(result, values, means, alpha, around, detail, 1, 0, 1, samples); break;
            case 4: change_detail(result, values, means, alpha, around, detail, 1, 1, 0, samples); break;
            case 5: change_detail(result, values, means, alpha, around, detail, 1, 1, 1, samples); break;
            }
            for (int c = 0; c < channels; c++)
                if (!field->is_color[c])
                    for (ptrdiff_t i = c; i < samples; i += channels) result[i] = values[i];
        }
    }
}
