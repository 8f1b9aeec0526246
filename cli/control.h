/* SPDX-License-Identifier: Apache-2.0 */
/* What both ends of the control socket share: one request a line, one answer a line, both JSON objects. docs/command.md */
#ifndef AIOS_CLI_CONTROL_H
#define AIOS_CLI_CONTROL_H

#include <sys/un.h>

#include "cli.h"

enum {
    CONTROL_CLIENTS = 8,               /**< served at once; of more the one that has been idle longest goes */
    CONTROL_LINE = 4096,               /**< bytes of a request */
    CONTROL_ANSWER = 16 << 20,         /**< of an answer */
    CONTROL_REQUESTS = 64,             /**< of one connection */
    CONTROL_RATE = 200,                /**< requests a second, of all */
    CONTROL_IDLE_MS = 2000,            /**< without a whole request, or without reading the answer */
    CONTROL_WORK_MS = 200,             /**< that one answer may take of the run's time, about */
    CONTROL_SHARE_MS = 250,            /**< of a second, that all answers may take */
    CONTROL_WAIT_S = 90                /**< that a client waits: a decision waits until a tool of the run is over */
};

/** The socket of a store. ENOTSUP: it is in no file; ENOENT: nor is it there; EDENIED: the folder is not the user's alone. */
int control_path(const char *uri, struct sockaddr_un *out, aios_error *err);
/** True if the other end is this user. */
bool control_peer(int fd, long *pid);
/** Removes a socket that nobody listens at. */
void control_sweep(const struct sockaddr_un *at);

/** What a request is answered from. */
typedef struct control_scene {
    aios_ctx *ctx;
    aios_store *store;
    aios_run *run;      /**< the live one */
    cli_asks *asks;
    bool inside;        /**< the run is in aios_run_next: it can be told nothing but to stop */
    const aios_commit_hook *hook; /**< makes rows of an audit; NULL: this process keeps none */
} control_scene;
/** The answer to a line; NULL: not now, ask again when the run is not inside. */
json_t *control_answer(const control_scene *s, const char *line, size_t n);

#endif
