/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file remote.h
 * Models behind HTTP: how they are reached, by what right, and within which limits. URIs: "openai:MODEL", "openai-responses:MODEL",
 * "anthropic:MODEL", "ollama:MODEL", "gemini:MODEL" at their usual addresses; "https://HOST/v1#MODEL" for any server that speaks OpenAI's
 * chat completions; "DIALECT+https://HOST/PATH#MODEL" for another dialect elsewhere. http:// is for this machine only, unless allowed.
 */
#ifndef AIOS_REMOTE_H
#define AIOS_REMOTE_H

#include <aios/ctx.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    AIOS_REMOTE_PLAIN_HTTP = 1, /**< http:// also beyond this machine: whoever is between reads and writes all */
    AIOS_REMOTE_KEEP = 2        /**< the provider may store the conversation, where its dialect leaves the choice to us (default: asked not to) */
};
#define AIOS_NO_RETRIES UINT32_MAX /**< max_retries: the first failure is the end */

/**
 * Writes the key for `origin` ("https://api.openai.com") to out, at most n bytes with the NUL; "" for none. Asked before each attempt, on
 * the thread that drives. A negative code fails the turn with it. `out` is wiped after use.
 */
typedef int aios_credential_fn(void *user, const char *origin, char *out, size_t n);

/**
 * aios_model_config.remote; everything is copied by aios_model_open, and zero is the default. Keys, headers and a proxy's password appear in
 * no error, log, event or transcript; our copies are wiped when the model goes. They are sent to the model's own origin only.
 */
typedef struct aios_remote_config {
    size_t struct_size;
    const char *base_url;           /**< in place of the dialect's own, as "https://HOST/v1"; of ollama also as OLLAMA_HOST: "HOST:PORT";
                                         NULL: as the URI says */
    const char *api_key;            /**< NULL: `credential`, or none */
    aios_credential_fn *credential; /**< asked if api_key is NULL; may be NULL */
    void *credential_user;
    const char *const *headers;     /**< more headers, "Name: value", NULL-terminated; as secret as keys; or NULL */
    const char *proxy;              /**< URL of a proxy; NULL: none, whatever the environment says. One beyond this machine is
                                         not used for servers on it */
    const char *ca_file;            /**< certificates to trust, PEM; NULL: the system's */
    uint32_t flags;                 /**< AIOS_REMOTE_x */
    uint32_t max_retries;           /**< attempts after the first, of a turn that failed for want of rate, server or network; 0: 2 */
    int64_t connect_ns;             /**< until connected; 0: 10 s */
    int64_t first_byte_ns;          /**< from the start of an attempt until the first byte of the answer; 0: 120 s */
    int64_t idle_ns;                /**< between two bytes of it; 0: 60 s */
    int64_t total_ns;               /**< of an attempt of a turn; of a list, count or embedding with its repetitions; 0: 10 min */
    uint64_t max_body;              /**< bytes of an answer; 0: 64 MiB */
    uint32_t requests_per_min;      /**< turns and embeddings sent at most by all users of the model, evenly spaced: others
                                         wait; counts and lists are not held back; 0: no limit of ours */
    uint32_t tokens_per_min;        /**< likewise tokens: of prompts by estimate before, of prompts and replies by the server's count after */
} aios_remote_config;

/**
 * Fills unset fields from the standard variables of the URI's dialect: OPENAI_API_KEY and OPENAI_BASE_URL, ANTHROPIC_API_KEY and
 * ANTHROPIC_BASE_URL, GOOGLE_API_KEY or else GEMINI_API_KEY and GOOGLE_GEMINI_BASE_URL, OLLAMA_API_KEY and OLLAMA_HOST. A URI that names another host than the dialect's own
 * gets no key from them. The strings point into the environment. EINVAL.
 */
AIOS_API int aios_remote_config_from_env(const char *uri, aios_remote_config *cfg, aios_error *err);

#ifdef __cplusplus
}
#endif
#endif
