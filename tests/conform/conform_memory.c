/* SPDX-License-Identifier: Apache-2.0 */
/* What every memory must do, through the public headers alone. Usage: conform_memory URI, with a fresh file's path in the place of @. */
#include "test.h"

#include <unistd.h>

#include "plain_memory.h"

static const char *pattern;
static char uri[512], file[64];
static test_heap heap;
static aios_ctx *ctx;
static aios_memory *m, *reference;
static int64_t clock_us;

/* ---- a world ------------------------------------------------------------------------------------------------------ */

static void remove_file(void)
{
    char path[96];
    static const char *const ends[] = {"", "-wal", "-shm", "-journal"};
    for (size_t i = 0; i < 4; i++) {
        snprintf(path, sizeof path, "%s%s", file, ends[i]);
        unlink(path);
    }
}

static void name_memory(void)
{
    const char *at = strchr(pattern, '@');
    snprintf(file, sizeof file, "/tmp/aios-memory-%ld", (long)getpid());
    remove_file();
    snprintf(uri, sizeof uri, "%.*s%s", at ? (int)(at - pattern) : 400, pattern, at ? file : "");
}

static int64_t wall(void *user)
{
    (void)user;
    return clock_us;
}

static aios_ctx *make_ctx(test_heap *h)
{
    aios_env env = AIOS_INIT(aios_env);
    aios_ctx_config cfg = AIOS_INIT(aios_ctx_config);
    aios_error err = AIOS_INIT(aios_error);
    aios_ctx *c = NULL;
    env.user = h;
    env.realloc = heap_realloc;
    env.wall_us = wall;
    cfg.env = &env;
    must(aios_ctx_new(&cfg, &c, &err), &err);
    must(plain_memory_register(c, &err), &err);
    return c;
}

static int setup(void **state)
{
    aios_error err = AIOS_INIT(aios_error);
    (void)state;
    name_memory();
    heap = (test_heap){0};
    clock_us = 1700000000000000;
    ctx = make_ctx(&heap);
    must(aios_memory_open(ctx, uri, NULL, &m, &err), &err);
    must(aios_memory_open(ctx, "plain:", NULL, &reference, &err), &err);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    aios_memory_close(m);
    aios_memory_close(reference);
    aios_ctx_free(ctx);
    assert_int_equal(heap.live, 0);
    remove_file();
    return 0;
}

static aios_item item(const char *text)
{
    aios_item it = AIOS_INIT(aios_item);
    it.text = text;
    it.n_text = AIOS_CSTR;
    return it;
}

static uint64_t add_to(aios_memory *to, aios_item it)
{
    aios_error err = AIOS_INIT(aios_error);
    uint64_t id = 0;
    must(aios_memory_add(to, &it, 1, sizeof it, &id, &err), &err);
    assert_true(id > 0 && id <= INT64_MAX);
    return id;
}

static uint64_t add(aios_item it)
{
    return add_to(m, it);
}

static aios_query query(const char *text)
{
    aios_query q = AIOS_INIT(aios_query);
    q.text = text;
    q.n_text = AIOS_CSTR;
    return q;
}

/* What came, one behind the other. */
typedef struct told {
    char text[16384];
    double scores[256];
    char snippet[512];
    int n;
    int stop_at, code;
} told;

static int note(void *user, const aios_hit *h)
{
    told *t = user;
    size_t n = strlen(t->text);
    assert_int_equal(strlen(h->item->text), h->item->n_text);
    snprintf(t->text + n, sizeof t->text - n, "%s%s", n ? "|" : "", h->item->text);
    snprintf(t->snippet, sizeof t->snippet, "%.*s", (int)h->n_snippet, h->snippet);
    if (t->n < 256)
        t->scores[t->n] = h->score;
    return ++t->n == t->stop_at ? t->code : 0;
}

static const char *found_in(aios_memory *in, const aios_query *q, told *t)
{
    aios_error err = AIOS_INIT(aios_error);
    *t = (told){.n = 0};
    must(q->text ? aios_memory_search(in, q, note, t, &err) : aios_memory_list(in, q, note, t, &err), &err);
    return t->text;
}

static const char *found(aios_query q)
{
    static told t;
    return found_in(m, &q, &t);
}

static uint64_t count(aios_query q)
{
    aios_error err = AIOS_INIT(aios_error);
    uint64_t n = 77;
    q.text = NULL;
    must(aios_memory_count(m, &q, &n, &err), &err);
    return n;
}

/* ---- what is kept ------------------------------------------------------------------------------------------------- */

static int check_whole(void *user, const aios_hit *h)
{
    const aios_item *it = h->item;
    assert_int_equal(it->id, *(uint64_t *)user);
    assert_string_equal(it->text, "Sam likes tea");
    assert_string_equal(it->scope, "user:sam");
    assert_string_equal(it->kind, "fact");
    assert_string_equal(it->tags_json, "{\"topic\":\"drinks\",\"sure\":true,\"n\":3}");
    assert_string_equal(it->source, "run/7");
    assert_string_equal(it->key, "k1");
    assert_int_equal(it->label.integrity, AIOS_LABEL_USER);
    assert_int_equal(it->label.confidentiality, 1ull << 63 | 4);
    assert_int_equal(it->created_us, 1700000000000000);
    assert_int_equal(it->updated_us, 1700000000000000);
    assert_int_equal(it->expires_us, 1800000000000000);
    assert_true(h->score == 0 && !h->n_snippet && !*h->snippet);
    return 0;
}

static void an_item_comes_back_with_all_it_had(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    aios_item it = item("Sam likes tea");
    it.scope = "user:sam";
    it.kind = "fact";
    it.tags_json = " {\"topic\": \"drinks\", \"sure\": true, \"n\": 3} ";
    it.source = "run/7";
    it.key = "k1";
    it.label = (aios_label){AIOS_LABEL_USER, 0, 1ull << 63 | 4};
    it.expires_us = 1800000000000000;
    uint64_t id = add(it), at = 0;
    must(aios_memory_get(m, id, NULL, check_whole, &id, &err), &err);
    must(aios_memory_find(m, "k1", &at, &err), &err);
    assert_int_equal(at, id);
    assert_int_equal(aios_memory_find(m, "k2", &at, &err), AIOS_ENOENT);
    must(aios_memory_remove(m, id, NULL, &err), &err);
    assert_int_equal(aios_memory_get(m, id, NULL, check_whole, &id, &err), AIOS_ENOENT);
    assert_int_equal(aios_memory_remove(m, id, NULL, &err), AIOS_ENOENT);
    assert_int_equal(aios_memory_find(m, "k1", &at, &err), AIOS_ENOENT);
    must(aios_memory_check(m, &err), &err);
}

static void a_key_is_there_once_until_it_is_replaced(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    aios_item it = item("first");
    it.key = "k";
    uint64_t id = add(it);
    it.text = "second";
    clock_us += 5;
    assert_int_equal(add(it), id);
    assert_string_equal(found(query("first second")), "first");
    it.flags = AIOS_ITEM_REPLACE;
    assert_int_equal(add(it), id);
    assert_string_equal(found(query("first second")), "second");
    aios_query later = query(NULL);
    later.since_us = clock_us;
    assert_string_equal(found(later), "second");
    it.key = NULL;
    assert_int_equal(aios_memory_add(m, &it, 1, sizeof it, NULL, &err), AIOS_EINVAL);
    must(aios_memory_check(m, &err), &err);
}

static void what_expires_is_gone(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    aios_item it = item("short tea");
    it.expires_us = clock_us + 10;
    it.key = "k";
    uint64_t id = add(it), at;
    add(item("long tea"));
    assert_int_equal(count(query(NULL)), 2);
    clock_us += 10;
    assert_int_equal(count(query(NULL)), 1);
    assert_string_equal(found(query("tea")), "long tea");
    assert_int_equal(aios_memory_find(m, "k", &at, &err), AIOS_ENOENT);
    assert_int_equal(aios_memory_get(m, id, NULL, note, NULL, &err), AIOS_ENOENT);
    assert_int_equal(aios_memory_remove(m, id, NULL, &err), AIOS_ENOENT);
    it.text = "new tea";
    it.expires_us = 0;
    assert_true(add(it) != id);
    assert_int_equal(count(query(NULL)), 2);
    must(aios_memory_check(m, &err), &err);
}

/* ---- what is seen ------------------------------------------------------------------------------------------------- */

static void a_query_sees_what_it_may_alone(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    const char *scopes[] = {"", "b"};
    aios_item it = item("tea in public");
    uint64_t ids[4];
    ids[0] = add(it);
    it.text = "tea in b";
    it.scope = "b";
    it.label.integrity = AIOS_LABEL_TOOL;
    ids[1] = add(it);
    it.text = "tea for the doctor";
    it.scope = "";
    it.label = (aios_label){AIOS_LABEL_USER, 0, 2};
    ids[2] = add(it);
    it.text = "tea for doctor and bank";
    it.label.confidentiality = 6;
    ids[3] = add(it);
    aios_query q = query("tea");
    assert_string_equal(found(q), "tea in public");
    assert_int_equal(count(q), 1);
    q.readers = 2;
    assert_non_null(strstr(found(q), "tea for the doctor"));
    assert_int_equal(count(q), 2);
    q.readers = 4;
    assert_int_equal(count(q), 1);
    q.readers = UINT64_MAX;
    assert_int_equal(count(q), 3);
    q.flags = AIOS_QUERY_ANY_SCOPE;
    assert_int_equal(count(q), 4);
    q.min_integrity = AIOS_LABEL_TOOL;
    assert_int_equal(count(q), 3);
    q.min_integrity = AIOS_LABEL_USER;
    assert_int_equal(count(q), 2);
    q = query("tea");
    q.scopes = scopes;
    q.n_scopes = 2;
    assert_int_equal(count(q), 2);
    q.scopes = scopes + 1;
    q.n_scopes = 1;
    assert_string_equal(found(q), "tea in b");
    q.text = NULL;
    for (int i = 0; i < 4; i++) {
        assert_int_equal(aios_memory_get(m, ids[i], &q, note, &(told){.n = 0}, &err), i == 1 ? 0 : AIOS_ENOENT);
        assert_int_equal(aios_memory_remove(m, ids[i], &q, &err), i == 1 ? 0 : AIOS_ENOENT);
    }
    q.flags = AIOS_QUERY_ANY_SCOPE;
    q.scopes = NULL;
    q.n_scopes = 0;
    q.readers = UINT64_MAX;
    assert_int_equal(count(q), 3);
}

static void filters_choose_among_what_is_seen(void **state)
{
    (void)state;
    aios_item it = item("apple one");
    it.kind = "fact";
    it.tags_json = "{\"a\":\"x\",\"n\":1}";
    add(it);
    clock_us += 10;
    it = item("apple two");
    it.tags_json = "{\"a\":\"x\\\",\\\"n\\\":1\",\"b\":true}";
    add(it);
    clock_us += 10;
    it = item("apple three");
    it.tags_json = "{\"n\":1,\"a\":\"x\",\"nn\":11}";
    it.kind = "factual";
    add(it);
    const struct {
        const char *tags, *kind, *want;
        int64_t since, until;
    } rows[] = {
        {"{}", NULL, "apple three|apple two|apple one", 0, 0},
        {"{\"n\":1}", NULL, "apple three|apple one", 0, 0},
        {"{ \"a\":\"x\", \"n\":1 }", NULL, "apple three|apple one", 0, 0},
        {"{\"n\":11}", NULL, "", 0, 0},
        {"{\"n\":\"1\"}", NULL, "", 0, 0},
        {"{\"b\":true}", NULL, "apple two", 0, 0},
        {NULL, "fact", "apple one", 0, 0},
        {NULL, "", "apple two", 0, 0},
        {NULL, NULL, "apple three|apple two", 1700000000000010, 0},
        {NULL, NULL, "apple two|apple one", 0, 1700000000000020},
        {NULL, NULL, "apple two", 1700000000000010, 1700000000000020},
    };
    if (!strncmp(uri, "plain", 5))
        return; /* its tags are simpler */
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        aios_query q = query(NULL);
        q.tags_json = rows[i].tags;
        q.kind = rows[i].kind;
        q.since_us = rows[i].since;
        q.until_us = rows[i].until;
        assert_string_equal(found(q), rows[i].want);
        assert_int_equal(count(q), *rows[i].want ? 1 + (strchr(rows[i].want, '|') != NULL) + (strrchr(rows[i].want, '|') != strchr(rows[i].want, '|')) : 0);
        q.text = "apple";
        told t;
        found_in(m, &q, &t);
        assert_int_equal(t.n, count(q));
    }
}

/* ---- scores ------------------------------------------------------------------------------------------------------- */

static uint64_t dice = 99;

static unsigned roll(unsigned n)
{
    dice = dice * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(dice >> 33) % n;
}

static const char *const words[] = {"tea", "milk", "sugar", "cup", "pot", "leaf", "green", "black", "hot", "cold", "sweet", "bitter"};
static const char *const scopes[] = {"", "a", "b"};

static void make_text(char *out, size_t size, unsigned most)
{
    size_t n = 0;
    for (unsigned i = 1 + roll(most); i; i--)
        n += (size_t)snprintf(out + n, size - n, "%s%s", n ? " " : "", words[roll(4) ? roll(6) : roll(12)]);
}

static aios_query random_query(char *text, size_t size)
{
    aios_query q = query(text);
    make_text(text, size, 4);
    q.scopes = scopes + roll(3);
    q.n_scopes = 1 + (q.scopes != scopes + 2 && roll(2));
    if (!roll(4)) {
        q.flags = AIOS_QUERY_ANY_SCOPE;
        q.scopes = NULL;
        q.n_scopes = 0;
    }
    q.readers = roll(8);
    q.min_integrity = (int32_t)roll(3);
    q.max_hits = 1 + roll(30);
    q.kind = roll(3) ? NULL : "x";
    q.tags_json = roll(3) ? NULL : "{\"t\":1}";
    return q;
}

static void scores_are_those_of_what_is_seen(void **state)
{
    (void)state;
    char text[512];
    told a, b;
    aios_error err = AIOS_INIT(aios_error);
    static uint64_t ids[300][2];
    for (int i = 0; i < 300; i++) {
        make_text(text, sizeof text, 12);
        aios_item it = item(text);
        it.scope = scopes[roll(3)];
        it.label = (aios_label){(int32_t)roll(3), 0, roll(3) ? 0 : 1u << roll(3)};
        it.kind = roll(2) ? "x" : "";
        it.tags_json = roll(2) ? "{\"t\":1}" : NULL;
        it.expires_us = roll(6) ? 0 : clock_us + 50;
        ids[i][0] = add_to(m, it);
        ids[i][1] = add_to(reference, it);
        clock_us++;
        if (!roll(5)) {
            unsigned k = roll((unsigned)i + 1);
            int rc = aios_memory_remove(m, ids[k][0], NULL, &err);
            assert_int_equal(aios_memory_remove(reference, ids[k][1], NULL, &err), rc);
        }
    }
    for (int i = 0; i < 400; i++) {
        aios_query q = random_query(text, sizeof text);
        found_in(m, &q, &a);
        found_in(reference, &q, &b);
        assert_int_equal(a.n, b.n);
        for (int k = 0; k < a.n; k++)
            if (fabs(a.scores[k] - b.scores[k]) > 1e-9)
                fail_msg("%s: hit %d has %.12f, not %.12f\n%s\n%s", text, k, a.scores[k], b.scores[k], a.text, b.text);
        q.text = NULL;
        assert_string_equal(found_in(m, &q, &a), found_in(reference, &q, &b));
    }
    must(aios_memory_check(m, &err), &err);
}

/* Everything that a query tells, before and after much was added that it does not see. */
static void what_is_not_seen_has_no_part_in_scores(void **state)
{
    (void)state;
    char text[512];
    told a, b;
    for (int i = 0; i < 60; i++) {
        make_text(text, sizeof text, 8);
        add(item(text));
    }
    aios_query q = query("tea leaf bitter");
    q.max_hits = 60;
    q.min_integrity = AIOS_LABEL_UNTRUSTED;
    found_in(m, &q, &a);
    uint64_t n = count(q);
    for (int i = 0; i < 200; i++) {
        make_text(text, sizeof text, 8);
        aios_item it = item(text);
        if (i % 2)
            it.label.confidentiality = 1;
        else
            it.scope = "other";
        add(it);
    }
    found_in(m, &q, &b);
    assert_memory_equal(&a, &b, sizeof a);
    assert_int_equal(count(q), n);
    q.readers = 1;
    found_in(m, &q, &b);
    assert_true(memcmp(&a, &b, sizeof a) != 0);
}

/* ---- hostile text ------------------------------------------------------------------------------------------------- */

static void a_query_is_words_whatever_it_looks_like(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "tea", "\"tea\"", "tea\"", "\"\"tea\"\"", "tea*", "^tea", "-tea", "tea)", "(tea", "text:tea", "scope : tea", "tea AND", "OR tea", "NOT tea", "NEAR(tea, 2)",
        "{text} : tea", "tea; DROP TABLE item; --", "tea'", "tea\\", "+tea+", "tea:tea", "\ntea\t", "tea - NOT - ( \" * ^", "%s tea %n", "tea OR secret", "scope:s0000000000000002 tea"};
    add(item("some tea"));
    aios_item it = item("secret of another");
    it.scope = "b";
    add(it);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_string_equal(found(query(rows[i])), "some tea");
    assert_string_equal(found(query("")), "");
    assert_string_equal(found(query("\"*:^()- ")), "");
    assert_string_equal(found(query("secret")), "");
}

static void bad_arguments_are_refused(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    char long_text[AIOS_MEMORY_MAX_TEXT + 2], many[1024] = "";
    memset(long_text, 'a', sizeof long_text);
    long_text[sizeof long_text - 1] = 0;
    struct {
        int code;
        aios_item it;
    } items[] = {
        {AIOS_EINVAL, item("")}, {AIOS_EINVAL, item("\xff")}, {AIOS_EINVAL, item(NULL)}, {AIOS_ELIMIT, item(long_text)}, {AIOS_EINVAL, item("a\nb")},
        {AIOS_EINVAL, item("t")}, {AIOS_EINVAL, item("t")}, {AIOS_EINVAL, item("t")}, {AIOS_EINVAL, item("t")}, {AIOS_ELIMIT, item("t")}, {AIOS_EVERSION, item("t")},
        {AIOS_EINVAL, item("t")}, {AIOS_EINVAL, item("t")},
    };
    items[4].it.scope = "a\nb";
    items[5].it.tags_json = "[]";
    items[6].it.tags_json = "{\"a\":[]}";
    items[7].it.tags_json = "{";
    items[8].it.key = "";
    items[9].it.kind = long_text;
    items[10].it.flags = 64;
    items[11].it.label.integrity = 4;
    items[12].it.expires_us = -1;
    for (size_t i = 0; i < sizeof items / sizeof *items; i++) {
        aios_item both[2] = {item("fine"), items[i].it};
        int rc = aios_memory_add(m, both, 2, sizeof *both, NULL, &err);
        if (rc != items[i].code || !strstr(err.msg, "item 1"))
            fail_msg("item %zu: %d %s", i, rc, err.msg);
    }
    assert_int_equal(count(query(NULL)), 0);
    for (int i = 0; i < AIOS_MEMORY_MAX_TERMS + 1; i++)
        snprintf(many + strlen(many), sizeof many - strlen(many), "w%d ", i);
    aios_query q = query(many);
    told t = {.n = 0};
    assert_int_equal(aios_memory_search(m, &q, note, &t, &err), AIOS_ELIMIT);
    assert_int_equal(err.have, AIOS_MEMORY_MAX_TERMS);
    q = query(long_text);
    assert_int_equal(aios_memory_search(m, &q, note, &t, &err), AIOS_ELIMIT);
    q = query(NULL);
    assert_int_equal(aios_memory_search(m, &q, note, &t, &err), AIOS_EINVAL);
    q = query("t");
    assert_int_equal(aios_memory_list(m, &q, note, &t, &err), AIOS_EINVAL);
    q.max_hits = AIOS_MEMORY_MAX_HITS + 1;
    assert_int_equal(aios_memory_search(m, &q, note, &t, &err), AIOS_ELIMIT);
    q = query("t");
    q.min_integrity = 9;
    assert_int_equal(aios_memory_search(m, &q, note, &t, &err), AIOS_EINVAL);
    q = query("t");
    q.flags = AIOS_QUERY_ANY_SCOPE;
    q.scopes = scopes;
    q.n_scopes = 1;
    assert_int_equal(aios_memory_search(m, &q, note, &t, &err), AIOS_EINVAL);
    assert_int_equal(aios_memory_get(m, 0, NULL, note, &t, &err), AIOS_ENOENT);
    assert_int_equal(aios_memory_get(m, UINT64_MAX, NULL, note, &t, &err), AIOS_ENOENT);
}

/* ---- callbacks, threads, memory ----------------------------------------------------------------------------------- */

static int add_and_remove(void *user, const aios_hit *h)
{
    int *n = user;
    aios_error err = AIOS_INIT(aios_error);
    if (!strncmp(uri, "plain", 5))
        return AIOS_DONE;
    add(item("tea of a callback"));
    must(aios_memory_remove(m, h->item->id, NULL, &err), &err);
    ++*n;
    return 0;
}

static void callbacks_may_use_the_memory_and_end_the_call(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    for (int i = 0; i < 5; i++)
        add(item("tea"));
    aios_query q = query("tea");
    told t = {.stop_at = 2, .code = AIOS_DONE};
    must(aios_memory_search(m, &q, note, &t, &err), &err);
    assert_int_equal(t.n, 2);
    t = (told){.stop_at = 2, .code = AIOS_ETOOL};
    assert_int_equal(aios_memory_search(m, &q, note, &t, &err), AIOS_ETOOL);
    int n = 0;
    must(aios_memory_search(m, &q, add_and_remove, &n, &err), &err);
    assert_int_equal(count(q), 5);
}

static void *write_and_read(void *user)
{
    char text[64];
    aios_error err = AIOS_INIT(aios_error);
    long k = (long)(intptr_t)user;
    for (int i = 0; i < 40; i++) {
        snprintf(text, sizeof text, "thread%ld says number%d", k, i);
        add(item(text));
        aios_query q = query(text);
        told t = {.n = 0};
        q.max_hits = 1;
        must(aios_memory_search(m, &q, note, &t, &err), &err);
        assert_string_equal(t.text, text);
    }
    return NULL;
}

static void threads_share_a_memory(void **state)
{
    (void)state;
    pthread_t threads[4];
    aios_error err = AIOS_INIT(aios_error);
    if (!strncmp(uri, "plain", 5))
        return; /* it reads without a lock */
    for (long i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_and_read, (void *)(intptr_t)i), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(count(query(NULL)), 160);
    must(aios_memory_check(m, &err), &err);
}

static int use_all(aios_ctx *c, aios_error *err)
{
    aios_memory *s = NULL;
    aios_query q = query("tea black");
    told t = {.n = 0};
    uint64_t n = 0, ids[100];
    remove_file();
    int rc = plain_memory_register(c, err);
    rc = rc ? rc : aios_memory_open(c, uri, NULL, &s, err);
    for (int i = 0; i < 300 && !rc; i += 100) {
        aios_item it[100];
        for (int k = 0; k < 100; k++)
            it[k] = item(k % 2 ? "black tea" : "green tea");
        rc = aios_memory_add(s, it, 100, sizeof *it, ids, err);
    }
    rc = rc ? rc : aios_memory_search(s, &q, note, &t, err);
    rc = rc ? rc : aios_memory_get(s, ids[0], NULL, note, &t, err);
    q.text = NULL;
    q.tags_json = "{}";
    rc = rc ? rc : aios_memory_count(s, &q, &n, err);
    rc = rc ? rc : aios_memory_check(s, err);
    if (!rc)
        assert_true(t.n == 11 && n == 300);
    aios_memory_close(s);
    return rc;
}

static void memory_that_runs_out_is_a_typed_failure(void **state)
{
    (void)state;
    refuse_every_allocation(use_all, 1);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        T(an_item_comes_back_with_all_it_had),
        T(a_key_is_there_once_until_it_is_replaced),
        T(what_expires_is_gone),
        T(a_query_sees_what_it_may_alone),
        T(filters_choose_among_what_is_seen),
        T(scores_are_those_of_what_is_seen),
        T(what_is_not_seen_has_no_part_in_scores),
        T(a_query_is_words_whatever_it_looks_like),
        T(bad_arguments_are_refused),
        T(callbacks_may_use_the_memory_and_end_the_call),
        T(threads_share_a_memory),
        cmocka_unit_test(memory_that_runs_out_is_a_typed_failure),
    };
    pattern = argc > 1 ? argv[1] : "memory:";
    int rc = cmocka_run_group_tests_name(pattern, tests, NULL, NULL);
    remove_file();
    return rc;
}
