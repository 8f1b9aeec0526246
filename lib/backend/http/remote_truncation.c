/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Servers that cut a prompt to fit and say nothing (Ollama's num_ctx: ollama#3839; LM Studio's rolling window). What they count as the
 * prompt betrays them. Two signs, both set so that honest counts do not show them:
 *  - Fewer than a token for eight characters. Natural text has 3 to 5 in every tokenizer (1 to 2 in Chinese), code 2 to 4; what compresses
 *    better, runs of one character, is counted once here. Text that is cut to half or less is noticed so, of most kinds.
 *  - A conversation that only grew counts clearly fewer tokens than before. A slack of an eighth is left for templates that write an earlier
 *    turn shorter; not asked where reasoning was sent, which templates drop.
 * Counts below 256 are no context of a model but of a server that counts something else.
 */
#include "backend/http/remote_priv.h"

#define CHARS_PER_TOKEN 8u
#define SLACK 8u
#define MIN_COUNT 256u
#define MAX_RUN 2u

static uint64_t hash(uint64_t h, const void *p, size_t n)
{
    const unsigned char *s = p;
    for (size_t i = 0; i < n; i++)
        h = (h ^ s[i]) * UINT64_C(0x100000001b3); /* FNV-1a */
    return h;
}

static uint64_t hash_text(uint64_t h, const char *s)
{
    return s ? hash(h, s, strlen(s) + 1) : hash(h, "", 1);
}

/* Characters, of a run of equal ones no more than two. */
static uint64_t count_chars(const char *s, size_t n)
{
    uint64_t count = 0;
    uint32_t last = 0, cp, run = 0;
    for (size_t i = 0, len; i < n; i += len) {
        len = aios__utf8_decode(s + i, n - i, &cp);
        if (!len) {
            len = 1;
            cp = (unsigned char)s[i];
        }
        run = cp == last ? run + 1 : 1;
        last = cp;
        count += run <= MAX_RUN;
    }
    return count;
}

static void read_entry(const aios_entry *e, aios__prompt *p)
{
    p->hash = hash(p->hash, &e->role, sizeof e->role);
    for (uint32_t i = 0; i < e->n_parts; i++) {
        const aios_part *part = aios__part_at(e, i);
        p->hash = hash(p->hash, &part->kind, sizeof part->kind);
        p->hash = hash(p->hash, part->text, part->n_text);
        p->reasoning |= part->kind == AIOS_PART_REASONING;
        if (part->kind == AIOS_PART_IMAGE || part->kind == AIOS_PART_AUDIO || part->kind == AIOS_PART_DATA)
            p->n_media += (part->n_text + 2) / 3 * 4;
        if (part->kind == AIOS_PART_TEXT || part->kind == AIOS_PART_RESULT || part->kind == AIOS_PART_CALL)
            p->n_chars += count_chars(part->text, part->n_text);
    }
}

void aios__prompt_read(const aios_request *q, const aios__prompt *last, aios__prompt *out)
{
    *out = (aios__prompt){.hash = UINT64_C(0xcbf29ce484222325)};
    out->hash = hash(out->hash, &q->tool_choice, sizeof q->tool_choice);
    for (uint32_t i = 0; i < q->n_tools; i++) {
        out->hash = hash_text(out->hash, q->tools[i].name);
        out->hash = hash_text(out->hash, q->tools[i].description);
        out->hash = hash_text(out->hash, q->tools[i].schema_json);
    }
    for (uint32_t i = 0; i < aios_transcript_count(q->transcript); i++) {
        aios_entry e = AIOS_INIT(aios_entry);
        aios_transcript_at(q->transcript, i, &e);
        read_entry(&e, out);
        out->grown |= last->n_entries == i + 1 && last->hash == out->hash;
        out->n_entries = i + 1;
    }
}

size_t aios__prompt_bytes(const aios__prompt *p, size_t n_body)
{
    return p->n_media < n_body ? n_body - (size_t)p->n_media : 0;
}

uint32_t aios__prompt_missing(const aios__prompt *now, const aios__prompt *last, uint32_t counted)
{
    uint64_t least = now->n_chars / CHARS_PER_TOKEN;
    if (counted < MIN_COUNT)
        return 0;
    if (now->grown && !now->reasoning && last->n_tokens)
        least = least > last->n_tokens - last->n_tokens / SLACK ? least : last->n_tokens - last->n_tokens / SLACK;
    return counted >= least ? 0 : least > UINT32_MAX ? UINT32_MAX : (uint32_t)least;
}
