/* Squared error and structural similarity of two images, summed over a tile in one pass over its rows.

   A row is as it lies in memory, three channels side by side, so that a window's columns are three values apart and no
   pixel is moved. transforms/scores/similarity.py explains what is computed, and does the same with torch. */

#include "hdnet_kernels.h"

#define REACH 5
#define WINDOW (2 * REACH + 1)
#define COLUMNS 64 /* So many are taken at a time: the maps of a window's rows take 39 KB. */
#define VALUES (3 * (COLUMNS + 2 * REACH))
#define MIDDLE 128.0f
#define TWICE_C1 (2 * 2.55f * 2.55f)
#define TWICE_C2 (2 * 7.65f * 7.65f)

enum { SUM, DIFFERENCE, SUM_SQUARED, DIFFERENCE_SQUARED, MAPS };
typedef float Row[MAPS][VALUES];

/* An image, (height,width,3) uint8_t, or uint16_t if it is wide. */
typedef struct {
    const void *values;
    int64_t height, width;
    int is_wide;
} Image;

/* The Gaussian window from its end to its middle. */
static const float WEIGHTS[REACH + 1] = {0.00102838008f, 0.00759875814f, 0.0360007721f,
                                         0.10936069f,    0.213005538f,   0.266011725f};

/* Return the weighted sum over a window's rows at one place. */
INLINE float windowed(const float *const rows[WINDOW], int64_t i) {
    float sum = WEIGHTS[REACH] * rows[REACH][i];
#pragma GCC unroll 5
    for (int k = 0; k < REACH; k++)
        sum += WEIGHTS[k] * (rows[k][i] + rows[WINDOW - 1 - k][i]);
    return sum;
}

INLINE int64_t mirrored(int64_t place, int64_t size) {
    int64_t turn = (place % (2 * size) + 2 * size) % (2 * size);
    return MIN(turn, 2 * size - 1 - turn);
}

INLINE void widen_pixels(const Image *image, int64_t row, int64_t column, int64_t count, float *to, int is_wide) {
    int64_t start = 3 * (row * image->width + column);
    for (int64_t i = 0; i < 3 * count; i++)
        to[i] = is_wide ? ((const uint16_t *)image->values)[start + i] / 257.0f
                        : ((const uint8_t *)image->values)[start + i];
}

/* Write a row's columns in the 0..255 scale, the image mirrored at its border. */
INLINE void read_columns(const Image *image, int64_t row, int64_t start, int64_t end, float *to, int is_wide) {
    int64_t inner = MAX(start, 0), outer = MIN(end, image->width);
    row = mirrored(row, image->height);
    for (int64_t i = start; i < inner; i++)
        widen_pixels(image, row, mirrored(i, image->width), 1, to + 3 * (i - start), is_wide);
    widen_pixels(image, row, inner, outer - inner, to + 3 * (inner - start), is_wide);
    for (int64_t i = outer; i < end; i++)
        widen_pixels(image, row, mirrored(i, image->width), 1, to + 3 * (i - start), is_wide);
}

INLINE void read_image(const Image *image, int64_t row, int64_t start, int64_t end, float *to) {
    if (image->is_wide)
        read_columns(image, row, start, end, to, 1);
    else
        read_columns(image, row, start, end, to, 0);
}

INLINE void read_row(const Image *x, const Image *y, int64_t row, int64_t start, int64_t end, Row maps) {
    float ours[VALUES], theirs[VALUES];
    read_image(x, row, start, end, ours);
    read_image(y, row, start, end, theirs);
    for (int64_t i = 0; i < 3 * (end - start); i++) {
        float sum = ours[i] + (theirs[i] - 2 * MIDDLE), difference = ours[i] - theirs[i];
        maps[SUM][i] = sum;
        maps[DIFFERENCE][i] = difference;
        maps[SUM_SQUARED][i] = sum * sum;
        maps[DIFFERENCE_SQUARED][i] = difference * difference;
    }
}

/* Write half of 1 - SSIM at the columns between a window's rows. */
INLINE void dissimilarity(const Row *rows[WINDOW], int64_t columns, float *restrict unlike) {
    float blurred[MAPS][VALUES];
    const float *lines[MAPS][WINDOW];
    for (int map = 0; map < MAPS; map++) {
        const float *above[WINDOW];
        for (int k = 0; k < WINDOW; k++) {
            above[k] = (*rows[k])[map];
            lines[map][k] = blurred[map] + 3 * k;
        }
        for (int64_t i = 0; i < 3 * (columns + 2 * REACH); i++)
            blurred[map][i] = windowed(above, i);
    }
    for (int64_t i = 0; i < 3 * columns; i++) {
        float mean = windowed(lines[SUM], i), apart = windowed(lines[DIFFERENCE], i);
        float q = windowed(lines[SUM_SQUARED], i) - mean * mean + TWICE_C2;
        float b = apart * apart, v = windowed(lines[DIFFERENCE_SQUARED], i) - b;
        float p = (mean + 2 * MIDDLE) * (mean + 2 * MIDDLE) + TWICE_C1;
        unlike[i] = (p * v + b * q) / ((p + b) * (q + v));
    }
}

INLINE double total(const float *values, int64_t count) {
    Lanes lanes = {0};
    double sum = 0;
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES)
        lanes += *(const Lanes *)(values + i);
    for (int lane = 0; lane < LANES; lane++)
        sum += lanes[lane];
    for (; i < count; i++)
        sum += values[i];
    return sum;
}

/* Add up a row's squared errors and dissimilarity, each over all columns that count and over the foreground. */
INLINE void add_row(const float *error, const float *unlike, const uint8_t *inside, int64_t columns, int64_t first,
                    int64_t last, double sums[4]) {
    sums[0] += total(error, 3 * columns);
    sums[2] += last > first ? 2 * total(unlike + 3 * first, 3 * (last - first)) : 0;
    for (int64_t start = 0, length; start < columns; start += length) {
        length = run(inside, start, columns);
        if (inside[start]) {
            sums[1] += total(error + 3 * start, 3 * length);
            sums[3] += 2 * total(unlike + 3 * start, 3 * length);
        }
    }
}

INLINE void compare_columns(const Image *x, const Image *y, const uint8_t *inside, int64_t top, int64_t bottom,
                            int64_t left, int64_t right, double sums[4]) {
    Row ring[WINDOW];
    float unlike[3 * COLUMNS];
    int64_t first = MAX(left, REACH) - left, last = MIN(right, x->width - REACH) - left;
    for (int64_t row = top - REACH; row < bottom + REACH; row++) {
        read_row(x, y, row, left - REACH, right + REACH, ring[(row - top + REACH) % WINDOW]);
        int64_t middle = row - REACH;
        if (middle < top)
            continue;
        const Row *rows[WINDOW];
        for (int k = 0; k < WINDOW; k++)
            rows[k] = (const Row *)&ring[(middle - top + k) % WINDOW];
        dissimilarity(rows, right - left, unlike);
        int is_inner = middle >= REACH && middle < x->height - REACH;
        add_row((*rows[REACH])[DIFFERENCE_SQUARED] + 3 * REACH, unlike, inside + middle * x->width + left, right - left,
                first, is_inner ? last : first, sums);
    }
}

/* Add to sums, over a tile of two images of one size: squared errors, those of the foreground, 1 - SSIM where the
   window lies inside the image, and 1 - SSIM of the foreground. `inside` is (height,width), 1 in the foreground and
   else 0. */
EVERY_PROCESSOR void hdnet_compare(const Image *image, const Image *reference, const uint8_t *inside, int64_t top,
                                   int64_t bottom, int64_t left, int64_t right, double sums[4]) {
    for (; left < right; left += COLUMNS)
        compare_columns(image, reference, inside, top, bottom, left, MIN(left + COLUMNS, right), sums);
}
