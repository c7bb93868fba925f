/* The thread pool, and which instruction set this processor has. Compiled once, for every processor.
 *
 * Threads are started when first wanted and wait, after a short spin, on a condition. A call opens a job; whoever is
 * awake takes the next task from a counter; when the tasks are out, the caller closes the job and waits for those that
 * joined only, so a thread that wakes late delays nobody. A call that finds the pool in use, from another thread or
 * from within a task, runs its tasks itself. A forked child begins with no threads. Threads are never joined: at exit
 * they sleep, and end with the process.
 */
#define _GNU_SOURCE
#include "common.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

#if defined(__x86_64__)
#include <immintrin.h>
#define PAUSE() _mm_pause()
#else
#define PAUSE() ((void)0)
#endif

#define API __attribute__((visibility("default")))
#define MOST_THREADS 1024
#define SPINS 300 /* some ten microseconds: longer would take the core from the threads of torch */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t opened = PTHREAD_COND_INITIALIZER;
static pthread_cond_t finished = PTHREAD_COND_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t scratch_key;
static atomic_int busy;
static atomic_ulong generation;
static int started, sleeping; /* the rest is guarded by `lock` */
static struct {
    int open, seats, joined, left;
    think_task run;
    const void *job;
    int64_t tasks;
} current;
static atomic_llong next_task;
static atomic_int worst;

static void after_fork(void)
{
    pthread_mutex_init(&lock, NULL);
    pthread_cond_init(&opened, NULL);
    pthread_cond_init(&finished, NULL);
    started = sleeping = 0;
    current.open = 0;
    atomic_store(&busy, 0);
}

static void prepare(void)
{
    pthread_key_create(&scratch_key, free);
    pthread_atfork(NULL, NULL, after_fork);
}

void *think_scratch(size_t bytes)
{
    static _Thread_local void *memory;
    static _Thread_local size_t size;
    if (bytes <= size)
        return memory;
    pthread_once(&once, prepare);
    free(memory);
    bytes = (bytes + 4095) / 4096 * 4096;
    memory = aligned_alloc(64, bytes);
    size = memory ? bytes : 0;
    pthread_setspecific(scratch_key, memory);
    return memory;
}

/* Numbers below 1e-38 count as zero while kernels run: they cost a hundred times as much and change nothing. */
static unsigned flush_tiny(void)
{
#if defined(__x86_64__)
    unsigned before = _mm_getcsr();
    _mm_setcsr(before | 0x8040);
    return before;
#else
    return 0;
#endif
}

static void restore(unsigned before)
{
#if defined(__x86_64__)
    _mm_setcsr(before);
#else
    (void)before;
#endif
}

static void take_tasks(think_task run, const void *job, int64_t tasks)
{
    for (int64_t task; (task = atomic_fetch_add(&next_task, 1)) < tasks;) {
        int result = run(job, task), before = atomic_load(&worst);
        while (result > before && !atomic_compare_exchange_weak(&worst, &before, result))
            ;
    }
}

static void *work(void *unused)
{
    (void)unused;
    flush_tiny();
    unsigned long seen = 0;
    for (;;) {
        for (int spin = 0; spin < SPINS && atomic_load(&generation) == seen; spin++)
            PAUSE();
        pthread_mutex_lock(&lock);
        while (atomic_load(&generation) == seen) {
            sleeping++;
            pthread_cond_wait(&opened, &lock);
            sleeping--;
        }
        seen = atomic_load(&generation);
        int joins = current.open && current.joined < current.seats;
        think_task run = current.run;
        const void *job = current.job;
        int64_t tasks = current.tasks;
        current.joined += joins;
        pthread_mutex_unlock(&lock);
        if (!joins)
            continue;
        take_tasks(run, job, tasks);
        pthread_mutex_lock(&lock);
        current.left++;
        if (!current.open && current.left == current.joined)
            pthread_cond_signal(&finished);
        pthread_mutex_unlock(&lock);
    }
    return NULL;
}

/* Under `lock`. Signals are for the threads of the caller's program. */
static void start_threads(int wanted)
{
    sigset_t every, before;
    sigfillset(&every);
    pthread_sigmask(SIG_SETMASK, &every, &before);
    pthread_attr_t detached;
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    pthread_t thread;
    while (started < wanted && pthread_create(&thread, &detached, work, NULL) == 0)
        started++;
    pthread_attr_destroy(&detached);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static int run_alone(think_task run, const void *job, int64_t tasks)
{
    int result = 0;
    for (int64_t task = 0; task < tasks; task++) {
        int found = run(job, task);
        result = found > result ? found : result;
    }
    return result;
}

int think_parallel(think_task run, const void *job, int64_t tasks, int64_t threads)
{
    int64_t helpers = (threads < tasks ? threads : tasks) - 1;
    helpers = helpers < MOST_THREADS ? helpers : MOST_THREADS;
    unsigned before = flush_tiny();
    int free_pool = 0;
    if (helpers < 1 || !atomic_compare_exchange_strong(&busy, &free_pool, 1)) {
        int result = run_alone(run, job, tasks);
        restore(before);
        return result;
    }
    pthread_once(&once, prepare);
    pthread_mutex_lock(&lock);
    start_threads((int)helpers);
    current.run = run, current.job = job, current.tasks = tasks;
    current.seats = (int)helpers, current.joined = current.left = 0, current.open = 1;
    atomic_store(&next_task, 0);
    atomic_store(&worst, 0);
    atomic_fetch_add(&generation, 1);
    if (sleeping)
        pthread_cond_broadcast(&opened);
    pthread_mutex_unlock(&lock);

    take_tasks(run, job, tasks);

    pthread_mutex_lock(&lock);
    current.open = 0;
    for (int spin = 0; spin < SPINS && current.left != current.joined; spin++) {
        pthread_mutex_unlock(&lock);
        PAUSE();
        pthread_mutex_lock(&lock);
    }
    while (current.left != current.joined)
        pthread_cond_wait(&finished, &lock);
    pthread_mutex_unlock(&lock);
    int result = atomic_load(&worst);
    atomic_store(&busy, 0);
    restore(before);
    return result;
}

/* The best of the instruction sets that kernels are compiled for: 0 baseline, 1 AVX2 with FMA, 2 AVX-512. */
API int think_level(void)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return 2;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return 1;
#endif
    return 0;
}
