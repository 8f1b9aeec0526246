/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file env.h
 * Everything nondeterministic that the library asks of the world, behind one table of functions. A host leaves it NULL;
 * tests and simulations replace single slots.
 */
#ifndef AIOS_ENV_H
#define AIOS_ENV_H

#include <aios/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A file opened through the environment; only its own slots look inside. */
typedef struct aios_file aios_file;
/** A child process started through the environment. */
typedef struct aios_child aios_child;

/**
 * How to start a child: no shell, a clean environment, pipes on the three standard streams, no other descriptor of the
 * host, default signal handlers, a process group of its own.
 */
typedef struct aios_spawn_args {
    size_t struct_size;
    const char *const *argv; /**< NULL-terminated; argv[0] is looked up in PATH */
    const char *const *envp; /**< NULL-terminated "K=V", NULL: PATH, HOME, LANG, TMPDIR only */
    const char *cwd;         /**< NULL: the host's */
} aios_spawn_args;

/** The three pipe ends of a child (host side, non-blocking, close-on-exec; the caller closes them) and its id. */
typedef struct aios_spawn_out {
    size_t struct_size;
    int32_t fd_in;  /**< write here to reach the child's standard input */
    int32_t fd_out; /**< its standard output */
    int32_t fd_err; /**< its standard error */
    int32_t pid;
} aios_spawn_out;

enum { AIOS_OPEN_READ = 0, AIOS_OPEN_WRITE = 1, AIOS_OPEN_CREATE = 2, AIOS_OPEN_TRUNC = 4, AIOS_OPEN_APPEND = 8, AIOS_OPEN_PRIVATE = 16 /**< one that is made is its owner's alone */ };

/**
 * Slots. NULL means the built-in one. File slots are replaced together (file_write, file_sync, file_rename, file_remove and
 * the pair of file_map and file_unmap may stay NULL: then there is no writing, no mapping), and so are the three slots of children. Every slot gets `user`. Thread-safety: each slot must be safe from any thread.
 * Those that return int give 0 or a negative code and set *sys to errno.
 */
typedef struct aios_env {
    size_t struct_size;
    void *user;
    /** Monotonic clock, nanoseconds. */
    int64_t (*mono_ns)(void *user);
    /** Wall clock, microseconds since 1970. */
    int64_t (*wall_us)(void *user);
    /** Fills p with n bytes of the system's randomness. */
    int (*random)(void *user, void *p, size_t n, int32_t *sys);
    /** new_size 0 frees and returns NULL; ptr NULL allocates; alignment 16. NULL: no memory. */
    void *(*realloc)(void *user, void *ptr, size_t old_size, size_t new_size);
    int (*file_open)(void *user, const char *path, uint32_t flags, aios_file **f, int32_t *sys);
    int (*file_size)(void *user, aios_file *f, uint64_t *n_bytes, int32_t *sys);
    /** Reads up to n bytes at `off`; *got 0 at the end of the file. */
    int (*file_read)(void *user, aios_file *f, uint64_t off, void *p, size_t n, size_t *got, int32_t *sys);
    int (*file_write)(void *user, aios_file *f, uint64_t off, const void *p, size_t n, int32_t *sys);
    int (*file_sync)(void *user, aios_file *f, int32_t *sys);
    /** Maps the whole file read-only; AIOS_ENOTSUP if it cannot. */
    int (*file_map)(void *user, aios_file *f, size_t n, void **p, int32_t *sys);
    void (*file_unmap)(void *user, void *p, size_t n);
    void (*file_close)(void *user, aios_file *f);
    /**
     * Asked before each connection is opened, of every redirect too; non-zero refuses it. It must not call the library. The built-in
     * one allows all. `host` is the name or address of the URL (IPv6 in brackets), behind a proxy that of the proxy. `address` is what is really
     * connected to, numeric, without zone or brackets and in the one form that inet_ntop writes, however the URL spells it (0x7f.1, 2130706433):
     * "127.0.0.1", "2001:db8::1"; IPv4 mapped into IPv6 (::ffff:127.0.0.1) comes as IPv4, NAT64 and 6to4 as the IPv6 that they are. A connection that
     * is used again was asked about when it was opened.
     */
    int (*net_check)(void *user, const char *host, const char *address, uint16_t port);
    /** ENOENT if argv[0] is not found, EINVAL, ENOMEM, EIO; ENOTSUP where the system lacks what it needs. */
    int (*spawn)(void *user, const aios_spawn_args *args, aios_spawn_out *out, aios_child **c, int32_t *sys);
    /** Waits up to timeout_ms (-1: for ever); AIOS_AGAIN if it still runs. *status as of waitpid; may be asked again. */
    int (*child_wait)(void *user, aios_child *c, int32_t timeout_ms, int32_t *status, int32_t *sys);
    /** Ends the child and its process group, then reaps it. Frees c. */
    void (*child_close)(void *user, aios_child *c);
    /** Puts a file in the place of another, or of none, at once and durably. Optional as file_write. */
    int (*file_rename)(void *user, const char *from, const char *to, int32_t *sys);
    int (*file_remove)(void *user, const char *path, int32_t *sys);
} aios_env;

#ifdef __cplusplus
}
#endif
#endif
