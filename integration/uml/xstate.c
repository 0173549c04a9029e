/*
 * Loaded before a User-mode Linux kernel of the disk lab, so that it boots on a processor with a larger register state
 * than it knows of.
 *
 * UML 6.1 gives the registers of its processes back with PTRACE_SETREGSET and the 2696 bytes that it has room for: all
 * there is up to AVX-512 and PKRU. The kernel below demands the exact size of its own (EFAULT, and UML's init dies). On
 * a processor with AMX that is 2816. What lies beyond is in its initial state for every process here: nobody asked
 * for the right to use AMX.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* XSAVE's header, and in it the components that are not in their initial state. */
#define HEADER 512
/* x87, SSE, AVX, AVX-512 and PKRU: what fits into UML's room. */
#define KNOWN ((uint64_t)0x2e7)
/* With AMX's tiles, which nobody has here, it would be 11008. */
#define MOST 16384

static long ask(long request, long pid, long address, void *data)
{
    return syscall(SYS_ptrace, request, pid, address, data);
}

/* UML's kernel is one thread, and is not preempted in here: one buffer is enough. Its stacks are small. */
static unsigned char whole[MOST] __attribute__((aligned(64)));

/* The size that the kernel below demands: what it gives where there is room for more. */
static size_t demanded(long pid)
{
    static size_t size;
    struct iovec room = { whole, sizeof whole };
    if (size == 0 && ask(PTRACE_GETREGSET, pid, NT_X86_XSTATE, &room) == 0)
        size = room.iov_len;
    return size;
}

static long set_xstate(long pid, const struct iovec *given)
{
    size_t size = demanded(pid);
    if (given->iov_len < HEADER + sizeof(uint64_t) || size <= given->iov_len || size > MOST)
        return ask(PTRACE_SETREGSET, pid, NT_X86_XSTATE, (void *)given);
    uint64_t components;
    memcpy(whole, given->iov_base, given->iov_len);
    memset(whole + given->iov_len, 0, size - given->iov_len);
    memcpy(&components, whole + HEADER, sizeof components);
    components &= KNOWN;
    memcpy(whole + HEADER, &components, sizeof components);
    struct iovec padded = { whole, size };
    return ask(PTRACE_SETREGSET, pid, NT_X86_XSTATE, &padded);
}

/* As the C library's, but for the one request. */
long ptrace(enum __ptrace_request request, ...)
{
    va_list more;
    va_start(more, request);
    long pid = va_arg(more, long);
    long address = va_arg(more, long);
    void *data = va_arg(more, void *);
    va_end(more);
    if (request == PTRACE_SETREGSET && address == NT_X86_XSTATE)
        return set_xstate(pid, data);
    if (request != PTRACE_PEEKTEXT && request != PTRACE_PEEKDATA && request != PTRACE_PEEKUSER)
        return ask(request, pid, address, data);
    long word;
    long outcome = ask(request, pid, address, &word);
    if (outcome < 0)
        return outcome;
    errno = 0;
    return word;
}
