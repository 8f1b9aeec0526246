/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server that misbehaves on purpose: one process, one thread, loopback only. What it does is a row of a table; what a client must make
 * of it stands in the same row. It ends when whoever started it does, or after its time.
 */
#ifndef AIOS_TEST_HOSTILE_H
#define AIOS_TEST_HOSTILE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <aios/base.h>

typedef struct hostile_bytes {
    const char *p;
    size_t n;
} hostile_bytes;

#define HOSTILE_FOREVER UINT64_MAX

/** What ends the client's wait, and by when; AT_ONCE: the server's bytes themselves do. */
enum { AT_ONCE, BY_CONNECT, BY_FIRST_BYTE, BY_IDLE, BY_TOTAL };

/** What becomes of the connection behind the last byte. */
enum {
    HOSTILE_CLOSE, /**< half of it at first, so that the client surely gets all */
    HOSTILE_HOLD,  /**< silence until the client goes */
    HOSTILE_RESET, /**< RST */
    HOSTILE_KEEP   /**< the next request, please */
};

enum {
    HOSTILE_EAGER = 1,  /**< speaks before it was asked */
    HOSTILE_DEAF = 2,   /**< never reads */
    HOSTILE_TLS = 4,    /**< to be asked by https:// */
    HOSTILE_HOLE = 8,   /**< nobody will ever accept */
    HOSTILE_CLOSED = 16, /**< nobody listens */
    HOSTILE_BIG = 64,   /**< memory is needed for what the reply holds */
    HOSTILE_ECHO = 256, /**< between head and tail stands what was asked, fit for a string of JSON */
    HOSTILE_RAW = 32    /**< ' stays ' (elsewhere it is sent as ") */
};

/** It may end well or by any code: only its bounds count, and that nothing is made up. */
#define HOSTILE_ANY 1000

/** One behaviour. */
typedef struct hostile_row {
    const char *name;
    hostile_bytes head, loop, tail; /**< head, `times` times loop, tail; "@@@@@" is the port that nobody must ever connect to,
                                         "########" the connection's number */
    uint64_t times;
    uint32_t piece, pace_ms; /**< at most `piece` bytes, then a pause; 0: as fast as it goes. The first pause is behind `at_once` bytes */
    uint32_t at_once;
    uint32_t end;            /**< HOSTILE_x */
    uint32_t flags;
    const char *then;        /**< name of the row that answers every request but the first; NULL: this one */
    uint32_t by;             /**< BY_x */
    int transfer;            /**< code of the bare transfer; 0: whole */
    int turn;                /**< code of a turn of a model; 0: whole */
    const char *text;        /**< of the turn's reply, also of one that fails; NULL: not looked at */
    const char *calls;       /**< of the turn, "name(arguments)" each; NULL: there must be none */
    const char *says;        /**< a word of the turn's failure; NULL: any */
} hostile_row;

/** The tables: of connections and HTTP, of statuses, and of event streams and chat completions; each ends with a row without a name. */
extern const hostile_row hostile_http[], hostile_status[], hostile_chat[];
/** Rows in order, NULL past the last. */
const hostile_row *hostile_at(uint32_t i);
/** NULL if there is none of that name. */
const hostile_row *hostile_find(const char *name);

#define HOSTILE_REQUEST 16384

/** What server and client both see. */
typedef struct hostile_shared {
    _Atomic uint32_t row;
    _Atomic uint32_t n_connections, n_requests, n_trapped; /**< since it was chosen; trapped: at the port nobody must connect to */
    _Atomic uint32_t serial;     /**< connections of all times */
    _Atomic uint64_t cut_seed;   /**< not 0: each connection is reset behind a random byte (or, one in four, is not) */
    _Atomic uint64_t mutate_seed; /**< not 0: each connection's bytes are changed at random places */
    char request[HOSTILE_REQUEST]; /**< the last one, ended by NUL */
} hostile_shared;

typedef struct hostile {
    pid_t pid;
    int life; /**< the server ends when this closes */
    uint16_t port, hole, trap, closed;
    hostile_shared *shared;
} hostile;

/** Starts the server, for at most so many seconds. Before any thread is made. 0, or -1. */
int hostile_start(hostile *h, unsigned seconds);
void hostile_stop(hostile *h);
/** From now on new connections get this row. */
void hostile_choose(hostile *h, const hostile_row *row);
/** "http://127.0.0.1:PORT" of a row. */
void hostile_url(const hostile *h, const hostile_row *row, char out[64]);
/** In this process until nobody reads fd any more; never returns. */
void hostile_serve(const hostile *h, int listener, int trap, int life, unsigned seconds);

/** A number that looks random (splitmix64). */
uint64_t hostile_mix(uint64_t x);
/** Changes 1 to 4 places of the *n bytes of s, which has room for max: bits, bytes, ranges, and what matters to HTTP, event streams and JSON. */
void hostile_mutate(char *s, size_t *n, size_t max, uint64_t seed);

#define HOSTILE_TOKENS 24
/** The whole reply of the row "numbered" to connection `serial`. */
void hostile_text(uint32_t serial, char *out, size_t n);

#endif
