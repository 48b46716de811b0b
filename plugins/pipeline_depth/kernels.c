/* What lies within a range of depths. */
#include <pixels.h>

/* 1 from near to far, and fading to 0 outside over so much depth; depth.py has the formula. */
KERNEL(within)(const Pixels *from, const Pixels *to, int channel, float near, float far, float softness,
               ptrdiff_t height, ptrdiff_t width) {
    Plane depth, mask;
    for (ptrdiff_t y = 0; y < height; y++)
        for (ptrdiff_t x = 0; x < width; x += BLOCK) {
            int n = width - x < BLOCK ? (int)(width - x) : BLOCK;
            load(depth, pixel_at(from, y, x), from->pixel, channel, from->dtype, n);
            for (int i = 0; i < n; i++) {
                float before = near - depth[i], beyond = depth[i] - far;
                float fade = 1 - (before > beyond ? before : beyond) / softness;
                fade = fade > 0 ? fade : 0; /* what is no number, too */
                fade = fade < 1 && softness > 0 ? fade : 0;
                int inside = (depth[i] >= near) & (depth[i] <= far);
                mask[i] = inside ? 1.0f : fade;
            }
            store(pixel_at(to, y, x), to->pixel, 0, mask, n);
        }
}
