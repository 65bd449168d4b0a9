/* The passes over memory between HDNet's convolutions, each fused into one. Plain C: compilers vectorise the loops.

   A block is `count` positions of `channels` values each. Values are float, or bfloat16 in uint16_t. Where a pass tells
   two regions apart, `inside` has one byte for each position, 1 in the foreground and 0 in the background; NULL stands
   for background alone. Rows of a mask have long runs of either, and the work on a run has no branches. */

#include <math.h>

#include "hdnet_kernels.h"

#define WIDE 256 /* Positions of few channels are taken together until they have so many values. */
#define BLOCK 64 /* So many rows of WIDE values are summed in float before float64 takes them over. */

/* What Python expects. It changes whenever a function or a structure does, and pyproject.toml's version with it. */
const int32_t hdnet_interface = 3;
/* Blocks of keys are of a multiple of so many, and scratch memory is for so many channels or more. */
const int32_t hdnet_lanes = LANES, hdnet_wide = WIDE;

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
                       const uint8_t *inside, const float *affine[4], float slope, int from_float, int to_float,
                       float *scratch) {
    int64_t most = together(channels), width = most * channels;
    float *wide[4], *made = scratch + 4 * width;
    for (int64_t i = 0; i < 4; i++) {
        wide[i] = scratch + i * width;
        for (int64_t j = 0; j < width; j += channels)
            memcpy(wide[i] + j, affine[i], channels * sizeof(float));
    }
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
   y = x * scale + shift, and y * slope where that is below 0. Scales and shifts are for one position. Scratch memory,
   here and below, is for so many times `channels` values, or WIDE if that is more: 5 here. */
EVERY_PROCESSOR void hdnet_read(const void *from, void *to, int64_t count, int64_t channels, int64_t stride,
                                const uint8_t *inside, const float *fore_scale, const float *fore_shift,
                                const float *back_scale, const float *back_shift, float slope, int from_float,
                                int to_float, float *restrict scratch) {
    const float *affine[4] = {fore_scale, fore_shift, back_scale, back_shift};
    if (from_float && to_float)
        read_block(from, to, count, channels, stride, inside, affine, slope, 1, 1, scratch);
    else if (to_float)
        read_block(from, to, count, channels, stride, inside, affine, slope, 0, 1, scratch);
    else if (from_float)
        read_block(from, to, count, channels, stride, inside, affine, slope, 1, 0, scratch);
    else
        read_block(from, to, count, channels, stride, inside, affine, slope, 0, 0, scratch);
}

INLINE void add_up(const void *from, int64_t values, const float *restrict centre, float *restrict sum,
                   float *restrict square, int is_float) {
    for (int64_t i = 0; i < values; i++) {
        float off = load(from, i, is_float) - centre[i];
        sum[i] += off;
        square[i] += off * off;
    }
}

/* Merge count, mean and squared deviation of a part into those of a channel. */
INLINE void add_part(double *count, double *mean, double *deviation, double part, double part_mean,
                     double part_deviation) {
    double gap = part_mean - *mean, both = *count + part;
    if (both == 0)
        return;
    *deviation += part_deviation + gap * gap * *count * part / both;
    *mean += gap * part / both;
    *count = both;
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
        double step = total / block;
        add_part(count + c, mean + c, deviation + c, block, centre[c] + step, squares - total * step);
    }
    for (int64_t j = 0; j < width; j++) {
        centre[j] = (float)mean[j % channels];
        sum[j] = square[j] = 0;
    }
}

INLINE void moments_of_block(const void *from, int64_t count, int64_t channels, const uint8_t *inside,
                             double *statistics, int is_float, float *scratch) {
    int64_t most = together(channels), width = most * channels, added[2] = {0, 0}, begun[2] = {0, 0};
    float *centre[2] = {scratch, scratch + width}, *sum[2] = {scratch + 2 * width, scratch + 3 * width};
    float *square[2] = {scratch + 4 * width, scratch + 5 * width};
    memset(statistics, 0, 6 * channels * sizeof *statistics);
    memset(scratch, 0, 6 * width * sizeof *scratch);
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
    for (int region = 0; region < 2; region++)
        merge(statistics + region * 3 * channels, added[region], channels, width, centre[region], sum[region],
              square[region]);
}

/* Take count, mean and squared deviation of each channel in foreground and background, (2,3,channels) float64;
   scratch memory for 6. */
EVERY_PROCESSOR void hdnet_moments(const void *from, int64_t count, int64_t channels, const uint8_t *inside,
                                   double *statistics, int is_float, float *restrict scratch) {
    if (is_float)
        moments_of_block(from, count, channels, inside, statistics, 1, scratch);
    else
        moments_of_block(from, count, channels, inside, statistics, 0, scratch);
}

/* Merge the statistics of a map's strips, (strips,regions,3,channels), into those of the map, (3,regions,channels). */
void hdnet_merge(const double *strips, int64_t count, int64_t regions, int64_t channels, double *map) {
    int64_t step = regions * channels;
    memset(map, 0, 3 * step * sizeof *map);
    for (int64_t i = 0; i < count * regions; i++)
        for (int64_t c = 0; c < channels; c++) {
            const double *part = strips + i * 3 * channels + c;
            double *whole = map + i % regions * channels + c;
            add_part(whole, whole + step, whole + 2 * step, part[0], part[channels], part[2 * channels]);
        }
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

INLINE void total_of_block(const void *from, int64_t count, int64_t channels, double *totals, int is_float,
                           float *sum) {
    int64_t most = together(channels), width = most * channels;
    memset(totals, 0, channels * sizeof *totals);
    for (int64_t start = 0; start < count; start += BLOCK * most) {
        memset(sum, 0, width * sizeof *sum);
        int64_t end = MIN(start + BLOCK * most, count);
        for (int64_t i = start; i < end; i += most)
            for (int64_t j = 0, few = MIN(most, end - i) * channels; j < few; j++)
                sum[j] += load(from, i * channels + j, is_float);
        for (int64_t j = 0; j < width; j++)
            totals[j % channels] += sum[j];
    }
}

/* Add up each channel; scratch memory for 1. */
EVERY_PROCESSOR void hdnet_total(const void *from, int64_t count, int64_t channels, double *totals, int is_float,
                                 float *restrict scratch) {
    if (is_float)
        total_of_block(from, count, channels, totals, 1, scratch);
    else
        total_of_block(from, count, channels, totals, 0, scratch);
}

/* What the search for the most similar keys is told; search.py of the network explains it. */
typedef struct {
    int64_t channels, dimensions, blocks, size, k, seeds;
    const float *queries, *places, *lengths; /* (F,channels), (F,dimensions), (F) */
    const float *keys, *handicap;            /* (blocks,channels,size), (blocks,size); size is a multiple of LANES */
    const float *low, *high;                 /* (blocks,dimensions) */
    const int64_t *rows;                     /* (blocks,size) */
    float reach, slack;
} Search;

#define QUERIES 6 /* So many products of queries and lanes stay in registers, whatever the processor. */

/* Return the squared distance between two boxes. */
INLINE float gap(const float *low, const float *high, const float *from, const float *to, int64_t dimensions) {
    float sum = 0;
    for (int64_t d = 0; d < dimensions; d++) {
        float below = low[d] - to[d], above = from[d] - high[d], apart = below > above ? below : above;
        sum += apart > 0 ? apart * apart : 0;
    }
    return sum;
}

/* Put a row among the k with the largest values, the largest first, if it is one of them. */
INLINE void insert(float *best, int64_t *index, int64_t k, float value, int64_t row) {
    if (!(value > best[k - 1]))
        return;
    int64_t i = k - 1;
    for (; i > 0 && best[i - 1] < value; i--) {
        best[i] = best[i - 1];
        index[i] = index[i - 1];
    }
    best[i] = value;
    index[i] = row;
}

/* What is known of some queries. */
typedef struct {
    const int64_t *rows; /* which queries they are */
    int64_t count;
    float *bounds;  /* (count), the largest squared distance at which a key could still be among the best */
    float *best;    /* (count,k), the largest products so far */
    int64_t *index; /* (count,k), their keys */
} Queries;

/* Take the products of one query with a few keys. */
INLINE void offer(const Search *s, const Lanes *products, const int64_t *rows, float *best, int64_t *index) {
    float values[LANES], worst = best[s->k - 1];
    memcpy(values, products, sizeof values);
    int better = 0;
    for (int64_t l = 0; l < LANES; l++)
        better |= values[l] > worst;
    for (int64_t l = 0; l < LANES && better; l++)
        insert(best, index, s->k, values[l], rows[l]);
}

/* Compare a few of the queries with all keys of a block. */
INLINE void compare(const Search *s, int64_t block, Queries *queries, const int64_t *few, int64_t count) {
    const float *query[QUERIES];
    for (int64_t q = 0; q < QUERIES; q++)
        query[q] = s->queries + queries->rows[few[MIN(q, count - 1)]] * s->channels;
    for (int64_t j = 0; j < s->size; j += LANES) {
        const float *keys = s->keys + block * s->channels * s->size + j;
        Lanes sum[QUERIES];
        for (int64_t q = 0; q < QUERIES; q++)
            sum[q] = *(const Lanes *)(s->handicap + block * s->size + j);
        for (int64_t c = 0; c < s->channels; c++)
            for (int64_t q = 0; q < QUERIES; q++)
                sum[q] += query[q][c] * *(const Lanes *)(keys + c * s->size);
        for (int64_t q = 0; q < count; q++)
            offer(s, &sum[q], s->rows + block * s->size + j, queries->best + few[q] * s->k,
                  queries->index + few[q] * s->k);
    }
    for (int64_t q = 0; q < count; q++)
        queries->bounds[few[q]] = s->lengths[queries->rows[few[q]]] + s->reach + s->slack -
                                  2 * queries->best[few[q] * s->k + s->k - 1];
}

/* Compare a block's keys with those queries for which it may hold something better. */
INLINE void visit(const Search *s, int64_t block, Queries *queries) {
    int64_t few[QUERIES], count = 0, dimensions = s->dimensions;
    for (int64_t q = 0; q < queries->count; q++) {
        const float *place = s->places + queries->rows[q] * dimensions;
        if (gap(s->low + block * dimensions, s->high + block * dimensions, place, place, dimensions) <=
            queries->bounds[q])
            few[count++] = q;
        if (count == QUERIES || (count && q == queries->count - 1)) {
            compare(s, block, queries, few, count);
            count = 0;
        }
    }
}

INLINE float widest(const Queries *queries) {
    float bound = -INFINITY;
    for (int64_t q = 0; q < queries->count; q++)
        bound = queries->bounds[q] > bound ? queries->bounds[q] : bound;
    return bound;
}

/* Find the k keys with the largest products for each of some queries; best and index are (count,k). Scratch memory is
   for count + blocks + 2 dimensions + seeds values, and `seeds` for as many places. */
EVERY_PROCESSOR void hdnet_search(const Search *s, const int64_t *rows, int64_t count, float *best, int64_t *index,
                                  float *scratch, int64_t *seeds) {
    int64_t dimensions = s->dimensions;
    float *gaps = scratch + count, *low = gaps + s->blocks, *high = low + dimensions, *nearest = high + dimensions;
    Queries queries = {.rows = rows, .count = count, .bounds = scratch, .best = best, .index = index};
    memset(index, 0, count * s->k * sizeof *index);
    for (int64_t i = 0; i < count * s->k; i++)
        best[i] = -INFINITY;
    for (int64_t q = 0; q < count; q++) {
        queries.bounds[q] = INFINITY;
        for (int64_t d = 0; d < dimensions; d++) {
            float place = s->places[rows[q] * dimensions + d];
            low[d] = q && low[d] < place ? low[d] : place;
            high[d] = q && high[d] > place ? high[d] : place;
        }
    }
    for (int64_t i = 0; i < s->seeds; i++) {
        nearest[i] = -INFINITY;
        seeds[i] = -1; /* where distances are NaN, it stays */
    }
    for (int64_t i = 0; i < s->blocks; i++) {
        gaps[i] = gap(s->low + i * dimensions, s->high + i * dimensions, low, high, dimensions);
        insert(nearest, seeds, s->seeds, -gaps[i], i);
    }
    for (int64_t i = 0; i < s->seeds && seeds[i] >= 0; i++) {
        visit(s, seeds[i], &queries);
        gaps[seeds[i]] = INFINITY;
    }
    float farthest = widest(&queries);
    for (int64_t i = 0; i < s->blocks; i++)
        if (gaps[i] <= farthest && gaps[i] < INFINITY) {
            visit(s, i, &queries);
            farthest = widest(&queries);
        }
}
