/* The passes over memory between HDNet's convolutions, each fused into one. Plain C: compilers vectorise the loops.

   A block is `count` positions of `channels` values each. Values are float, or bfloat16 in uint16_t. Where a pass tells
   two regions apart, `inside` has one byte for each position, 1 in the foreground and 0 in the background; NULL stands
   for background alone. Rows of a mask have long runs of either, and the work on a run has no branches. */

#include <stdint.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define WIDE 256 /* Positions of few channels are taken together until they have so many values. */
#define BLOCK 64 /* So many rows of WIDE values are summed in float before float64 takes them over. */

/* One library serves all x86-64 processors: the loader chooses the version. It needs glibc's help. */
#if defined(__x86_64__) && defined(__GLIBC__)
#define EVERY_PROCESSOR __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define EVERY_PROCESSOR
#endif

typedef uint16_t bfloat16;

INLINE float widen(bfloat16 value) {
    uint32_t bits = (uint32_t)value << 16;
    float wide;
    memcpy(&wide, &bits, sizeof wide);
    return wide;
}

INLINE bfloat16 narrow(float value) { /* to the nearest, ties to even; NaNs that arithmetic makes stay NaNs */
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return (bfloat16)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

INLINE float load(const void *from, int64_t i, int is_float) {
    return is_float ? ((const float *)from)[i] : widen(((const bfloat16 *)from)[i]);
}

INLINE void store(void *to, int64_t i, float value, int is_float) {
    if (is_float)
        ((float *)to)[i] = value;
    else
        ((bfloat16 *)to)[i] = narrow(value);
}

INLINE const char *at(const void *block, int64_t values, int is_float) {
    return (const char *)block + values * (is_float ? sizeof(float) : sizeof(bfloat16));
}

/* Return how many positions from `start` on are in the same region. */
INLINE int64_t run(const uint8_t *inside, int64_t start, int64_t count) {
    if (!inside)
        return count - start;
    const uint8_t *end = memchr(inside + start, !inside[start], count - start);
    return end ? end - (inside + start) : count - start;
}

INLINE int64_t together(int64_t channels) { return channels < WIDE ? WIDE / channels : 1; }

/* Copy positions of `size` bytes to places `stride` bytes apart. */
INLINE void copy_apart(char *to, const char *from, int64_t count, int64_t size, int64_t stride) {
    for (int64_t i = 0; i < count; i++)
        memcpy(to + i * stride, from + i * size, size);
}

static void spread(char *to, const char *from, int64_t count, int64_t size, int64_t stride) {
    switch (size) { /* a copy of a size that is known is one instruction or two */
    case 16: copy_apart(to, from, count, 16, stride); break;
    case 32: copy_apart(to, from, count, 32, stride); break;
    case 64: copy_apart(to, from, count, 64, stride); break;
    case 128: copy_apart(to, from, count, 128, stride); break;
    default: copy_apart(to, from, count, size, stride);
    }
}

INLINE void scale_and_shift(const void *from, void *to, int64_t values, const float *scale, const float *shift,
                            float slope, int from_float, int to_float) {
    for (int64_t i = 0; i < values; i++) {
        float y = load(from, i, from_float) * scale[i] + shift[i];
        float below = y * slope;
        store(to, i, y > 0 ? y : below, to_float);
    }
}

INLINE void read_block(const void *from, void *to, int64_t count, int64_t channels, int64_t stride,
                       const uint8_t *inside, const float *affine[4], float slope, int from_float, int to_float) {
    int64_t most = together(channels), width = most * channels;
    float wide[4][width], made[width];
    for (int64_t i = 0; i < 4; i++)
        for (int64_t j = 0; j < width; j += channels)
            memcpy(wide[i] + j, affine[i], channels * sizeof(float));
    for (int64_t start = 0, length; start < count; start += length) {
        int64_t region = inside && inside[start] ? 0 : 2;
        length = run(inside, start, count);
        for (int64_t i = start; i < start + length; i += most) {
            int64_t few = MIN(most, start + length - i);
            char *place = (char *)at(to, i * stride, to_float);
            scale_and_shift(at(from, i * channels, from_float), stride == channels ? (void *)place : made,
                            few * channels, wide[region], wide[region + 1], slope, from_float, to_float);
            if (stride != channels)
                spread(place, (char *)made, few, channels * (to_float ? 4 : 2), stride * (to_float ? 4 : 2));
        }
    }
}

/* Normalise and activate a block, and write it among the channels of another whose positions are `stride` values apart:
   y = x * scale + shift, and y * slope where that is below 0. Scales and shifts are for one position. */
EVERY_PROCESSOR void hdnet_read(const void *from, void *to, int64_t count, int64_t channels, int64_t stride,
                                const uint8_t *inside, const float *fore_scale, const float *fore_shift,
                                const float *back_scale, const float *back_shift, float slope, int from_float,
                                int to_float) {
    const float *affine[4] = {fore_scale, fore_shift, back_scale, back_shift};
    if (from_float && to_float)
        read_block(from, to, count, channels, stride, inside, affine, slope, 1, 1);
    else if (to_float)
        read_block(from, to, count, channels, stride, inside, affine, slope, 0, 1);
    else if (from_float)
        read_block(from, to, count, channels, stride, inside, affine, slope, 1, 0);
    else
        read_block(from, to, count, channels, stride, inside, affine, slope, 0, 0);
}

INLINE void add_up(const void *from, int64_t values, const float *centre, float *sum, float *square, int is_float) {
    for (int64_t i = 0; i < values; i++) {
        float off = load(from, i, is_float) - centre[i];
        sum[i] += off;
        square[i] += off * off;
    }
}

/* Merge the sums of `block` positions into float64 statistics (count, mean, squared deviation; 3 x channels), and let
   the next ones be taken around the mean so far. */
static void merge(double *statistics, int64_t block, int64_t channels, int64_t width, float *centre, float *sum,
                  float *square) {
    double *count = statistics, *mean = count + channels, *deviation = mean + channels;
    for (int64_t c = 0; c < channels && block; c++) {
        double total = 0, squares = 0;
        for (int64_t j = c; j < width; j += channels) {
            total += sum[j];
            squares += square[j];
        }
        double step = total / block, gap = centre[c] + step - mean[c], both = count[c] + block;
        deviation[c] += squares - total * step + gap * gap * count[c] * block / both;
        mean[c] += gap * block / both;
        count[c] = both;
    }
    for (int64_t j = 0; j < width; j++) {
        centre[j] = (float)mean[j % channels];
        sum[j] = square[j] = 0;
    }
}

INLINE void moments_of_block(const void *from, int64_t count, int64_t channels, const uint8_t *inside,
                             double *statistics, int is_float) {
    int64_t most = together(channels), width = most * channels, added[2] = {0, 0}, begun[2] = {0, 0};
    float centre[2][width], sum[2][width], square[2][width];
    memset(statistics, 0, 6 * channels * sizeof *statistics);
    memset(sum, 0, sizeof sum);
    memset(square, 0, sizeof square);
    for (int64_t start = 0, length; start < count; start += length) {
        int64_t region = inside && inside[start] ? 0 : 1;
        length = run(inside, start, count);
        for (int64_t j = 0; j < width && !begun[region]; j++)
            centre[region][j] = load(from, start * channels + j % channels, is_float);
        begun[region] = 1;
        for (int64_t i = start; i < start + length; i += most) {
            int64_t few = MIN(most, start + length - i);
            add_up(at(from, i * channels, is_float), few * channels, centre[region], sum[region], square[region],
                   is_float);
            added[region] += few;
            if (added[region] >= BLOCK * most) {
                merge(statistics + region * 3 * channels, added[region], channels, width, centre[region], sum[region],
                      square[region]);
                added[region] = 0;
            }
        }
    }
    for (int region = 0; region < 2; region++) {
        double *found = statistics + region * 3 * channels;
        merge(found, added[region], channels, width, centre[region], sum[region], square[region]);
        for (int64_t c = 0; c < channels && found[c]; c++)
            found[2 * channels + c] /= found[c];
    }
}

/* Take count, mean and variance of each channel in foreground and background, (2,3,channels) float64. */
EVERY_PROCESSOR void hdnet_moments(const void *from, int64_t count, int64_t channels, const uint8_t *inside,
                                   double *statistics, int is_float) {
    if (is_float)
        moments_of_block(from, count, channels, inside, statistics, 1);
    else
        moments_of_block(from, count, channels, inside, statistics, 0);
}

/* Put one block's positions over the other's in the foreground. */
void hdnet_choose(const char *fore, char *back, int64_t count, int64_t size, const uint8_t *inside) {
    for (int64_t start = 0, length; start < count; start += length) {
        length = run(inside, start, count);
        if (inside[start])
            memcpy(back + start * size, fore + start * size, length * size);
    }
}

/* Set what is below 0 to 0, in place. */
EVERY_PROCESSOR void hdnet_rectify(void *block, int64_t values, int is_float) {
    if (is_float)
        for (int64_t i = 0; i < values; i++)
            ((float *)block)[i] = ((float *)block)[i] < 0 ? 0 : ((float *)block)[i];
    else /* a set sign bit makes an integer negative */
        for (int64_t i = 0; i < values; i++)
            ((int16_t *)block)[i] = ((int16_t *)block)[i] < 0 ? 0 : ((int16_t *)block)[i];
}

/* Add up each channel. */
INLINE void total_of_block(const void *from, int64_t count, int64_t channels, double *totals, int is_float) {
    int64_t most = together(channels), width = most * channels;
    float sum[width];
    memset(totals, 0, channels * sizeof *totals);
    for (int64_t start = 0; start < count; start += BLOCK * most) {
        memset(sum, 0, sizeof sum);
        int64_t end = MIN(start + BLOCK * most, count);
        for (int64_t i = start; i < end; i += most)
            for (int64_t j = 0, few = MIN(most, end - i) * channels; j < few; j++)
                sum[j] += load(from, i * channels + j, is_float);
        for (int64_t j = 0; j < width; j++)
            totals[j % channels] += sum[j];
    }
}

EVERY_PROCESSOR void hdnet_total(const void *from, int64_t count, int64_t channels, double *totals, int is_float) {
    if (is_float)
        total_of_block(from, count, channels, totals, 1);
    else
        total_of_block(from, count, channels, totals, 0);
}
