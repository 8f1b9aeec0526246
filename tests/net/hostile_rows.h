/* SPDX-License-Identifier: Apache-2.0 */
/* How the tables write what is sent. ' stands for ". */
#ifndef AIOS_TEST_HOSTILE_ROWS_H
#define AIOS_TEST_HOSTILE_ROWS_H

#include "hostile.h"

#define HEAD(s) .head = {s, sizeof(s) - 1}
#define LOOP(s, k) .loop = {s, sizeof(s) - 1}, .times = (k)
#define TAIL(s) .tail = {s, sizeof(s) - 1}

#define OK_LINE "HTTP/1.1 200 OK\r\n"
#define OK_SSE OK_LINE "Content-Type: text/event-stream\r\nConnection: close\r\n\r\n"
#define OK_JSON OK_LINE "Content-Type: application/json\r\nConnection: close\r\n\r\n"
#define OK_CHUNKED OK_LINE "Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"

/** Events of a chat completion. */
#define EV(json) "data: " json "\n\n"
#define DELTA(json) EV("{'choices':[{'index':0,'delta':" json "}]}")
#define T(text) DELTA("{'content':'" text "'}")
#define STOP_FOR(why) EV("{'choices':[{'index':0,'delta':{},'finish_reason':'" why "'}]}")
#define STOP STOP_FOR("stop")
#define DONE "data: [DONE]\n\n"
#define HELLO T("Hel") T("lo") STOP DONE
/** The same as chunks, without the last. */
#define C_HEL "3b\r\n" T("Hel") "\r\n"
#define C_LO "3a\r\n" T("lo") "\r\n"
#define C_STOP "43\r\n" STOP "\r\n"
#define C_DONE "e\r\n" DONE "\r\n"
#define C_HELLO C_HEL C_LO C_STOP C_DONE
/** A reply that is not streamed. */
#define WHOLE(text) "{'choices':[{'index':0,'message':{'role':'assistant','content':'" text "'},'finish_reason':'stop'}]}"

#define KIB(x) ((uint64_t)(x) << 10)
#define MIB(x) ((uint64_t)(x) << 20)
#define GIB(x) ((uint64_t)(x) << 30)

#endif
