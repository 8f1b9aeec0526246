/* SPDX-License-Identifier: Apache-2.0 */
/* What turns cost: prices that are given, and whether any are known where a bound is set. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

static bool read_prices(const char *s, aios_prices *p)
{
    double *const to[] = {&p->input, &p->output, &p->cached};
    size_t n = 0;
    for (char *end = NULL; n < 3; n++) {
        *to[n] = strtod(s, &end);
        if (end == s || (*end && *end != ','))
            return false;
        s = end + (*end == ',');
        if (!*end)
            break;
    }
    p->cached = n < 2 ? p->input : p->cached;
    return n >= 1 && n <= 2;
}

/* A recording has what its turns cost; a router in a router is looked into by nobody. */
static bool may_know(const char *uri)
{
    return uri && (!strncmp(uri, "replay:", 7) || !strncmp(uri, "record:{", 8) || cli_is_route(uri));
}

static bool has_cost(const json_t *candidate)
{
    return json_object_get(candidate, "cost") || may_know(json_string_value(json_object_get(candidate, "uri")));
}

static int fail_unknown(const char *uri)
{
    return cli_usage("--max-cost would bound nothing: no price is known for \"%.200s\": give --prices IN,OUT[,CACHED], of a million tokens%s", uri,
                     cli_is_route(uri) ? ", or \"cost\" to the candidates of its file" : "");
}

/* Of a router: its candidates without a price are told, and if all are, it is wrong. */
static int check_candidates(const cli *c, const char *uri, const json_t *doc)
{
    const json_t *list = json_object_get(doc, "candidates"), *bad = NULL;
    size_t i, n_known = 0;
    json_t *v;
    json_array_foreach(list, i, v) {
        n_known += has_cost(v);
        bad = bad || has_cost(v) ? bad : v;
    }
    if (bad && !n_known)
        return fail_unknown(uri);
    const char *name = json_string_value(json_object_get(bad, "name"));
    if (bad && !c->quiet && !c->json)
        fprintf(stderr, "note: --max-cost does not count the turns of %s: it has no \"cost\"\n", name ? name : "a candidate");
    return 0;
}

int cli_prices(const cli *c, aios_prices *out)
{
    const char *uri = cli_model_path(c);
    if (c->prices)
        return read_prices(c->prices, out) ? 0
                                           : cli_usage("--prices takes numbers: of a million tokens in, out and, if it is not that of those in, "
                                                       "cached: 0.15,0.6,0.075");
    if (!(c->max_cost > 0))
        return 0;
    if (!may_know(uri))
        return fail_unknown(uri);
    json_t *doc = cli_route_doc(uri);
    int rc = doc ? check_candidates(c, uri, doc) : 0;
    json_decref(doc);
    return rc;
}
