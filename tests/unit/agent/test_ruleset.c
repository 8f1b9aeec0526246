/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/stat.h>

#include "agent/agent_priv.h"
#include "agent_test.h"

static aios_ctx *ctx;
static aios__ruleset_use use;
static uint64_t n_calls[64];
static double costs[64];

static int open_ctx(void **state)
{
    (void)state;
    ctx = test_ctx(NULL, 0);
    return 0;
}

static int close_ctx(void **state)
{
    (void)state;
    aios_ctx_free(ctx);
    return 0;
}

/* The policy of a test has ' for ". */
static aios_rules *rules_of(const char *text)
{
    char json[8192];
    aios_error err = AIOS_INIT(aios_error);
    aios_rules *r = NULL;
    snprintf(json, sizeof json, "{'version':1,%s}", text);
    for (char *s = json; *s; s++)
        *s = *s == '\'' ? '"' : *s;
    must(aios_rules_parse(ctx, json, AIOS_CSTR, &r, &err), &err);
    memset(n_calls, 0, sizeof n_calls);
    memset(costs, 0, sizeof costs);
    use = (aios__ruleset_use){.calls = n_calls, .cost = costs};
    return r;
}

typedef struct ask {
    const char *tool, *args;
    int32_t effect, integrity;
    uint64_t classes;
    int64_t wall_us;
} ask;

static aios_verdict last;
static bool handle;

static int verdict(const aios_rules *r, ask a)
{
    char json[4096];
    aios__json_doc *doc;
    aios_error err = AIOS_INIT(aios_error);
    snprintf(json, sizeof json, "%s", a.args ? a.args : "{}");
    for (char *s = json; *s; s++)
        *s = *s == '\'' ? '"' : *s;
    must(aios__json_parse(aios__ctx_heap(ctx), json, strlen(json), &doc, &err), &err);
    aios__ruleset_call c = {a.tool, a.effect, aios__json_root(doc), strlen(json), {a.integrity, 0, a.classes}, a.wall_us};
    last = (aios_verdict)AIOS_INIT(aios_verdict);
    must(aios__ruleset_decide(r, &c, &use, &last, &handle, &err), &err);
    aios__json_free(doc);
    return last.verdict;
}

#define READ_CALL(t, a) ((ask){.tool = (t), .args = (a), .effect = AIOS_EFFECT_READ, .integrity = AIOS_LABEL_USER})
#define ACT(t, a) ((ask){.tool = (t), .args = (a), .integrity = AIOS_LABEL_USER})

static void what_no_capability_names_is_denied(void **state)
{
    (void)state;
    aios_rules *r = rules_of("'capabilities':[{'tool':'read_file'},{'tool':'db.*','effect':'read'},{'tool':'mail','verdict':'ask','reason':'mail leaves'}]");
    assert_int_equal(verdict(r, READ_CALL("read_file", NULL)), AIOS_ALLOW);
    assert_int_equal(verdict(r, READ_CALL("read_files", NULL)), AIOS_DENY);
    assert_non_null(strstr(last.reason, "no capability is for read_files"));
    assert_int_equal(verdict(r, READ_CALL("db.", NULL)), AIOS_ALLOW);
    assert_int_equal(verdict(r, READ_CALL("db.query", NULL)), AIOS_ALLOW);
    assert_int_equal(verdict(r, ACT("db.query", NULL)), AIOS_DENY); /* the effect is another */
    assert_int_equal(verdict(r, READ_CALL("db", NULL)), AIOS_DENY);
    assert_int_equal(verdict(r, ACT("mail", NULL)), AIOS_ASK);
    assert_non_null(strstr(last.reason, "mail leaves (/capabilities/2)"));
    aios_rules_free(r);
    r = rules_of("'default':'ask'");
    assert_int_equal(verdict(r, ACT("x", NULL)), AIOS_ASK);
    aios_rules_free(r);
}

static void the_strictest_of_all_that_fit_holds_whatever_their_order(void **state)
{
    (void)state;
    static const char *const caps[] = {"{'tool':'*'}", "{'tool':'rm','verdict':'deny','args':{'properties':{'p':{'const':'x'}},'required':['p']}}",
                                       "{'tool':'rm','verdict':'ask'}"};
    for (int i = 0; i < 6; i++) {
        char text[1024];
        int a = i / 2, b = (a + 1 + i % 2) % 3, c = 3 - a - b;
        snprintf(text, sizeof text, "'capabilities':[%s,%s,%s]", caps[a], caps[b], caps[c]);
        aios_rules *r = rules_of(text);
        assert_int_equal(verdict(r, ACT("rm", "{'p':'x'}")), AIOS_DENY);
        assert_int_equal(verdict(r, ACT("rm", "{'p':'y'}")), AIOS_ASK);
        assert_int_equal(verdict(r, ACT("ls", "{'p':'x'}")), AIOS_ALLOW);
        aios_rules_free(r);
    }
}

static void arguments_are_held_to_their_schema_and_size(void **state)
{
    (void)state;
    aios_rules *r = rules_of("'capabilities':[{'tool':'pay','args':{'properties':{'to':{'enum':['ann','bob']}},'required':['to']},'max_bytes':40}]");
    assert_int_equal(verdict(r, ACT("pay", "{'to':'ann'}")), AIOS_ALLOW);
    assert_int_equal(verdict(r, ACT("pay", "{'to':'eve'}")), AIOS_DENY);
    assert_int_equal(verdict(r, ACT("pay", "{}")), AIOS_DENY);
    assert_int_equal(verdict(r, ACT("pay", "{'to':'ann','note':'............................'}")), AIOS_DENY);
    assert_non_null(strstr(last.reason, "max_bytes"));
    aios_rules_free(r);
}

static void calls_costs_and_time_run_out(void **state)
{
    (void)state;
    aios_rules *r = rules_of("'capabilities':[{'tool':'a','max_calls':2},{'tool':'b','cost':'/eur','max_cost':10},"
                             "{'tool':'c','expires':'2026-01-01T01:00:00+01:00'},{'tool':'d','cost':3,'max_cost':6}]");
    assert_int_equal(verdict(r, ACT("a", NULL)), AIOS_ALLOW);
    assert_int_equal(verdict(r, ACT("a", NULL)), AIOS_ALLOW);
    assert_int_equal(verdict(r, ACT("a", NULL)), AIOS_DENY);
    assert_int_equal(verdict(r, ACT("b", "{'eur':7}")), AIOS_ALLOW);
    assert_int_equal(verdict(r, ACT("b", "{'eur':4}")), AIOS_DENY);
    assert_int_equal(verdict(r, ACT("b", "{'eur':-50}")), AIOS_DENY);
    assert_int_equal(verdict(r, ACT("b", "{'eur':'1'}")), AIOS_DENY);
    assert_int_equal(verdict(r, ACT("b", NULL)), AIOS_DENY);
    assert_int_equal(verdict(r, ACT("b", "{'eur':3}")), AIOS_ALLOW);
    assert_int_equal(verdict(r, ACT("b", "{'eur':0.01}")), AIOS_DENY);
    ask c = ACT("c", NULL);
    c.wall_us = INT64_C(1767225599999999); /* 2025-12-31T23:59:59.999999Z */
    assert_int_equal(verdict(r, c), AIOS_ALLOW);
    c.wall_us++;
    assert_int_equal(verdict(r, c), AIOS_DENY);
    assert_int_equal(verdict(r, ACT("d", NULL)), AIOS_ALLOW);
    assert_int_equal(verdict(r, ACT("d", NULL)), AIOS_ALLOW);
    assert_int_equal(verdict(r, ACT("d", NULL)), AIOS_DENY);
    aios_rules_free(r);
}

static void times_are_read_as_rfc_3339_has_them(void **state)
{
    (void)state;
    int64_t us;
    assert_true(aios__rfc3339("1970-01-01T00:00:00Z", &us) && us == 0);
    assert_true(aios__rfc3339("2000-02-29t12:00:00.25z", &us) && us == INT64_C(951825600250000));
    assert_true(aios__rfc3339("1969-12-31T23:59:59-00:30", &us) && us == INT64_C(1799000000));
    static const char *const bad[] = {"", "2026-01-01", "2026-01-01T00:00:00", "2026-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-01-01T24:00:00Z",
                                      "2026-01-01T00:00:00.Z", "2026-01-01T00:00:00+1:00", "2026-01-01T00:00:00Zx", "2026-1-01T00:00:00Z"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(aios__rfc3339(bad[i], &us));
}

/* ---- hosts -------------------------------------------------------------------------------------------------------- */

static void urls_lead_only_to_the_hosts_that_are_listed(void **state)
{
    (void)state;
    static const char *const good[] = {"https://api.example.com/v1?x=@evil.com", "HTTPS://API.Example.COM./", "https://api.example.com:443#f", "api.example.com",
                                       "https://a.example.org", "https://a.b.example.org/", "http://plain.test/", "https://any.test:9/", "https://[2001:DB8::1]/",
                                       "https://[::ffff:10.0.0.1]", "https://10.0.0.1"};
    static const char *const bad[] = {"http://api.example.com/", "https://api.example.com:444/", "https://evil.com/", "https://api.example.com.evil.com/",
                                      "https://api.example.com@evil.com/", "https://evil.com\\@api.example.com/", "https://evil.com#@api.example.com/",
                                      "https://example.org/", "https://xexample.org/", "https://a.example.org:444", "//api.example.com/", "https:api.example.com",
                                      "https:///api.example.com", "https://api.example.com\t.evil.com", "https://api.example.com%2eevil.com/", "https://167772161/",
                                      "https://0x0a000001/", "https://012.0.0.1/", "https://10.1/", "https://10.0.0.1..", "https://\xd0\xb0pi.example.com/",
                                      "file:///etc/passwd", "gopher://api.example.com/", "https://[2001:db8::1%25eth0]/", "https://[2001:db8::1", "https://user:p@api.example.com",
                                      "https://api.example.com:/", "https://api.example.com:0443x/", "https://api..example.com/", "https://", "", "javascript:alert(1)",
                                      "api.example.com/path", "https://plain.test/", "https://10.0.0.2/", "https://a.example.org\\.evil.com/"};
    aios_rules *r = rules_of("'capabilities':[{'tool':'get','hosts':{'/url':['api.example.com','*.example.org','http://plain.test','any.test:*',"
                             "'[2001:db8::1]','10.0.0.1']}}]");
    char args[512];
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        snprintf(args, sizeof args, "{\"url\":\"%s\"}", good[i]);
        if (verdict(r, READ_CALL("get", args)) != AIOS_ALLOW)
            fail_msg("%s: %s", good[i], last.reason);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char *to = args + snprintf(args, sizeof args, "{\"url\":\"");
        for (const char *s = bad[i]; *s; s++) {
            if (*s == '\\')
                *to++ = '\\';
            to += *s == '\t' ? sprintf(to, "\\t") : (*to = *s, 1);
        }
        snprintf(to, 8, "\"}");
        if (verdict(r, READ_CALL("get", args)) != AIOS_DENY)
            fail_msg("%s was allowed", bad[i]);
    }
    assert_int_equal(verdict(r, READ_CALL("get", "{}")), AIOS_DENY);
    assert_int_equal(verdict(r, READ_CALL("get", "{'url':5}")), AIOS_DENY);
    assert_int_equal(verdict(r, READ_CALL("get", "{'url':[]}")), AIOS_DENY);
    assert_int_equal(verdict(r, READ_CALL("get", "{'url':['api.example.com','https://evil.com']}")), AIOS_DENY);
    assert_int_equal(verdict(r, READ_CALL("get", "{'url':['api.example.com','https://a.example.org']}")), AIOS_ALLOW);
    aios_rules_free(r);
    r = rules_of("'capabilities':[{'tool':'get'},{'tool':'get','verdict':'deny','hosts':{'/url':['http://internal.test','internal.test']}}]");
    assert_int_equal(verdict(r, READ_CALL("get", "{'url':'https://other.test'}")), AIOS_ALLOW);
    assert_int_equal(verdict(r, READ_CALL("get", "{'url':'https://internal.test'}")), AIOS_DENY);
    assert_int_equal(verdict(r, READ_CALL("get", "{'url':'https://x@other.test'}")), AIOS_DENY); /* nobody can tell */
    aios_rules_free(r);
}

/* ---- paths -------------------------------------------------------------------------------------------------------- */

static char dir[256];

static void put_file(const char *name, const char *text, mode_t mode)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    assert_int_equal(chmod(path, mode), 0);
}

static void put_dir(const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    assert_int_equal(mkdir(path, 0700), 0);
}

static void put_link(const char *name, const char *target)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    assert_int_equal(symlink(target, path), 0);
}

static int make_dir(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/aios-test-ruleset-XXXXXX");
    assert_non_null(mkdtemp(dir));
    put_dir("w");
    put_dir("w/sub");
    put_dir("w/.git");
    put_dir("w2");
    put_file("w/a.txt", "a", 0600);
    put_file("secret", "s", 0600);
    put_link("w/out", "../secret");
    put_link("w/up", "..");
    put_link("w/in", "sub");
    put_link("w/nowhere", "../new");
    return 0;
}

static int remove_dir(void **state)
{
    (void)state;
    char cmd[300];
    snprintf(cmd, sizeof cmd, "rm -r %s", dir);
    return system(cmd);
}

static int path_verdict(const aios_rules *r, const char *tool, const char *path, bool absolute)
{
    char args[1024];
    snprintf(args, sizeof args, "{\"path\":\"%s%s%s\"}", absolute ? dir : "", absolute ? "/" : "", path);
    return verdict(r, READ_CALL(tool, args));
}

static void paths_stay_in_their_roots(void **state)
{
    (void)state;
    static const char *const good[] = {"w", "w/a.txt", "w/sub/../a.txt", "w/in/x", "w/new", "w//sub/./new/deep", "w/.gitignore", "w/..a"};
    static const char *const bad[] = {"", "secret", "w/../secret", "w/out", "w/up/secret", "w/up", "w/nowhere", "w2/x", "w/.git/config", "w/.GIT/config",
                                      "w/in/../../secret", "w/none/../../secret", "w/none/../a.txt", "w/a.txt/x", "w/sub/.git"};
    char text[1024];
    snprintf(text, sizeof text, "'capabilities':[{'tool':'get','paths':{'/path':{'roots':['%s/w']}}},{'tool':'not','verdict':'ask'},"
             "{'tool':'not','verdict':'deny','paths':{'/path':{'roots':['%s/w']}}}]", dir, dir);
    aios_rules *r = rules_of(text);
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (path_verdict(r, "get", good[i], true) != AIOS_ALLOW)
            fail_msg("%s: %s", good[i], last.reason);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (path_verdict(r, "get", bad[i], true) != AIOS_DENY)
            fail_msg("%s was allowed", bad[i]);
    assert_int_equal(path_verdict(r, "get", "sub/x", false), AIOS_ALLOW); /* of the first root */
    assert_int_equal(path_verdict(r, "get", "../secret", false), AIOS_DENY);
    assert_int_equal(path_verdict(r, "get", "", false), AIOS_DENY);
    assert_int_equal(verdict(r, READ_CALL("get", "{}")), AIOS_DENY);
    assert_int_equal(verdict(r, ACT("get", "{'path':'a.txt'}")), AIOS_DENY); /* no "write" */
    assert_int_equal(path_verdict(r, "not", "secret", true), AIOS_ASK);
    assert_int_equal(path_verdict(r, "not", "w/a.txt", true), AIOS_DENY);
    assert_int_equal(path_verdict(r, "not", "w2/../w/a.txt", true), AIOS_DENY);
    assert_int_equal(path_verdict(r, "not", "w/nowhere", true), AIOS_DENY);
    aios_rules_free(r);
}

static int open_policy(const char *name, aios_rules **r, aios_error *err)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    *err = (aios_error)AIOS_INIT(aios_error);
    return aios_rules_open(ctx, path, r, err);
}

static void a_file_that_a_tool_could_write_is_no_policy(void **state)
{
    (void)state;
    char text[512], path[300];
    aios_rules *r;
    aios_error err;
    put_file("p.json", "{\"version\":1}", 0600);
    must(open_policy("p.json", &r, &err), &err);
    assert_int_equal(aios_rules_digest(r)[0] ? strlen(aios_rules_digest(r)) : 64, 64);
    aios_rules_free(r);
    put_file("open.json", "{\"version\":1}", 0666);
    assert_int_equal(open_policy("open.json", &r, &err), AIOS_EDENIED);
    assert_non_null(strstr(err.msg, "chmod go-w"));
    assert_int_equal(open_policy("none.json", &r, &err), AIOS_ENOENT);
    assert_int_equal(open_policy("w", &r, &err), AIOS_EINVAL);
    snprintf(text, sizeof text, "{\"version\":1,\"capabilities\":[{\"tool\":\"put\",\"paths\":{\"/p\":{\"roots\":[\"%s/w/..\"],\"write\":true}}}]}", dir);
    put_file("self.json", text, 0600);
    assert_int_equal(open_policy("self.json", &r, &err), AIOS_EDENIED);
    assert_non_null(strstr(err.msg, "/capabilities/0"));
    snprintf(text, sizeof text, "{\"version\":1,\"capabilities\":[{\"tool\":\"get\",\"paths\":{\"/path\":{\"roots\":[\"%s\"]}}}]}", dir);
    put_file("read.json", text, 0600);
    must(open_policy("read.json", &r, &err), &err);
    use = (aios__ruleset_use){.calls = n_calls, .cost = costs};
    assert_int_equal(path_verdict(r, "get", "secret", true), AIOS_ALLOW);
    assert_int_equal(path_verdict(r, "get", "read.json", true), AIOS_DENY);
    snprintf(path, sizeof path, "%s/hard", dir);
    snprintf(text, sizeof text, "%s/read.json", dir);
    assert_int_equal(link(text, path), 0);
    assert_int_equal(path_verdict(r, "get", "hard", true), AIOS_DENY);
    aios_rules_free(r);
    snprintf(path, sizeof path, "%s/w2", dir);
    assert_int_equal(chmod(path, 0777), 0);
    put_file("w2/p.json", "{\"version\":1}", 0600);
    assert_int_equal(open_policy("w2/p.json", &r, &err), AIOS_EDENIED);
}

/* ---- labels ------------------------------------------------------------------------------------------------------- */

#define LABELLED(t, e, i, c) ((ask){.tool = (t), .effect = (e), .integrity = (i), .classes = (c)})

static void labels_decide_what_flows_where(void **state)
{
    (void)state;
    aios_rules *r = rules_of("'classes':{'health':3,'staff':{'bit':5,'local':true}},'capabilities':["
                             "{'tool':'log','integrity':'tool'},{'tool':'mail','confidentiality':['staff'],'else':'ask'},{'tool':'look','effect':'read'},"
                             "{'tool':'web','effect':'read','external':true},{'tool':'any','confidentiality':'any'}]");
    assert_int_equal(aios_rules_class(r, "health"), 8);
    assert_int_equal(aios_rules_class(r, "nobody"), 0);
    assert_int_equal(verdict(r, LABELLED("log", AIOS_EFFECT_LOCAL, AIOS_LABEL_TOOL, 8)), AIOS_ALLOW);
    assert_int_equal(verdict(r, LABELLED("log", AIOS_EFFECT_LOCAL, AIOS_LABEL_UNTRUSTED, 0)), AIOS_DENY);
    assert_non_null(strstr(last.reason, "integrity"));
    assert_int_equal(verdict(r, LABELLED("log", AIOS_EFFECT_UNSAFE, AIOS_LABEL_TOOL, 8)), AIOS_DENY); /* outside: nothing confidential unless listed */
    assert_int_equal(verdict(r, LABELLED("mail", 0, AIOS_LABEL_USER, 32)), AIOS_ALLOW);
    assert_int_equal(verdict(r, LABELLED("mail", 0, AIOS_LABEL_USER, 32 | 8)), AIOS_ASK);
    assert_int_equal(verdict(r, LABELLED("mail", 0, AIOS_LABEL_UNTRUSTED, 0)), AIOS_ALLOW);
    assert_int_equal(verdict(r, LABELLED("mail", 0, AIOS_LABEL_UNTRUSTED, 32)), AIOS_ASK);
    assert_non_null(strstr(last.reason, "rule_of_two"));
    assert_int_equal(verdict(r, LABELLED("look", AIOS_EFFECT_READ, AIOS_LABEL_UNTRUSTED, 8)), AIOS_ALLOW);
    assert_int_equal(verdict(r, LABELLED("web", AIOS_EFFECT_READ, AIOS_LABEL_USER, 0)), AIOS_ALLOW);
    assert_int_equal(verdict(r, LABELLED("web", AIOS_EFFECT_READ, AIOS_LABEL_USER, 8)), AIOS_DENY);
    assert_int_equal(verdict(r, LABELLED("any", 0, AIOS_LABEL_USER, 8)), AIOS_ALLOW);
    assert_int_equal(verdict(r, LABELLED("any", 0, AIOS_LABEL_UNTRUSTED, 8)), AIOS_ASK);
    aios_rules_free(r);
    r = rules_of("'rule_of_two':false,'capabilities':[{'tool':'any','confidentiality':'any','results':'handle'}]");
    assert_int_equal(verdict(r, LABELLED("any", 0, AIOS_LABEL_UNTRUSTED, 8)), AIOS_ALLOW);
    assert_true(handle);
    aios_rules_free(r);
}

/* ---- delegation --------------------------------------------------------------------------------------------------- */

static void what_is_delegated_is_never_more(void **state)
{
    (void)state;
    static const char *const texts[] = {"'capabilities':[{'tool':'a'},{'tool':'b','verdict':'ask'}]", "'capabilities':[{'tool':'*','max_calls':3}]",
                                        "'default':'ask'", "'capabilities':[{'tool':'b'},{'tool':'c'}],'ask':{'budget':1,'timeout_ms':5}"};
    static const char *const tools[] = {"a", "b", "c"};
    aios_error err = AIOS_INIT(aios_error);
    for (int i = 0; i < 16; i++) {
        aios_rules *p = rules_of(texts[i / 4]), *q = rules_of(texts[i % 4]), *n;
        must(aios_rules_narrow(p, q, &n, &err), &err);
        for (int k = 0; k < 3; k++) {
            memset(n_calls, 0, sizeof n_calls);
            int a = verdict(p, ACT(tools[k], NULL)), b = verdict(q, ACT(tools[k], NULL));
            memset(n_calls, 0, sizeof n_calls);
            assert_int_equal(verdict(n, ACT(tools[k], NULL)), a > b ? a : b);
        }
        aios_rules_free(p);
        aios_rules_free(q);
        aios_rules_free(n);
    }
    aios_rules *r = rules_of(texts[0]), *next = NULL;
    int rc = 0, depth = 0;
    for (; !rc; depth++) {
        aios_rules *child = rules_of(texts[1]);
        rc = aios_rules_narrow(r, child, &next, &err);
        aios_rules_free(child);
        if (!rc) {
            aios_rules_free(r);
            r = next;
        }
    }
    assert_int_equal(rc, AIOS_ELIMIT);
    assert_int_equal(depth, 17);
    memset(n_calls, 0, sizeof n_calls);
    assert_int_equal(verdict(r, ACT("a", NULL)), AIOS_ALLOW);
    assert_int_equal(verdict(r, ACT("c", NULL)), AIOS_DENY);
    aios_rules_free(r);
}

/* ---- the text ----------------------------------------------------------------------------------------------------- */

static void what_is_wrong_is_told_by_its_place(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
        int code;
    } rows[] = {
        {"{", "line", AIOS_EFORMAT},
        {"[]", "the document must be an object", AIOS_EINVAL},
        {"{}", "/version must be 1", AIOS_EINVAL},
        {"{'version':2}", "/version is newer", AIOS_EVERSION},
        {"{'version':1,'defualt':'deny'}", "/defualt is not known here: did you mean \"default\"?", AIOS_EINVAL},
        {"{'version':1,'default':'allow'}", "/default must be one of \"ask\", \"deny\"", AIOS_EINVAL},
        {"{'version':1,'capabilities':{}}", "/capabilities must be an array", AIOS_EINVAL},
        {"{'version':1,'capabilities':[{}]}", "/capabilities/0/tool must be the name", AIOS_EINVAL},
        {"{'version':1,'capabilities':[{'tool':'a*b'}]}", "/capabilities/0/tool may have", AIOS_EINVAL},
        {"{'version':1,'capabilities':[{'tool':'a','max_call':1}]}", "/capabilities/0/max_call is not known here: did you mean \"max_calls\"?", AIOS_EINVAL},
        {"{'version':1,'capabilities':[{'tool':'a','max_calls':-1}]}", "/capabilities/0/max_calls must be a whole", AIOS_EINVAL},
        {"{'version':1,'capabilities':[{'tool':'a','max_calls':1.5}]}", "/capabilities/0/max_calls must be a whole", AIOS_EINVAL},
        {"{'version':1,'capabilities':[{'tool':'a','verdict':'yes'}]}", "/capabilities/0/verdict must be one of \"allow\", \"ask\", \"deny\"", AIOS_EINVAL},
        {"{'version':1,'capabilities':[{'tool':'a','else':'allow'}]}", "/capabilities/0/else must be one of \"ask\", \"deny\"", AIOS_EINVAL},
        {"{'version':1,'capabilities':[{'tool':'a','effect':[]}]}", "/capabilities/0/effect is empty", AIOS_EINVAL},
        {"{'version':1,'capabilities':[{'tool':'a','effect':'write'}]}", "/capabilities/0/effect must be", AIOS_EINVAL},
        {"{'version':1,'capabilities':[{'tool':'a','args':{'type':'strin'}}]}", "/capabilities/0/args: ", AIOS_ESCHEMA},
        {"{'version':1,'capabilities':[{'tool':'a','paths':{'p':{'roots':['/']}}}]}", "/capabilities/0/paths/p is no JSON pointer", AIOS_EINVAL},
        {"{'version':1,'capabilities':[{'tool':'a','paths':{'/p':{'roots':['x']}}}]}", "/capabilities/0/paths/~1p/roots/0 must be an absolute", AIOS_EINVAL},
        {"{'version':1,'capabilities':[{'tool':'a','paths':{'/p':{'roots':[]}}}]}", "/capabilities/0/paths/~1p/roots is empty", AIOS_EINVAL},
        {"{'version':1,'capabilities':[{'tool':'a','paths':{'/p':{}}}]}", "/capabilities/0/paths/~1p/roots must be an array", AIOS_EINVAL},
        {"{'version':1,'capabilities':[{'tool':'a','hosts':{'/u':['a b']}}]}", "/capabilities/0/hosts/~1u/0 has a host with", AIOS_EINVAL},
        {"{'version':1,'capabilities':[{'tool':'a','hosts':{'/u':['*.10.0.0.1']}}]}", "in front of an address", AIOS_EINVAL},
        {"{'version':1,'capabilities':[{'tool':'a','expires':'soon'}]}", "/capabilities/0/expires must be a time", AIOS_EINVAL},
        {"{'version':1,'capabilities':[{'tool':'a','confidentiality':['x']}]}", "/capabilities/0/confidentiality/0 is no class", AIOS_EINVAL},
        {"{'version':1,'capabilities':[{'tool':'a','verdict':'deny','max_calls':1}]}", "/capabilities/0/max_calls has no meaning", AIOS_EINVAL},
        {"{'version':1,'capabilities':[{'tool':'a','integrity':'high'}]}", "/capabilities/0/integrity must be one of", AIOS_EINVAL},
        {"{'version':1,'classes':{'a':64}}", "/classes/a must be a bit", AIOS_EINVAL},
        {"{'version':1,'classes':{'a':1,'b':1}}", "/classes/b has the bit", AIOS_EINVAL},
        {"{'version':1,'ask':{'budjet':1}}", "/ask/budjet is not known here: did you mean \"budget\"?", AIOS_EINVAL},
        {"{'version':1,'rule_of_two':0}", "/rule_of_two must be true or false", AIOS_EINVAL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char json[512];
        aios_error err = AIOS_INIT(aios_error);
        aios_rules *r = (aios_rules *)&err;
        snprintf(json, sizeof json, "%s", rows[i].text);
        for (char *s = json; *s; s++)
            *s = *s == '\'' ? '"' : *s;
        int rc = aios_rules_parse(ctx, json, AIOS_CSTR, &r, &err);
        if (rc != rows[i].code || !strstr(err.msg, rows[i].says) || r)
            fail_msg("%s: %d %s", rows[i].text, rc, err.msg);
    }
}

static int parse_and_ask(aios_ctx *c, aios_error *err)
{
    static const char text[] = "{\"version\":1,\"classes\":{\"a\":1},\"capabilities\":[{\"tool\":\"t\",\"args\":{\"type\":\"object\"},\"paths\":{\"/p\":{\"roots\":"
                               "[\"/tmp\"]}},\"hosts\":{\"/h\":[\"a.b\"]},\"confidentiality\":[\"a\"]}]}";
    aios_rules *r = NULL, *n = NULL;
    int rc = aios_rules_parse(c, text, AIOS_CSTR, &r, err);
    rc = rc ? rc : aios_rules_narrow(r, r, &n, err);
    aios_rules_free(r);
    aios_rules_free(n);
    return rc;
}

static void nothing_leaks_when_memory_runs_out(void **state)
{
    (void)state;
    refuse_every_allocation(parse_and_ask, 1);
}

/* ---- canonical text, capacity ------------------------------------------------------------------------------------- */

static void equal_values_have_one_text_and_one_digest(void **state)
{
    (void)state;
    aios_rules *a = rules_of("'default':'deny','capabilities':[{'tool':'a','max_calls':1}]"), *b = rules_of("'capabilities':[{'max_calls':1.0,'tool':'a'}],'default':'deny'");
    aios_rules *c = rules_of("'capabilities':[{'max_calls':2,'tool':'a'}],'default':'deny'");
    assert_string_equal(aios_rules_digest(a), aios_rules_digest(b));
    if (aios_rules_digest(a)[0])
        assert_string_not_equal(aios_rules_digest(a), aios_rules_digest(c));
    aios_rules_free(a);
    aios_rules_free(b);
    aios_rules_free(c);
}

static void capacity_is_counted_in_bits(void **state)
{
    (void)state;
    static const struct {
        const char *schema;
        double bits; /* below 0: without bound */
    } rows[] = {
        {"{'type':'boolean'}", 1}, {"{'enum':['a','b','c','d']}", 2}, {"{'const':5}", 0}, {"{'type':'null'}", 0}, {"{'type':'string'}", -1},
        {"{'type':'string','maxLength':2}", -1}, {"{'type':'integer'}", -1}, {"{'type':'integer','minimum':0,'maximum':255}", 8}, {"{'type':'number'}", -1},
        {"{'type':'integer','minimum':1152921504606846976,'maximum':1152921504606846977}", -1}, {"{}", -1}, {"true", -1},
        {"{'type':'object','properties':{'a':{'type':'boolean'},'b':{'enum':[1,2]}},'required':['a','b'],'additionalProperties':false}", 2},
        {"{'type':'object','properties':{'a':{'type':'boolean'}},'required':['a']}", -1},
        {"{'type':'object','properties':{'a':{'enum':[1,2,3]}},'additionalProperties':false}", 2},
        {"{'type':'array','items':{'type':'boolean'},'maxItems':3}", 5}, {"{'type':'array','items':{'type':'boolean'}}", -1},
        {"{'type':'boolean','$ref':'#/x'}", -1}, {"{'type':['boolean','string']}", -1}, {"{'anyOf':[{'const':1}]}", -1},
        {"{'type':'array','maxItems':0,'items':{'type':'string'}}", -1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char json[512];
        aios__json_doc *doc;
        snprintf(json, sizeof json, "%s", rows[i].schema);
        for (char *s = json; *s; s++)
            *s = *s == '\'' ? '"' : *s;
        assert_int_equal(aios__json_parse(aios__ctx_heap(ctx), json, strlen(json), &doc, NULL), 0);
        double bits = aios__schema_bits(aios__json_root(doc));
        bool within = bits <= 1e6;
        if (within != (rows[i].bits >= 0) || (within && (bits < rows[i].bits - 1e-9 || bits > rows[i].bits + 1e-9)))
            fail_msg("%s: %g", rows[i].schema, bits);
        aios__json_free(doc);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_no_capability_names_is_denied),
        cmocka_unit_test(the_strictest_of_all_that_fit_holds_whatever_their_order),
        cmocka_unit_test(arguments_are_held_to_their_schema_and_size),
        cmocka_unit_test(calls_costs_and_time_run_out),
        cmocka_unit_test(times_are_read_as_rfc_3339_has_them),
        cmocka_unit_test(urls_lead_only_to_the_hosts_that_are_listed),
        cmocka_unit_test_setup_teardown(paths_stay_in_their_roots, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(a_file_that_a_tool_could_write_is_no_policy, make_dir, remove_dir),
        cmocka_unit_test(labels_decide_what_flows_where),
        cmocka_unit_test(what_is_delegated_is_never_more),
        cmocka_unit_test(what_is_wrong_is_told_by_its_place),
        cmocka_unit_test(nothing_leaks_when_memory_runs_out),
        cmocka_unit_test(equal_values_have_one_text_and_one_digest),
        cmocka_unit_test(capacity_is_counted_in_bits),
    };
    return cmocka_run_group_tests(tests, open_ctx, close_ctx);
}
