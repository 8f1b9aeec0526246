/* SPDX-License-Identifier: Apache-2.0 */
/* Special tokens: found in text before anything else is cut, and what each of them means. */
#include "backend/gguf/file_priv.h"
#include "backend/gguf/vocab_priv.h"

/* ---- finding them in text ------------------------------------------------------------------------------------- */

static int cmp_text(const void *u, uint32_t a, uint32_t b)
{
    const aios__vocab *v = u;
    const uint32_t *ids = v->special.ids + v->special.n; /* the unsorted copy */
    int d = aios__gstr_cmp(vocab_text(v, ids[a]), vocab_text(v, ids[b]));
    return d ? d : (a > b) - (a < b);
}

static bool is_special(const aios__vocab *v, uint32_t id)
{
    uint32_t t = v->types[id];
    size_t n = vocab_text(v, id).n;
    return (t == AIOS__TOKEN_CONTROL || t == AIOS__TOKEN_USER || t == AIOS__TOKEN_UNKNOWN) && n && n <= VOCAB_MAX_SPECIAL;
}

int aios__special_build(aios__vocab *v, aios_error *err)
{
    vocab_special *sp = &v->special;
    uint32_t n = 0;
    for (uint32_t id = 0; id < v->n; id++)
        n += is_special(v, id);
    sp->ids = aios__alloc_array(v->heap, AIOS_MEM_VOCAB, 2 * (size_t)n, sizeof *sp->ids, err);
    if (!sp->ids)
        return err->code;
    sp->n = n;
    for (uint32_t id = 0, i = 0; id < v->n; id++)
        if (is_special(v, id)) {
            sp->ids[i] = i;
            sp->ids[n + i++] = id;
        }
    aios__gguf_sort(sp->ids, n, cmp_text, v);
    for (uint32_t i = 0; i < n; i++) {
        sp->ids[i] = sp->ids[n + sp->ids[i]];
        aios__gstr t = vocab_text(v, sp->ids[i]);
        const uint8_t *p = (const uint8_t *)t.p;
        sp->first[p[0] + 1] = i + 1;
        if (t.n == 1)
            vocab_set_bit(sp->single, p[0]);
        else
            vocab_set_bit(sp->second, (uint32_t)p[0] << 8 | p[1]);
    }
    for (uint32_t b = 0; b < 256; b++)
        if (sp->first[b + 1] < sp->first[b])
            sp->first[b + 1] = sp->first[b];
    return AIOS_OK;
}

void aios__special_free(aios__vocab *v)
{
    aios__free(v->heap, v->special.ids);
}

/* First of sp->ids[lo .. hi) whose byte at `depth` is at least c; all have the same `depth` bytes before. */
static uint32_t lower_bound(const aios__vocab *v, uint32_t lo, uint32_t hi, size_t depth, uint32_t c)
{
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        aios__gstr t = vocab_text(v, v->special.ids[mid]);
        if (t.n <= depth || (uint8_t)t.p[depth] < c)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* The longest special token that begins s, or -1. */
static int32_t longest(const aios__vocab *v, const char *s, size_t n, bool control)
{
    const vocab_special *sp = &v->special;
    uint32_t lo = sp->first[(uint8_t)s[0]], hi = sp->first[(uint8_t)s[0] + 1];
    int32_t best = -1;
    for (size_t depth = 1; lo < hi; depth++) {
        /* those that end here sort before those that go on */
        for (; lo < hi && vocab_text(v, sp->ids[lo]).n == depth; lo++)
            if (control || v->types[sp->ids[lo]] == AIOS__TOKEN_USER)
                best = (int32_t)sp->ids[lo];
        if (depth == n)
            break;
        uint32_t c = (uint8_t)s[depth];
        lo = lower_bound(v, lo, hi, depth, c);
        hi = lower_bound(v, lo, hi, depth, c + 1);
    }
    return best;
}

bool aios__special_find(const aios__vocab *v, const char *s, size_t n, size_t from, bool control, size_t *at, int32_t *id)
{
    const vocab_special *sp = &v->special;
    if (!sp->n)
        return false;
    for (size_t i = from; i < n; i++) {
        uint32_t c = (uint8_t)s[i];
        if (sp->first[c] == sp->first[c + 1])
            continue;
        if (!vocab_bit(sp->single, c) && (i + 1 == n || !vocab_bit(sp->second, c << 8 | (uint8_t)s[i + 1])))
            continue;
        *id = longest(v, s + i, n - i, control);
        if (*id >= 0) {
            *at = i;
            return true;
        }
    }
    return false;
}

/* ---- what they mean ------------------------------------------------------------------------------------------- */

/* Names that mark a role where the file has no key for it; `ends`: the role ends a reply. */
static const struct {
    const char *key;
    bool ends;
    const char *names[12];
} roles[] = {
    {"tokenizer.ggml.eot_token_id", true,
     {"<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>", "<|end_of_text|>", "<EOT>", "_<EOT>", "[EOT]",
      "<\xef\xbd\x9c" "end\xe2\x96\x81of\xe2\x96\x81sentence\xef\xbd\x9c>", "<end_of_utterance>"}},
    {"tokenizer.ggml.eom_token_id", true, {"<|eom_id|>"}},
    {"tokenizer.ggml.fim_pad_token_id", true, {"<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"}},
    {"tokenizer.ggml.fim_rep_token_id", true, {"<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"}},
    {"tokenizer.ggml.fim_sep_token_id", true, {"<|file_sep|>"}},
    {"tokenizer.ggml.fim_pre_token_id", false,
     {"<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>", "<\xef\xbd\x9c" "fim\xe2\x96\x81" "begin\xef\xbd\x9c>", "<PRE>", "\xe2\x96\x81<PRE>",
      "<|code_prefix|>", "<|prefix|>"}},
    {"tokenizer.ggml.fim_suf_token_id", false,
     {"<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>", "<\xef\xbd\x9c" "fim\xe2\x96\x81hole\xef\xbd\x9c>", "<SUF>", "\xe2\x96\x81<SUF>",
      "<|code_suffix|>", "<|suffix|>"}},
    {"tokenizer.ggml.fim_mid_token_id", false,
     {"<|fim_middle|>", "<fim-middle>", "<fim_middle>", "<\xef\xbd\x9c" "fim\xe2\x96\x81" "end\xef\xbd\x9c>", "<MID>", "\xe2\x96\x81<MID>",
      "<|code_middle|>", "<|middle|>"}},
};

/* Names that end a reply whatever the keys say. */
static const char *const end_names[] = {
    "<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|flush|>", "<|calls|>", "<end_of_turn>", "<|endoftext|>",
    "</s>", "<|eom_id|>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]", "<|end_of_text|>", "<end_of_utterance>", "<eos>", "<turn|>",
    "<|tool_response>", "<\xef\xbd\x9c" "end\xe2\x96\x81of\xe2\x96\x81sentence\xef\xbd\x9c>", "[e~[",
};

static int32_t named(const aios__vocab *v, const char *name)
{
    return aios__vocab_find(v, name, strlen(name));
}

static void add_end(aios__vocab *v, int32_t id)
{
    if (id >= 0 && !aios__vocab_is_end(v, id) && v->n_ends < VOCAB_MAX_ENDS)
        v->ends[v->n_ends++] = id;
}

static void drop_end(aios__vocab *v, int32_t id, uint32_t type)
{
    for (uint32_t i = 0; i < v->n_ends; i++)
        if (v->ends[i] == id) {
            v->ends[i] = v->ends[--v->n_ends];
            v->types[id] = (uint8_t)type;
        }
}

/* The id of a key, `def` if the key is missing or out of range; -1: none. */
static int read_id(const aios__vocab *v, const char *key, int32_t def, int32_t *out, aios_error *err)
{
    uint32_t id = 0;
    *out = def >= 0 && (uint32_t)def < v->n ? def : -1;
    int rc = aios__gguf_u32(v->file, key, &id, err);
    if (rc == AIOS_ENOENT)
        return AIOS_OK;
    if (rc)
        return rc;
    if (id < v->n)
        *out = (int32_t)id;
    else
        aios__log(v->ctx, AIOS_LOG_WARN, "%s: key \"%s\" is %u, but there are %u tokens: ignored", aios__gguf_path(v->file), key, id, v->n);
    return AIOS_OK;
}

static int read_roles(aios__vocab *v, aios_error *err)
{
    for (size_t r = 0; r < AIOS__ARRAY_LEN(roles); r++) {
        int32_t id = -1;
        int rc = read_id(v, roles[r].key, -1, &id, err);
        if (rc)
            return rc;
        for (size_t i = 0; id < 0 && i < AIOS__ARRAY_LEN(roles[r].names) && roles[r].names[i]; i++) {
            id = named(v, roles[r].names[i]);
            if (id >= 0)
                v->types[id] = AIOS__TOKEN_CONTROL;
        }
        if (roles[r].ends)
            add_end(v, id);
    }
    return AIOS_OK;
}

/* Vocabularies in which a name from the lists above means something else. */
static void apply_exceptions(aios__vocab *v)
{
    static const char *const shown[] = {"<|channel|>", "<|message|>", "<|start|>", "<|constrain|>"};
    for (size_t i = 0; i < AIOS__ARRAY_LEN(shown); i++) {
        int32_t id = named(v, shown[i]);
        if (id >= 0)
            v->types[id] = AIOS__TOKEN_USER;
    }
    bool call = named(v, "<|call|>") >= 0, calls = named(v, "<|calls|>") >= 0;
    if ((call || calls) && (named(v, "<|return|>") >= 0 || named(v, "<|flush|>") >= 0))
        drop_end(v, named(v, "<|end|>"), AIOS__TOKEN_USER);
    if (named(v, "<|tool_response>") >= 0 || aios__vocab_is_end(v, named(v, "<|plamo:eos|>")))
        drop_end(v, named(v, "</s>"), AIOS__TOKEN_NORMAL);
}

static int read_flag(const aios__vocab *v, const char *key, bool *out, aios_error *err)
{
    int rc = aios__gguf_bool(v->file, key, out, err);
    return rc == AIOS_ENOENT ? AIOS_OK : rc;
}

int aios__special_ids(aios__vocab *v, aios_error *err)
{
    int rc = read_id(v, "tokenizer.ggml.bos_token_id", v->spm ? 1 : 11, &v->bos, err);
    if (!rc)
        rc = read_id(v, "tokenizer.ggml.eos_token_id", v->spm ? 2 : 11, &v->eos, err);
    if (!rc)
        rc = read_id(v, "tokenizer.ggml.unknown_token_id", v->spm ? 0 : -1, &v->unk, err);
    if (!rc)
        rc = read_flag(v, "tokenizer.ggml.add_bos_token", &v->add_bos, err);
    if (!rc)
        rc = read_flag(v, "tokenizer.ggml.add_eos_token", &v->add_eos, err);
    if (!rc && v->spm)
        rc = read_flag(v, "tokenizer.ggml.add_space_prefix", &v->space_prefix, err);
    if (!rc)
        rc = read_roles(v, err);
    if (rc)
        return rc;
    for (size_t i = 0; i < AIOS__ARRAY_LEN(end_names); i++) {
        int32_t id = named(v, end_names[i]);
        if (id >= 0)
            v->types[id] = AIOS__TOKEN_CONTROL;
        add_end(v, id);
    }
    add_end(v, v->eos);
    apply_exceptions(v);
    return AIOS_OK;
}
