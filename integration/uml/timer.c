/*
 * Loaded before a User-mode Linux kernel of the disk lab, so that its time does not stand still.
 *
 * UML 6.1 has one timer, which it arms for its next event each time. Where the signal comes while an earlier one is
 * still being handled, and the handler lets signals in once more (arch/um/os-Linux/signal.c: unblock_signals takes it
 * off the pending ones and calls nobody), it is lost: the kernel waits for an event that is over, and nothing in it that
 * waits for time goes on. Below a machine that has more to do than it can, each takeover is long enough for that.
 *
 * So the timer asks again a second after it was not heard. A signal too many does nothing.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000LL

static int (*next_settime)(timer_t, int, const struct itimerspec *, struct itimerspec *);
static int (*next_gettime)(timer_t, struct itimerspec *);
/* When it fires, or did, in nanoseconds; 0: it is not armed. UML's kernel is one thread with one timer. */
static int64_t fires;

__attribute__((constructor)) static void find(void)
{
    next_settime = dlsym(RTLD_NEXT, "timer_settime");
    next_gettime = dlsym(RTLD_NEXT, "timer_gettime");
}

static int64_t nanoseconds(const struct timespec *time)
{
    return (int64_t)time->tv_sec * SECOND + time->tv_nsec;
}

static int64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return nanoseconds(&time);
}

/* Into the machine's boot.log. Its stacks are too small for printf. */
static void say_late(int64_t late)
{
    char said[] = "lab: its timer was not heard for        ms\n";
    char *digit = strrchr(said, 'm') - 2;
    for (int64_t left = late / 1000000; left > 0 && *digit == ' '; left /= 10)
        *digit-- = (char)('0' + left % 10);
    (void)!write(STDERR_FILENO, said, sizeof said - 1);
}

/* As the C library's, but that one which fires once fires again until it is set anew. */
int timer_settime(timer_t timer, int flags, const struct itimerspec *given, struct itimerspec *before)
{
    struct itimerspec again = *given;
    int64_t time = now();
    if (fires != 0 && time - fires >= SECOND)
        say_late(time - fires);
    fires = 0;
    if (flags == 0 && nanoseconds(&given->it_value) != 0) {
        fires = time + nanoseconds(&given->it_value);
        if (nanoseconds(&given->it_interval) == 0)
            again.it_interval.tv_sec = 1;
    }
    return next_settime(timer, flags, &again, before);
}

/* One that has fired is no timer that will: UML sleeps only where one does. */
int timer_gettime(timer_t timer, struct itimerspec *left)
{
    int outcome = next_gettime(timer, left);
    if (outcome == 0 && fires != 0 && now() >= fires)
        memset(left, 0, sizeof *left);
    return outcome;
}
