/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/http/quirks.h"

#include <stdatomic.h>
#include <strings.h>

/* One server: how it is recognised, and what is different. NULL: not by this. */
static const struct {
    const char *name;     /* of the software or provider */
    const char *host;     /* end of the host's name */
    const char *port;     /* ":11434" on this machine */
    const char *software; /* part of the header Server */
    const char *owner;    /* owned_by in the list of models; "=": the model's own id, made at time 0 */
    uint32_t quirks;
} rows[] = {
    /* max_tokens is deprecated, "not compatible with o-series models"; store, strict: openai-python, types/chat/completion_create_params.py */
    {"OpenAI", "api.openai.com", NULL, NULL, NULL, AIOS__QUIRK_COMPLETION_TOKENS | AIOS__QUIRK_STORE | AIOS__QUIRK_STRICT_TOOLS},
    {"Azure OpenAI", ".openai.azure.com", NULL, NULL, NULL, AIOS__QUIRK_STRICT_TOOLS},
    /* owned_by, samplers: vllm/entrypoints/openai/protocol.py; "reasoning" since 0.11 (vllm#27755) is learnt from the stream */
    {"vLLM", NULL, NULL, NULL, "vllm", AIOS__QUIRK_TOP_K | AIOS__QUIRK_REPETITION},
    /* owned_by, samplers: sglang/srt/entrypoints/openai/protocol.py */
    {"SGLang", NULL, NULL, NULL, "sglang", AIOS__QUIRK_TOP_K | AIOS__QUIRK_REPETITION},
    /* Server: llama.cpp, owned_by, repeat_penalty: tools/server/README.md; an object as tool_choice is read as "auto": llama.cpp#26535 */
    {"llama-server", NULL, NULL, "llama.cpp", "llamacpp", AIOS__QUIRK_TOP_K | AIOS__QUIRK_REPEAT | AIOS__QUIRK_ONLY_NAMED | AIOS__QUIRK_ONE_TOP},
    /* top_k, repeat_penalty: lmstudio.ai/docs/developer/openai-compat/chat-completions; "Supported string values: none, auto, required" */
    {"LM Studio", NULL, ":1234", NULL, "organization_owner", AIOS__QUIRK_TOP_K | AIOS__QUIRK_REPEAT | AIOS__QUIRK_ONLY_NAMED},
    /* tool_choice is dropped, "none" too: ollama#8421, ollama#17921; options such as top_k are not read under /v1: docs/openai.md */
    {"Ollama", NULL, ":11434", NULL, "library", AIOS__QUIRK_ONLY_NAMED | AIOS__QUIRK_NO_CHOICE},
    /* "missing field `value`" for OpenAI's form: text-generation-inference#1966, #3276. Of its router/src (3.3): owned_by is model_id (server.rs);
     * the tag "json_object" has its schema as "value" in every version, presence_penalty is read as repetition_penalty - 2, "Grammar and tools are
     * mutually exclusive", top_k, min_p and repetition_penalty are no members of a chat request (lib.rs) */
    {"TGI", ".endpoints.huggingface.cloud", NULL, NULL, "=", AIOS__QUIRK_FORMAT_VALUE | AIOS__QUIRK_NO_PRESENCE | AIOS__QUIRK_TOOLS_ALONE},
    /* The public address takes OpenAI's own parameters. For a schema NVIDIA's langchain-nvidia-ai-endpoints 1.5.0 (chat_models.py) asks by response_format
     * first, since recent NIMs read it, then by guided_json, which older ones have in nvext: docs.nvidia.com/nim/large-language-models/1.5.0/
     * structured-generation.html. NIM 2 is vLLM (2.0.9/reference/api-reference), and known by its list as such */
    {"NIM", "integrate.api.nvidia.com", NULL, NULL, NULL, AIOS__QUIRK_NVEXT},
};

static void add(aios__server *s, uint32_t quirks)
{
    atomic_fetch_or(&s->quirks, quirks);
}

static bool ends_with(const char *s, const char *tail)
{
    size_t n = strlen(s), k = strlen(tail);
    return n >= k && !strcmp(s + n - k, tail);
}

void aios__quirks_of_host(aios__server *s)
{
    const char *authority = strstr(s->base_url, "://");
    authority = authority ? authority + 3 : s->base_url;
    const char *end = authority + strcspn(authority, "/?#"), *port = end;
    while (port > authority && *port != ':')
        port--;
    for (size_t i = 0; i < AIOS__ARRAY_LEN(rows); i++) {
        bool here = rows[i].port && (size_t)(end - port) == strlen(rows[i].port) && !strncmp(port, rows[i].port, (size_t)(end - port));
        if ((rows[i].host && ends_with(s->host, rows[i].host)) || here)
            add(s, rows[i].quirks);
    }
}

void aios__quirks_of_software(aios__server *s, const char *header, size_t n)
{
    for (size_t i = 0; i < AIOS__ARRAY_LEN(rows); i++) {
        size_t k = rows[i].software ? strlen(rows[i].software) : 0;
        if (k && n >= k && !strncasecmp(header, rows[i].software, k))
            add(s, rows[i].quirks);
    }
}

void aios__quirks_of_list(aios__server *s, const aios__json *list)
{
    const aios__json *first = aios__json_at(aios__json_get(list, "data"), 0);
    const char *owner = aios__str_of(first, "owned_by");
    bool itself = *owner && !strcmp(owner, aios__str_of(first, "id")) && !aios__json_int(aios__json_get(first, "created"), -1);
    for (size_t i = 0; i < AIOS__ARRAY_LEN(rows); i++)
        if (rows[i].owner && !strcmp(itself ? "=" : owner, rows[i].owner))
            add(s, rows[i].quirks);
}
