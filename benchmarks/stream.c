/* The four kernels of STREAM and a read, to measure beside `stackproof profile`.
 *
 * Written after the definition in J. D. McCalpin, "Memory Bandwidth and Machine Balance in Current High Performance Computers",
 * IEEE TCCA Newsletter, December 1995; not a copy of stream.c, and its results are no published STREAM results.
 * Differences that do not change what is timed: the size and the number of rounds are arguments, the factor is 0.4 so that values stay bounded.
 *
 *   gcc -O3 -march=native -fopenmp stream.c -o stream && OMP_NUM_THREADS=2 ./stream ELEMENTS ROUNDS
 *
 * Prints one line a kernel: name, best GB/s, median GB/s. Exit status 1 when an array does not hold its golden value.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <omp.h>

#define KERNELS 5
static const char *names[KERNELS] = {"copy", "scale", "add", "triad", "read"};
static const int arrays_moved[KERNELS] = {2, 2, 3, 3, 1};
static const double factor = 0.4;

static int ascending(const void *left, const void *right) {
    double difference = *(const double *)left - *(const double *)right;
    return (difference > 0) - (difference < 0);
}

int main(int count, char **arguments) {
    if (count != 3) {
        fprintf(stderr, "usage: stream ELEMENTS ROUNDS\n");
        return 2;
    }
    long n = atol(arguments[1]);
    int rounds = atoi(arguments[2]);
    double *a = aligned_alloc(64, n * sizeof *a), *b = aligned_alloc(64, n * sizeof *b), *c = aligned_alloc(64, n * sizeof *c);
    double *times = malloc(sizeof *times * KERNELS * rounds);
    if (!a || !b || !c || !times || rounds < 2) {
        fprintf(stderr, "stream: no memory, or fewer than 2 rounds\n");
        return 2;
    }
#pragma omp parallel for
    for (long i = 0; i < n; i++) {
        a[i] = 0.1;
        b[i] = 0.2;
        c[i] = 0.0;
    }
    double ga = 0.1, gb = 0.2, gc = 0.0, total = 0.0;
    for (int round = 0; round < rounds; round++) {
        for (int kernel = 0; kernel < KERNELS; kernel++) {
            double begin = omp_get_wtime();
            switch (kernel) {
            case 0:
#pragma omp parallel for
                for (long i = 0; i < n; i++) c[i] = a[i];
                break;
            case 1:
#pragma omp parallel for
                for (long i = 0; i < n; i++) b[i] = factor * c[i];
                break;
            case 2:
#pragma omp parallel for
                for (long i = 0; i < n; i++) c[i] = a[i] + b[i];
                break;
            case 3:
#pragma omp parallel for
                for (long i = 0; i < n; i++) a[i] = b[i] + factor * c[i];
                break;
            default:
                total = 0.0;
#pragma omp parallel for simd reduction(+ : total)
                for (long i = 0; i < n; i++) total += a[i];
            }
            times[kernel * rounds + round] = omp_get_wtime() - begin;
        }
        gc = ga;
        gb = factor * gc;
        gc = ga + gb;
        ga = gb + factor * gc;
    }
    for (long i = 0; i < n; i++) {
        if (fabs(a[i] - ga) > 1e-12 * fabs(ga) || fabs(b[i] - gb) > 1e-12 * fabs(gb) || fabs(c[i] - gc) > 1e-12 * fabs(gc)) {
            fprintf(stderr, "stream: element %ld is wrong\n", i);
            return 1;
        }
    }
    if (fabs(total - ga * n) > 1e-9 * fabs(ga * n)) {
        fprintf(stderr, "stream: the sum is wrong\n");
        return 1;
    }
    for (int kernel = 0; kernel < KERNELS; kernel++) {
        double *own = times + kernel * rounds + 1; /* the first round warms up */
        double bytes = (double)arrays_moved[kernel] * n * sizeof *a;
        qsort(own, rounds - 1, sizeof *own, ascending);
        printf("%s %.3f %.3f\n", names[kernel], bytes / own[0] / 1e9, bytes / own[(rounds - 1) / 2] / 1e9);
    }
    return 0;
}
