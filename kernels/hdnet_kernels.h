/* What the library's sources share. */

#include <stdint.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

/* One library serves all x86-64 processors: the loader chooses the version. It needs glibc's help, and a compiler that
   knows these names: GCC 12 or Clang 18. */
#if defined(__clang__)
#define KNOWS_LEVELS (__clang_major__ >= 18)
#else
#define KNOWS_LEVELS (__GNUC__ >= 12)
#endif
#if defined(__x86_64__) && defined(__GLIBC__) && KNOWS_LEVELS
#define EVERY_PROCESSOR __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define EVERY_PROCESSOR
#endif

/* Vectors of any processor: the compiler makes two or four of one where they are shorter. */
typedef float Lanes __attribute__((vector_size(64), aligned(4)));
#define LANES 16

/* Return how many positions from `start` on are in the same region. */
INLINE int64_t run(const uint8_t *inside, int64_t start, int64_t count) {
    if (!inside)
        return count - start;
    const uint8_t *end = memchr(inside + start, !inside[start], count - start);
    return end ? end - (inside + start) : count - start;
}
