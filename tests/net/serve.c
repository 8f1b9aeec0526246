/* SPDX-License-Identifier: Apache-2.0 */
/*
 * serve MODEL-URI [PORT]: a server of OpenAI's chat completions over any model of the library, for tests: loopback only, it prints its port and
 * ends when its standard input does. What it serves is exactly what the model says, so that both sides of the wire can be compared.
 */
#include <arpa/inet.h>
#include <jansson.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <aios/aios.h>

enum { MAX_TOOLS = 32, MAX_STOPS = 8 };

static aios_ctx *ctx;
static aios_model *model;

/* ---- the wire ----------------------------------------------------------------------------------------------------- */

static bool send_all(int fd, const char *p, size_t n)
{
    while (n) {
        ssize_t r = send(fd, p, n, MSG_NOSIGNAL);
        if (r <= 0)
            return false;
        p += r;
        n -= (size_t)r;
    }
    return true;
}

static bool send_chunk(int fd, const char *p, size_t n)
{
    char head[32];
    int k = snprintf(head, sizeof head, "%zx\r\n", n);
    return send_all(fd, head, (size_t)k) && send_all(fd, p, n) && send_all(fd, "\r\n", 2);
}

/* Takes the reference. */
static bool send_event(int fd, json_t *v)
{
    char *text = json_dumps(v, JSON_COMPACT), *line = NULL;
    int n = text ? asprintf(&line, "data: %s\n\n", text) : -1;
    bool ok = n > 0 && send_chunk(fd, line, (size_t)n);
    json_decref(v);
    free(text);
    free(line);
    return ok;
}

static void send_json(int fd, int status, json_t *v)
{
    char head[160], *text = json_dumps(v, JSON_COMPACT);
    int k = snprintf(head, sizeof head, "HTTP/1.1 %d x\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n", status, strlen(text));
    if (send_all(fd, head, (size_t)k))
        send_all(fd, text, strlen(text));
    json_decref(v);
    free(text);
}

static void send_error(int fd, const aios_error *err)
{
    const char *code = err->code == AIOS_ECONTEXT ? "context_length_exceeded" : aios_code_name(err->code);
    send_json(fd, 400, json_pack("{s:{s:s,s:s,s:s}}", "error", "message", err->msg, "type", "invalid_request_error", "code", code));
}

/* ---- a request -> a turn ------------------------------------------------------------------------------------------ */

typedef struct turn {
    aios_transcript *t;
    aios_tool_def tools[MAX_TOOLS];
    char *schemas[MAX_TOOLS];
    const char *stops[MAX_STOPS + 1];
    aios_sampling sampling;
    aios_request req;
    char *schema;
} turn;

static const char *str(const json_t *o, const char *key)
{
    return json_string_value(json_object_get(o, key));
}

static int add_message(turn *q, json_t *m, aios_error *err)
{
    const char *role = str(m, "role"), *content = str(m, "content");
    aios_part parts[MAX_TOOLS + 1];
    aios_entry e = AIOS_INIT(aios_entry);
    json_t *calls = json_object_get(m, "tool_calls"), *c;
    size_t i;
    e.role = !strcmp(role, "system") ? AIOS_ROLE_SYSTEM : !strcmp(role, "user") ? AIOS_ROLE_USER : !strcmp(role, "tool") ? AIOS_ROLE_TOOL : AIOS_ROLE_ASSISTANT;
    e.label.integrity = e.role == AIOS_ROLE_SYSTEM ? AIOS_LABEL_SYSTEM : AIOS_LABEL_USER;
    e.parts = parts;
    e.part_stride = sizeof *parts;
    if (content && (*content || !json_array_size(calls))) {
        parts[e.n_parts] = (aios_part)AIOS_INIT(aios_part);
        parts[e.n_parts].kind = e.role == AIOS_ROLE_TOOL ? AIOS_PART_RESULT : AIOS_PART_TEXT;
        parts[e.n_parts].text = content;
        parts[e.n_parts].n_text = AIOS_CSTR;
        parts[e.n_parts].call_id = str(m, "tool_call_id");
        parts[e.n_parts++].name = e.role == AIOS_ROLE_TOOL ? "tool" : NULL;
    }
    json_array_foreach(calls, i, c) {
        aios_part *p = &parts[e.n_parts++];
        *p = (aios_part)AIOS_INIT(aios_part);
        p->kind = AIOS_PART_CALL;
        p->call_id = str(c, "id");
        p->name = str(json_object_get(c, "function"), "name");
        p->text = str(json_object_get(c, "function"), "arguments");
        p->n_text = AIOS_CSTR;
    }
    return aios_transcript_add(q->t, &e, err);
}

/* The name of the tool that a result answers stands with the call. */
static void name_results(json_t *messages)
{
    json_t *m, *earlier, *c;
    size_t i, k, j;
    json_array_foreach(messages, i, m) {
        const char *id = str(m, "tool_call_id");
        json_array_foreach(messages, k, earlier)
            json_array_foreach(json_object_get(earlier, "tool_calls"), j, c)
                if (id && !strcmp(id, str(c, "id")))
                    json_object_set(m, "name", json_object_get(json_object_get(c, "function"), "name"));
    }
}

static void read_tools(turn *q, json_t *body)
{
    json_t *tools = json_object_get(body, "tools"), *t, *choice = json_object_get(body, "tool_choice");
    const char *word = json_string_value(choice);
    size_t i;
    json_array_foreach(tools, i, t) {
        json_t *f = json_object_get(t, "function");
        aios_tool_def *d = &q->tools[q->req.n_tools];
        *d = (aios_tool_def)AIOS_INIT(aios_tool_def);
        d->name = str(f, "name");
        d->description = str(f, "description");
        d->schema_json = q->schemas[q->req.n_tools++] = json_dumps(json_object_get(f, "parameters"), JSON_COMPACT);
    }
    q->req.tools = q->tools;
    q->req.tool_stride = sizeof *q->tools;
    q->req.tool_name = str(json_object_get(choice, "function"), "name");
    q->req.tool_choice = q->req.tool_name                   ? AIOS_TOOLS_NAMED
                         : word && !strcmp(word, "required") ? AIOS_TOOLS_REQUIRED
                         : word && !strcmp(word, "none")     ? AIOS_TOOLS_NONE
                                                             : AIOS_TOOLS_AUTO;
    q->req.flags |= json_is_false(json_object_get(body, "parallel_tool_calls")) ? AIOS_REQUEST_ONE_CALL : 0;
}

static int read_turn(turn *q, json_t *body, aios_error *err)
{
    json_t *messages = json_object_get(body, "messages"), *m, *s;
    size_t i;
    q->req = (aios_request)AIOS_INIT(aios_request);
    q->sampling = (aios_sampling)AIOS_INIT(aios_sampling);
    int rc = aios_transcript_new(ctx, &q->t, err);
    name_results(messages);
    json_array_foreach(messages, i, m)
        rc = rc ? rc : add_message(q, m, err);
    read_tools(q, body);
    q->sampling.temperature = (float)json_number_value(json_object_get(body, "temperature"));
    q->sampling.seed = (uint64_t)json_integer_value(json_object_get(body, "seed"));
    json_array_foreach(json_object_get(body, "stop"), i, s)
        q->stops[i % MAX_STOPS] = json_string_value(s);
    q->schema = json_dumps(json_object_get(json_object_get(json_object_get(body, "response_format"), "json_schema"), "schema"), JSON_COMPACT);
    q->req.transcript = q->t;
    q->req.sampling = &q->sampling;
    q->req.stop = q->stops;
    q->req.schema_json = q->schema;
    q->req.flags |= json_is_true(json_object_get(body, "logprobs")) ? AIOS_REQUEST_LOGPROBS : 0u;
    q->req.n_top = (uint32_t)json_integer_value(json_object_get(body, "top_logprobs"));
    q->req.max_tokens = (uint32_t)json_integer_value(json_object_get(body, "max_tokens"));
    return rc;
}

static void free_turn(turn *q)
{
    for (uint32_t i = 0; i < q->req.n_tools; i++)
        free(q->schemas[i]);
    free(q->schema);
    aios_transcript_free(q->t);
}

/* ---- a turn -> a stream ------------------------------------------------------------------------------------------- */

static json_t *chunk(json_t *delta, const char *finish)
{
    return json_pack("{s:s,s:s,s:[{s:i,s:o,s:s?}]}", "id", "c", "object", "chat.completion.chunk", "choices", "index", 0, "delta", delta, "finish_reason", finish);
}

/* The same tokens in OpenAI's words. */
static json_t *logprobs_chunk(const aios_event *ev)
{
    json_t *tokens = json_loadb(ev->text, ev->n_text, JSON_ALLOW_NUL, NULL), *t, *v = chunk(json_object(), NULL);
    size_t i;
    json_array_foreach(tokens, i, t) {
        json_object_set(t, "top_logprobs", json_object_get(t, "top"));
        json_object_del(t, "top");
    }
    json_object_set_new(json_array_get(json_object_get(v, "choices"), 0), "logprobs", json_pack("{s:o}", "content", tokens));
    return v;
}

static json_t *usage_chunk(const aios_usage *u)
{
    return json_pack("{s:[],s:{s:I,s:I,s:{s:I},s:{s:I}}}", "choices", "usage", "prompt_tokens", (json_int_t)u->input, "completion_tokens", (json_int_t)u->output,
                     "prompt_tokens_details", "cached_tokens", (json_int_t)u->cached, "completion_tokens_details", "reasoning_tokens", (json_int_t)u->reasoning);
}

static bool stream(int fd, aios_session *s)
{
    aios_usage usage = AIOS_INIT(aios_usage);
    const aios_event *ev;
    int n_calls = 0;
    bool ok = send_event(fd, chunk(json_pack("{s:s,s:s}", "role", "assistant", "content", ""), NULL));
    while (ok && !aios_session_next(s, -1, &ev)) {
        if (ev->type == AIOS_EVENT_TEXT)
            ok = send_event(fd, chunk(json_pack("{s:s%}", "content", ev->text, ev->n_text), NULL));
        else if (ev->type == AIOS_EVENT_REASONING)
            ok = send_event(fd, chunk(json_pack("{s:s%}", "reasoning_content", ev->text, ev->n_text), NULL));
        else if (ev->type == AIOS_EVENT_CALL)
            ok = send_event(fd, chunk(json_pack("{s:[{s:i,s:s,s:s,s:{s:s,s:s%}}]}", "tool_calls", "index", n_calls++, "id", ev->call_id, "type", "function",
                                                "function", "name", ev->name, "arguments", ev->text, ev->n_text), NULL));
        else if (ev->type == AIOS_EVENT_LOGPROBS)
            ok = send_event(fd, logprobs_chunk(ev));
        else if (ev->type == AIOS_EVENT_USAGE)
            usage = *ev->usage;
        else if (ev->type == AIOS_EVENT_ERROR)
            ok = send_event(fd, json_pack("{s:{s:s,s:s}}", "error", "message", ev->error->msg, "code", aios_code_name(ev->error->code)));
        else if (ev->type == AIOS_EVENT_DONE)
            ok = send_event(fd, chunk(json_object(), ev->name)) && send_event(fd, usage_chunk(&usage));
    }
    return ok && send_chunk(fd, "data: [DONE]\n\n", 14) && send_all(fd, "0\r\n\r\n", 5);
}

static const char stream_head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

static void complete(int fd, const char *text, size_t n)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_session *s = NULL;
    turn q = {0};
    json_t *body = json_loadb(text, n, 0, NULL);
    int rc = body ? read_turn(&q, body, &err) : AIOS_EFORMAT;
    rc = rc ? rc : aios_session_new(model, NULL, &s, &err);
    rc = rc ? rc : aios_session_start(s, &q.req, &err);
    if (rc)
        send_error(fd, &err);
    else if (send_all(fd, stream_head, sizeof stream_head - 1))
        stream(fd, s);
    aios_session_free(s);
    free_turn(&q);
    json_decref(body);
}

static void *answer(void *arg)
{
    int fd = (int)(intptr_t)arg;
    size_t n = 0, cap = (size_t)8 << 20;
    char *p = malloc(cap);
    for (ssize_t r; p && (r = recv(fd, p + n, cap - 1 - n, 0)) > 0;) {
        p[n += (size_t)r] = 0;
        const char *end = strstr(p, "\r\n\r\n"), *length = strcasestr(p, "content-length:");
        size_t body = end ? (size_t)(end + 4 - p) : 0, want = length && end && length < end ? strtoul(length + 15, NULL, 10) : 0;
        if (!end || n < body + want)
            continue;
        if (!strncmp(p, "POST /v1/chat/completions ", 26))
            complete(fd, p + body, want);
        else if (!strncmp(p, "GET /v1/models ", 15))
            send_json(fd, 200, json_pack("{s:[{s:s}]}", "data", "id", "m"));
        else
            send_json(fd, 404, json_pack("{s:{s:s}}", "error", "message", "no such path"));
        n = 0;
    }
    free(p);
    close(fd);
    return NULL;
}

int main(int argc, char **argv)
{
    aios_error err = AIOS_INIT(aios_error);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n_a = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (argc < 2 || argc > 3 || aios_ctx_new(NULL, &ctx, &err) || aios_model_open(ctx, argv[1], NULL, &model, &err)) {
        fprintf(stderr, "serve MODEL-URI [PORT]: %s\n", err.msg);
        return 1;
    }
    a.sin_port = htons(argc > 2 ? (uint16_t)atoi(argv[2]) : 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)) || bind(fd, (struct sockaddr *)&a, sizeof a) || listen(fd, 64) || getsockname(fd, (struct sockaddr *)&a, &n_a))
        return 1;
    printf("%d\n", ntohs(a.sin_port));
    fflush(stdout);
    struct pollfd p[2] = {{.fd = fd, .events = POLLIN}, {.fd = STDIN_FILENO, .events = POLLIN}};
    while (poll(p, 2, -1) > 0 && !p[1].revents) {
        pthread_t t;
        int peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
        if (peer >= 0 && !pthread_create(&t, NULL, answer, (void *)(intptr_t)peer))
            pthread_detach(t);
    }
    _exit(0); /* connections may still be open: there is nothing to lose */
}
