/* SPDX-License-Identifier: Apache-2.0 */
/* What a connection and HTTP/1.1 framing can do to a client. */
#include "hostile_rows.h"

/* A KiB of headers in lines of 64 bytes. */
#define H64 "X-Aaaaaaaaaaaaaaa: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\r\n"
#define A16 "aaaaaaaaaaaaaaaa"
#define A64 A16 A16 A16 A16
#define A1K A64 A64 A64 A64 A64 A64 A64 A64 A64 A64 A64 A64 A64 A64 A64 A64

/* Deflate, fixed codes: each loop is 2064 zero bytes; and Brotli: 16 MiB of them. */
#define GZIP_HEAD "\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\x63\x60"
#define GZIP_LOOP "\x18\x05\xa3\x60\x14\x8c\x82\x51\x30\x0a\x46\xc1\x28"
#define BROTLI "\x9f\xff\xff\xff\xf8\x27\x00\xe2\xb1\x40\x20\xf7\xfe\x1f"

#define T_OUT AIOS_ETIMEDOUT
#define PROTO AIOS_EPROTO
#define LIMIT AIOS_ELIMIT

const hostile_row hostile_http[] = {
    /* ---- connecting and silence ---- */
    {.name = "plain", HEAD(OK_SSE HELLO), .text = "Hello"},
    {.name = "connect-black-hole", .flags = HOSTILE_HOLE, .by = BY_CONNECT, .transfer = T_OUT, .turn = T_OUT},
    {.name = "nobody-listens", .flags = HOSTILE_CLOSED, .transfer = AIOS_EUNAVAIL, .turn = AIOS_EUNAVAIL},
    {.name = "hangup", .transfer = PROTO, .turn = PROTO},
    {.name = "hangup-at-once", .flags = HOSTILE_EAGER, .end = HOSTILE_RESET, .transfer = HOSTILE_ANY, .turn = HOSTILE_ANY},
    {.name = "silence", .end = HOSTILE_HOLD, .by = BY_FIRST_BYTE, .transfer = T_OUT, .turn = T_OUT},
    {.name = "silence-without-reading", .flags = HOSTILE_DEAF, .end = HOSTILE_HOLD, .by = BY_FIRST_BYTE, .transfer = T_OUT, .turn = T_OUT},
    {.name = "silence-in-status-line", HEAD("HTTP/1.1 20"), .end = HOSTILE_HOLD, .by = BY_FIRST_BYTE, .transfer = T_OUT, .turn = T_OUT},
    {.name = "silence-in-headers", HEAD(OK_LINE "Content-Ty"), .end = HOSTILE_HOLD, .by = BY_IDLE, .transfer = T_OUT, .turn = T_OUT},
    {.name = "silence-after-headers", HEAD(OK_SSE), .end = HOSTILE_HOLD, .by = BY_IDLE, .transfer = T_OUT, .turn = T_OUT, .text = ""},
    {.name = "silence-in-stream", HEAD(OK_SSE T("Hel") T("l")), .end = HOSTILE_HOLD, .by = BY_IDLE, .transfer = T_OUT, .turn = T_OUT, .text =
     "Hell"},
    {.name = "silence-in-event", HEAD(OK_SSE T("Hel") "data: {'cho"), .end = HOSTILE_HOLD, .by = BY_IDLE, .transfer = T_OUT, .turn = T_OUT,
     .text = "Hel"},
    {.name = "silence-before-last-chunk", HEAD(OK_CHUNKED C_HELLO), .end = HOSTILE_HOLD, .by = BY_IDLE, .transfer = T_OUT, .text = "Hello"},
    {.name = "silence-after-interim", HEAD("HTTP/1.1 100 Continue\r\n\r\n"), .end = HOSTILE_HOLD, .by = BY_IDLE, .transfer = T_OUT, .turn =
     T_OUT},
    {.name = "slowloris-1-byte-a-second", HEAD(OK_SSE HELLO), .piece = 1, .pace_ms = 1000, .end = HOSTILE_HOLD, .by = BY_FIRST_BYTE,
     .transfer = T_OUT, .turn = T_OUT},
    {.name = "slow-headers", HEAD(OK_LINE), LOOP("X: y\r\n", HOSTILE_FOREVER), .piece = 6, .pace_ms = 50, .by = BY_TOTAL, .transfer = T_OUT,
     .turn = T_OUT},
    {.name = "slow-body", HEAD(OK_SSE T("Hel")), LOOP("d", HOSTILE_FOREVER), .piece = 1, .pace_ms = 50, .at_once = sizeof(OK_SSE T("Hel")) - 1,
     .by = BY_TOTAL, .transfer = T_OUT, .turn = T_OUT, .text = "Hel"},
    {.name = "slow-comments", HEAD(OK_SSE T("Hel")), LOOP(":\n\n", HOSTILE_FOREVER), .piece = 3, .pace_ms = 50,
     .at_once = sizeof(OK_SSE T("Hel")) - 1, .by = BY_TOTAL, .transfer = T_OUT, .turn = T_OUT, .text = "Hel"},
    {.name = "slow-trailers", HEAD(OK_CHUNKED C_HEL "0\r\n"), LOOP("X: y\r\n", HOSTILE_FOREVER), .piece = 6, .pace_ms = 50,
     .at_once = sizeof(OK_CHUNKED C_HEL "0\r\n") - 1, .by = BY_TOTAL, .transfer = T_OUT, .turn = T_OUT, .text = "Hel"},
    {.name = "slow-interim", LOOP("HTTP/1.1 102 Processing\r\n\r\n", HOSTILE_FOREVER), .piece = 27, .pace_ms = 50, .by = BY_TOTAL,
     .transfer = T_OUT, .turn = T_OUT},
    {.name = "tls-silence", .flags = HOSTILE_TLS, .end = HOSTILE_HOLD, .by = BY_CONNECT, .transfer = T_OUT, .turn = T_OUT},
    {.name = "tls-plain-text", HEAD(OK_SSE HELLO), .flags = HOSTILE_TLS, .transfer = PROTO, .turn = PROTO},
    {.name = "tls-alert", HEAD("\x15\x03\x01\x00\x02\x02\x28"), .flags = HOSTILE_TLS | HOSTILE_RAW, .transfer = PROTO, .turn = PROTO},
    {.name = "tls-hangup", .flags = HOSTILE_TLS, .transfer = PROTO, .turn = PROTO},
    {.name = "tls-answer-to-plain-request", HEAD("\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03"), .flags = HOSTILE_RAW, .transfer = PROTO,
     .turn = PROTO},
    {.name = "one-byte-at-a-time", HEAD(OK_CHUNKED C_HELLO "0\r\n\r\n"), .piece = 1, .text = "Hello"},
    {.name = "three-bytes-at-a-time", HEAD(OK_SSE T("\xf0\x9f\x98\x80\xc3\xa4") STOP DONE), .piece = 3, .text = "\xf0\x9f\x98\x80\xc3\xa4"},
    {.name = "answers-before-the-request", HEAD(OK_SSE HELLO), .flags = HOSTILE_EAGER, .text = "Hello"},
    {.name = "reset-in-headers", HEAD(OK_LINE "Content-"), .end = HOSTILE_RESET, .transfer = PROTO, .turn = PROTO},
    {.name = "reset-after-headers", HEAD(OK_SSE), .end = HOSTILE_RESET, .transfer = PROTO, .turn = PROTO, .text = ""},
    {.name = "reset-in-stream", HEAD(OK_SSE T("Hel")), .end = HOSTILE_RESET, .transfer = PROTO, .turn = PROTO, .text = "Hel"},
    {.name = "close-in-stream", HEAD(OK_SSE T("Hel")), .turn = PROTO, .text = "Hel"},

    /* ---- sizes ---- */
    {.name = "header-of-1-GiB", HEAD(OK_LINE "X: "), LOOP(A64, GIB(1) / 64), .transfer = LIMIT, .turn = LIMIT},
    {.name = "header-line-of-1-MiB", HEAD(OK_LINE "X: "), LOOP(A64, MIB(1) / 64), TAIL("\r\nConnection: close\r\n\r\n"
     HELLO), .transfer = LIMIT, .turn = LIMIT},
    {.name = "header-line-of-128-KiB", HEAD(OK_LINE "X: "), LOOP(A64, KIB(128) / 64),
     TAIL("\r\nConnection: close\r\n\r\n" HELLO), .transfer = LIMIT, .turn = LIMIT},
    {.name = "100000-headers", HEAD(OK_LINE), LOOP(H64, 100000), TAIL("\r\n" HELLO), .transfer = LIMIT, .turn = LIMIT},
    {.name = "endless-headers", HEAD(OK_LINE), LOOP(H64, HOSTILE_FOREVER), .transfer = LIMIT, .turn = LIMIT},
    {.name = "endless-status-line", HEAD("HTTP/1.1 200 "), LOOP(A64, HOSTILE_FOREVER), .transfer = LIMIT, .turn = LIMIT},
    {.name = "endless-folded-header", HEAD(OK_LINE "X: y\r\n"), LOOP(" z\r\n", HOSTILE_FOREVER), .transfer = LIMIT, .turn = LIMIT},
    {.name = "endless-interim", LOOP("HTTP/1.1 100 Continue\r\n\r\n", HOSTILE_FOREVER), .transfer = LIMIT, .turn = LIMIT},
    {.name = "endless-interim-with-headers", LOOP("HTTP/1.1 103 Early Hints\r\n" H64 "\r\n", HOSTILE_FOREVER), .transfer = LIMIT, .turn = LIMIT},
    {.name = "endless-trailers", HEAD(OK_CHUNKED C_HEL "0\r\n"), LOOP(H64, HOSTILE_FOREVER), .transfer = LIMIT, .turn = LIMIT, .text = "Hel"},
    {.name = "endless-body", HEAD(OK_SSE T("Hel")), LOOP(":" A64 "\n\n", HOSTILE_FOREVER), .transfer = LIMIT, .turn = LIMIT, .text = "Hel"},
    {.name = "endless-chunks", HEAD(OK_CHUNKED C_HEL), LOOP("43\r\n:" A64 "\n\n\r\n", HOSTILE_FOREVER), .transfer = LIMIT, .turn = LIMIT, .text
     = "Hel"},
    {.name = "endless-chunks-of-a-byte", HEAD(OK_CHUNKED C_HEL), LOOP("1\r\n\n\r\n", HOSTILE_FOREVER), .by = BY_TOTAL,
     .transfer = HOSTILE_ANY, .turn = HOSTILE_ANY, .text = "Hel"},
    {.name = "content-length-over-the-cap", HEAD(OK_LINE "Content-Length: 1099511627776\r\n\r\n"), LOOP(":" A64 "\n\n", HOSTILE_FOREVER),
     .transfer = LIMIT, .turn = LIMIT},
    {.name = "gzip-bomb", HEAD(OK_LINE "Content-Type: text/event-stream\r\nContent-Encoding: gzip\r\nConnection: close\r\n\r\n" GZIP_HEAD),
     LOOP(GZIP_LOOP, GIB(1) / 2064), .flags = HOSTILE_RAW, .turn = PROTO, .text = "", .says = "gzip"},
    {.name = "brotli-bomb", HEAD(OK_LINE "Content-Type: text/event-stream\r\nContent-Encoding: br\r\nConnection: close\r\n\r\n" BROTLI),
     .flags = HOSTILE_RAW, .turn = PROTO, .text = "", .says = "br"},
    {.name = "gzip-transfer-encoding", HEAD(OK_LINE "Transfer-Encoding: gzip, chunked\r\n\r\n" GZIP_HEAD), LOOP(GZIP_LOOP, 5000), .flags =
     HOSTILE_RAW,
     .transfer = PROTO, .turn = PROTO, .text = ""},

    /* ---- chunks ---- */
    {.name = "chunk-size-negative", HEAD(OK_CHUNKED C_HEL "-5\r\nhello\r\n0\r\n\r\n"), .transfer = PROTO, .turn = PROTO, .text = "Hel"},
    {.name = "chunk-size-of-17-digits", HEAD(OK_CHUNKED C_HEL "10000000000000005\r\nhello\r\n0\r\n\r\n"), .transfer = PROTO, .turn = PROTO,
     .text = "Hel"},
    {.name = "chunk-size-of-2^64-1", HEAD(OK_CHUNKED C_HEL "ffffffffffffffff\r\nhello\r\n0\r\n\r\n"), .transfer = PROTO, .turn = PROTO, .text =
     "Hel"},
    {.name = "chunk-size-of-2^63-1", HEAD(OK_CHUNKED C_HEL "7fffffffffffffff\r\nhello\r\n0\r\n\r\n"), .transfer = PROTO, .turn = PROTO, .text =
     "Hel"},
    {.name = "chunk-size-no-number", HEAD(OK_CHUNKED C_HEL "zz\r\nhello\r\n0\r\n\r\n"), .transfer = PROTO, .turn = PROTO, .text = "Hel"},
    {.name = "chunk-size-empty", HEAD(OK_CHUNKED C_HEL "\r\nhello\r\n0\r\n\r\n"), .transfer = PROTO, .turn = PROTO, .text = "Hel"},
    {.name = "chunk-size-0x", HEAD(OK_CHUNKED C_HEL "0x3a\r\n" T("lo") "\r\n" C_STOP C_DONE "0\r\n\r\n"), .turn = PROTO, .text = "Hel"},
    {.name = "chunk-with-zeros-in-front", HEAD(OK_CHUNKED C_HEL "000000000000003a\r\n" T("lo") "\r\n" C_STOP C_DONE "0\r\n\r\n"), .text =
     "Hello"},
    {.name = "chunk-without-line-end", HEAD(OK_CHUNKED "3b\r\n" T("Hel") "3a\r\n" T("lo") "\r\n0\r\n\r\n"), .transfer = PROTO, .turn = PROTO,
     .text = "Hel"},
    {.name = "chunk-lines-by-LF", HEAD(OK_CHUNKED "3b\n" T("Hel") "\n3a\n" T("lo") "\n43\n" STOP "\ne\n" DONE "\n0\n\n"), .text = "Hello"},
    {.name = "chunk-longer-than-said", HEAD(OK_CHUNKED "3a\r\n" T("Hel") "\r\n" C_STOP "0\r\n\r\n"), .transfer = PROTO, .turn = PROTO},
    {.name = "chunk-extensions", HEAD(OK_CHUNKED "3b;a=b;c='d'\r\n" T("Hel") "\r\n" C_LO C_STOP C_DONE "0;x\r\n\r\n"), .text = "Hello"},
    {.name = "chunk-extension-of-1-MiB", HEAD(OK_CHUNKED "3b;a="), LOOP(A64, MIB(1) / 64), TAIL("\r\n" T("Hel") "\r\n" C_LO C_STOP C_DONE
     "0\r\n\r\n"), .text = "Hello"},
    {.name = "chunk-extension-endless", HEAD(OK_CHUNKED C_HEL "3a;a="), LOOP(A64, HOSTILE_FOREVER), .by = BY_IDLE, .transfer = T_OUT, .turn =
     T_OUT, .text = "Hel"},
    {.name = "chunks-cut", HEAD(OK_CHUNKED C_HEL C_LO), .transfer = PROTO, .turn = PROTO, .text = "Hello"},
    {.name = "chunks-cut-inside", HEAD(OK_CHUNKED C_HEL "3a\r\ndata: {"), .transfer = PROTO, .turn = PROTO, .text = "Hel"},
    {.name = "chunks-cut-behind-the-end", HEAD(OK_CHUNKED C_HELLO), .transfer = PROTO, .text = "Hello"},
    {.name = "chunked-trailers", HEAD(OK_CHUNKED C_HELLO "0\r\nX-T: 1\r\nContent-Length: 3\r\nRetry-After: 1e12\r\n\r\n"), .text = "Hello"},

    /* ---- lengths ---- */
    {.name = "length-too-short", HEAD(OK_LINE "Content-Length: 70\r\n\r\n" HELLO), .turn = PROTO, .text = "Hel"},
    {.name = "length-too-long", HEAD(OK_LINE "Content-Length: 1000\r\n\r\n" T("Hel") T("lo")), .transfer = PROTO, .turn = PROTO, .text =
     "Hello"},
    {.name = "length-too-long-behind-the-end", HEAD(OK_LINE "Content-Length: 1000\r\n\r\n" HELLO), .transfer = PROTO, .text = "Hello"},
    {.name = "length-0", HEAD(OK_LINE "Content-Length: 0\r\n\r\n" HELLO), .turn = PROTO, .text = ""},
    {.name = "length-negative", HEAD(OK_LINE "Content-Length: -5\r\n\r\n" HELLO), .transfer = PROTO, .turn = PROTO, .text = ""},
    {.name = "length-no-number", HEAD(OK_LINE "Content-Length: many\r\n\r\n" HELLO), .transfer = PROTO, .turn = PROTO, .text = ""},
    {.name = "length-of-2^64", HEAD(OK_LINE "Content-Length: 18446744073709551616\r\n\r\n" HELLO), .text = "Hello"},
    {.name = "length-and-chunks", HEAD(OK_LINE "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" C_HELLO "0\r\n\r\n"), .text = "Hello"},
    {.name = "chunks-and-length", HEAD(OK_CHUNKED C_HELLO "0\r\n\r\n"), .text = "Hello"},
    {.name = "two-lengths", HEAD(OK_LINE "Content-Length: 59\r\nContent-Length: 117\r\n\r\n" HELLO), .transfer = HOSTILE_ANY, .turn = PROTO},
    {.name = "transfer-encoding-unknown", HEAD(OK_LINE "Transfer-Encoding: rot13\r\nConnection: close\r\n\r\n" HELLO), .transfer = HOSTILE_ANY,
     .turn = HOSTILE_ANY},
    {.name = "transfer-encoding-chunked-twice", HEAD(OK_LINE "Transfer-Encoding: chunked, chunked\r\n\r\n" C_HELLO "0\r\n\r\n"), .transfer =
     HOSTILE_ANY, .turn = HOSTILE_ANY},

    /* ---- more than was asked for ---- */
    {.name = "second-response", HEAD(OK_LINE "Content-Length: 198\r\n\r\n" HELLO OK_LINE "Content-Length: 5\r\n\r\nEVIL!"), .end =
     HOSTILE_KEEP, .then = "plain", .text = "Hello"},
    {.name = "second-response-late", HEAD(OK_LINE "Content-Length: 198\r\n\r\n" HELLO OK_LINE
     "Content-Length: 5\r\n\r\nEVIL!"), .pace_ms = 30,
     .at_once = sizeof(OK_LINE "Content-Length: 198\r\n\r\n" HELLO) - 1, .end = HOSTILE_KEEP, .then = "plain", .text = "Hello"},
    {.name = "kept-then-reset", HEAD(OK_LINE "Content-Length: 198\r\n\r\n" HELLO), .end = HOSTILE_RESET, .then = "plain", .text = "Hello"},
    {.name = "kept", HEAD(OK_LINE "Content-Length: 198\r\n\r\n" HELLO), .end = HOSTILE_KEEP, .text = "Hello"},
    {.name = "hold-open-behind-the-end", HEAD(OK_LINE "\r\n" HELLO), .end = HOSTILE_HOLD, .by = BY_IDLE, .transfer = T_OUT, .text = "Hello"},
    {0},
};
