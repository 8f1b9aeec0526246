/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A model as a plugin: build it as a shared module, load it with aios_plugin_load(ctx, "./shout.so", &err), and "shout:" opens
 * like any other model, for sessions and agents alike.
 *
 * Its "model" says what the user said in capitals, a word a step. A token is a word.
 */
#include <aios/plugin/backend.h>
#include <aios/plugin/plugin.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N_CTX 4096u /* words */

typedef struct shout {
    char *words; /* of the turn */
    size_t at;
    uint32_t n_input, n_output, most;
} shout;

/* Fails as the library does: a code, and a message that says what to do. */
static int fail(aios_error *err, int code, const char *msg)
{
    if (err) {
        err->code = code;
        snprintf(err->msg, sizeof err->msg, "shout: %s", msg);
    }
    return code;
}

static int shout_open(void *user, const aios_backend_open_args *args, void **model, aios_error *err)
{
    static char nothing; /* all there is to know about this model is its code */
    (void)user, (void)args, (void)err;
    *model = &nothing;
    return AIOS_OK;
}

static void shout_close(void *model)
{
    (void)model;
}

static int shout_info(void *model, aios_model_info *out)
{
    (void)model;
    out->name = "shout";
    out->n_ctx = N_CTX;
    out->privacy = AIOS_PRIVACY_LOCAL;
    out->flags = AIOS_MODEL_HAS_TEMPLATE;
    return AIOS_OK;
}

static int shout_session_new(void *model, const aios_session_config *cfg, void **session, aios_error *err)
{
    (void)model, (void)cfg;
    *session = calloc(1, sizeof(shout));
    return *session ? AIOS_OK : fail(err, AIOS_ENOMEM, "no memory for a session");
}

static void shout_session_free(void *session)
{
    free(((shout *)session)->words);
    free(session);
}

static uint32_t count_words(const char *s)
{
    uint32_t n = 0;
    for (s += strspn(s, " \n"); *s; s += strspn(s, " \n")) {
        s += strcspn(s, " \n");
        n++;
    }
    return n;
}

/* Checks, prepares, and computes nothing long. */
static int shout_start(void *session, const aios_request *req, aios_error *err)
{
    shout *s = session;
    aios_entry e = AIOS_INIT(aios_entry);
    if (req->raw || aios_transcript_at(req->transcript, aios_transcript_count(req->transcript) - 1, &e) || e.parts[0].kind != AIOS_PART_TEXT)
        return fail(err, AIOS_ENOTSUP, "it answers text of a conversation only");
    char *words = strndup(e.parts[0].text, e.parts[0].n_text);
    if (!words)
        return fail(err, AIOS_ENOMEM, "no memory for the prompt");
    uint32_t n = count_words(words);
    if (n > N_CTX) {
        free(words);
        if (err) {
            err->have = N_CTX;
            err->need = n;
        }
        return fail(err, AIOS_ECONTEXT, "the prompt has more words than the context holds");
    }
    free(s->words);
    *s = (shout){.words = words, .n_input = n ? n : 1, .most = req->max_tokens ? req->max_tokens : N_CTX};
    return AIOS_OK;
}

static int end(shout *s, const aios_sink *sink, const char *reason)
{
    aios_usage u = AIOS_INIT(aios_usage);
    u.input = s->n_input;
    u.output = s->n_output;
    int rc = sink->usage(sink->user, &u);
    rc = rc ? rc : sink->stop(sink->user, reason);
    return rc ? rc : AIOS_DONE;
}

/* One word: a bounded piece of work, so that a turn can be cancelled between two. */
static int shout_step(void *session, const aios_sink *sink, aios_error *err)
{
    shout *s = session;
    char *p = s->words + s->at;
    size_t n = strspn(p, " \n");
    n += strcspn(p + n, " \n");
    (void)err;
    if (!n)
        return end(s, sink, "stop");
    if (s->n_output == s->most)
        return end(s, sink, "length");
    for (size_t i = 0; i < n; i++)
        p[i] = (char)toupper((unsigned char)p[i]);
    s->at += n;
    s->n_output++;
    int rc = sink->text(sink->user, p, n);
    return rc ? rc : AIOS_AGAIN;
}

static int init(aios_ctx *ctx, aios_error *err)
{
    aios_backend_ops ops = AIOS_INIT(aios_backend_ops);
    ops.name = "shout";
    ops.open = shout_open;
    ops.close = shout_close;
    ops.info = shout_info;
    ops.session_new = shout_session_new;
    ops.session_free = shout_session_free;
    ops.start = shout_start;
    ops.step = shout_step;
    return aios_backend_register(ctx, &ops, NULL, err);
}

AIOS_API extern const aios_plugin aios_plugin_entry;
const aios_plugin aios_plugin_entry = {.struct_size = sizeof(aios_plugin), .abi = AIOS_PLUGIN_ABI, .name = "shout", .init = init};
