/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <locale.h>

#include "backend/gguf/template.h"

static int render(aios_ctx *ctx, const char *src, const char *vars, aios__buf *out, aios_error *err)
{
    aios__heap *h = aios__ctx_heap(ctx);
    aios__template *t;
    aios__json_doc *doc;
    int rc = aios__json_parse(h, vars, strlen(vars), &doc, err);
    if (rc)
        return rc;
    rc = aios__template_new(h, src, strlen(src), &t, err);
    if (!rc)
        rc = aios__template_render(t, aios__json_root(doc), NULL, 0, out, err);
    if (t)
        aios__template_free(t);
    aios__json_free(doc);
    return rc;
}

static const char *const vars = "{\"s\":\"Stra\\u00dfe\",\"l\":[3,1,2],\"d\":{\"b\":1,\"a\":[true,null,2.5]},"
                                "\"m\":[{\"role\":\"user\",\"content\":\"hi\"},{\"role\":\"assistant\",\"content\":\"it's\"}]}";

static void check(const char *src, const char *want)
{
    aios_ctx *ctx = test_ctx(NULL, 0);
    aios_error err = AIOS_INIT(aios_error);
    aios__buf out;
    aios__buf_init(&out, aios__ctx_heap(ctx), AIOS_MEM_TEXT, 0);
    if (render(ctx, src, vars, &out, &err))
        fail_msg("%s: %s", src, err.msg);
    assert_string_equal(out.p ? out.p : "", want);
    aios__buf_free(&out);
    aios_ctx_free(ctx);
}

static void refuse(const char *src, int code, const char *part)
{
    aios_ctx *ctx = test_ctx(NULL, 0);
    aios_error err = AIOS_INIT(aios_error);
    aios__buf out;
    aios__buf_init(&out, aios__ctx_heap(ctx), AIOS_MEM_TEXT, 0);
    int rc = render(ctx, src, vars, &out, &err);
    if (rc != code || !strstr(err.msg, part))
        fail_msg("%s: rc %d, %s", src, rc, err.msg);
    aios__buf_free(&out);
    aios_ctx_free(ctx);
}

static void expressions_have_the_values_of_python(void **state)
{
    (void)state;
    check("{{ -7 // 2 }} {{ -7 % 3 }} {{ 7 / 2 }} {{ 2 ** 10 }} {{ 1e16 }} {{ 0.1 + 0.2 }}", "-4 2 3.5 1024 1e+16 0.30000000000000004");
    check("{{ 1 < 2 <= 2 != 3 }} {{ 'a' in 'cat' }} {{ 4 not in l }} {{ not l }} {{ 1 == True }}", "True True True False True");
    check("{{ s|length }} {{ s[::-1] }} {{ s[-2:] }} {{ s|upper }} {{ l[5] }}|{{ nope }}", "6 e\xc3\x9f" "artS \xc3\x9f" "e STRASSE |");
    check("{{ [true, none, 'it\\'s', 1.0, (1,)] }} {{ d }}", "[True, None, \"it's\", 1.0, (1,)] {'b': 1, 'a': [True, None, 2.5]}");
    check("{{ 'x' * 3 ~ 1 }} {{ l + [4] }} {{ 'a' if l else 'b' }} {{ d.items() }}", "xxx1 [3, 1, 2, 4] a dict_items([('b', 1), ('a', [True, None, 2.5])])");
    check("{{ '%05.1f|%-4s|%x' % (2.55, 'a', 255) }} {{ '{0:>5}{n:03d}'.format('q', n=7) }}", "002.5|a   |ff     q007");
    check("{{ d.__class__ }}{{ s.__init__ }}", "");
}

static void numbers_have_a_point_also_where_the_host_writes_a_comma(void **state)
{
    (void)state;
    if (!setlocale(LC_NUMERIC, "de_DE.UTF-8") && !setlocale(LC_NUMERIC, "fr_FR.UTF-8"))
        skip();
    check("{{ 0.1 + 0.2 }} {{ 1e16 }} {{ 1.5 > 1.2 }} {{ '%.2f' % 2.5 }} {{ '1.25'|float }} {{ [2.5]|tojson }} {{ 2.345|round(2) }}",
          "0.30000000000000004 1e+16 True 2.50 1.25 [2.5] 2.35");
    setlocale(LC_NUMERIC, "C");
}

static void filters_and_tests_agree_with_jinja(void **state)
{
    (void)state;
    check("{{ d|tojson }} {{ d|tojson(indent=1) }}", "{\"b\": 1, \"a\": [true, null, 2.5]} {\n \"b\": 1,\n \"a\": [\n  true,\n  null,\n  2.5\n ]\n}");
    check("{{ l|sort }} {{ l|sum }} {{ l|max }} {{ d|dictsort }} {{ m|map(attribute='role')|join('+') }}",
          "[1, 2, 3] 6 3 [('a', [True, None, 2.5]), ('b', 1)] user+assistant");
    check("{{ m|selectattr('role', 'equalto', 'user')|list|length }} {{ '  x '|trim }} {{ nope|default('d') }}", "1 x d");
    check("{{ 1 is defined }} {{ d is mapping }} {{ l is sequence }} {{ nope is undefined }} {{ 3 is odd }} {{ s is string }}",
          "True True True True True True");
}

static void statements_follow_the_rules_of_scopes_and_white_space(void **state)
{
    (void)state;
    check("{% for x in m %}\n  {{- loop.index }}{{ x.role }}{{ ', ' if not loop.last }}\n{%- endfor %}", "1user, 2assistant");
    check("{% set x = 1 %}{% for q in l %}{% set x = q %}{% endfor %}{{ x }}", "1");
    check("{% set ns = namespace(n=0) %}{% for q in l if q > 1 %}{% set ns.n = ns.n + q %}{% endfor %}{{ ns.n }}", "5");
    check("{% macro f(a, b=2) %}{{ a }}{{ b }}{{ caller() if caller }}{% endmacro %}{{ f(1) }}{% call f(3, b=4) %}!{% endcall %}", "1234!");
    check("{% for x in range(9) %}{% if x == 1 %}{% continue %}{% elif x == 3 %}{% break %}{% endif %}{{ x }}{% else %}no{% endfor %}", "02");
    check("  {% if true %}\na\n  {% endif %}\nb{# c #}\n", "a\nb");
    check("{% raw %}{{ x }}{% endraw %}{% filter upper %}q{% endfilter %}{% set b %}z{% endset %}{{ b }}{% generation %}g{% endgeneration %}", "{{ x }}Qzg");
}

static void mistakes_are_told_with_their_place(void **state)
{
    (void)state;
    refuse("a\n{{ 1 + }}", AIOS_ETEMPLATE, "line 2 column 8");
    refuse("{% if x %}", AIOS_ETEMPLATE, "elif");
    refuse("{{ nope.x }}", AIOS_ETEMPLATE, "'nope' is undefined");
    refuse("{{ d.update({}) }}", AIOS_ETEMPLATE, "unsafe");
    refuse("{{ l.append(1) }}", AIOS_ETEMPLATE, "unsafe");
    refuse("{{ raise_exception('Roles must alternate') }}", AIOS_ETEMPLATE, "Roles must alternate");
    refuse("{{ lipsum() }}", AIOS_ETEMPLATE, "lipsum");
    refuse("{{ 'a' + 1 }}", AIOS_ETEMPLATE, "unsupported operand");
}

static void every_runaway_ends_at_a_limit(void **state)
{
    (void)state;
    refuse("{% for x in range(1000000000) %}{% endfor %}", AIOS_ELIMIT, "range");
    refuse("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", AIOS_ELIMIT, "steps");
    refuse("{{ 'x' * 1000000000 }}", AIOS_ELIMIT, "larger");
    refuse("{% set s = 'a' * 200000 %}{% set t = 'a' * 100000 + 'b' %}{{ s.rfind(t) }}", AIOS_ELIMIT, "steps");
    refuse("{% set s = 'a' * 200000 %}{% set t = 'a' * 100000 + 'b' %}{{ s.rindex(t) }}", AIOS_ELIMIT, "steps");
    refuse("{% set s = 'a' * 200000 %}{% set t = 'a' * 100000 + 'b' %}{{ s.rsplit(t) }}", AIOS_ELIMIT, "steps");
    refuse("{% set s = 'a' * 200000 %}{% set t = 'a' * 100000 + 'b' %}{{ s.rpartition(t) }}", AIOS_ELIMIT, "steps");
    refuse("{{ 9 ** 999999 }}", AIOS_ELIMIT, "64 bits");
    refuse("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", AIOS_ELIMIT, "nested");
    refuse("{% set ns = namespace(s='xxxxxxxx') %}{% for i in range(99) %}{% set ns.s = ns.s + ns.s %}{% endfor %}", AIOS_ELIMIT, "");
    refuse("{% set ns = namespace() %}{% set ns.a = ns %}{{ ns }}", AIOS_ELIMIT, "nested");
    char deep[20032];
    memcpy(deep, "{{", 2);
    memset(deep + 2, '(', 10000);
    memset(deep + 10002, ')', 10000);
    memcpy(deep + 20002, "}}", 3);
    refuse(deep, AIOS_ELIMIT, "nested");
}

static void the_globals_it_reads_are_known(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    aios__template *t;
    const char *src = "{% set out = 1 %}{% if tools %}{{ messages[0].role }}{% endif %}";
    assert_int_equal(aios__template_new(aios__ctx_heap(ctx), src, strlen(src), &t, NULL), 0);
    assert_true(aios__template_uses(t, "tools"));
    assert_true(aios__template_uses(t, "messages"));
    assert_false(aios__template_uses(t, "out"));
    assert_false(aios__template_uses(t, "role"));
    aios__template_free(t);
    aios_ctx_free(ctx);
}

static int render_all(aios_ctx *c, aios_error *err)
{
    const char *src = "{% macro f(a) %}{{ a|upper }}{% endmacro %}{% for x in m|sort(attribute='role') %}{{ f(x.role) ~ '%s' % d }}{{ d|tojson(indent=2) }}"
                      "{% endfor %}{{ 'x' * 40000 }}{{ d.items()|list }}{{ '{}'.format(l) }}";
    aios__buf out;
    aios__buf_init(&out, aios__ctx_heap(c), AIOS_MEM_TEXT, 0);
    int rc = render(c, src, vars, &out, err);
    aios__buf_free(&out);
    return rc;
}

static void no_failing_allocation_leaks_or_crashes(void **state)
{
    (void)state;
    refuse_every_allocation(render_all, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(expressions_have_the_values_of_python),
        cmocka_unit_test(numbers_have_a_point_also_where_the_host_writes_a_comma),
        cmocka_unit_test(filters_and_tests_agree_with_jinja),
        cmocka_unit_test(statements_follow_the_rules_of_scopes_and_white_space),
        cmocka_unit_test(mistakes_are_told_with_their_place),
        cmocka_unit_test(every_runaway_ends_at_a_limit),
        cmocka_unit_test(the_globals_it_reads_are_known),
        cmocka_unit_test(no_failing_allocation_leaks_or_crashes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
