/* SPDX-License-Identifier: Apache-2.0 */
/* Values that the model speaks of without seeing them: $v1, $v2 ... They live as long as their run. */
#include <stdio.h>

#include "agent/agent_priv.h"

bool aios__value_due(const aios__run_call *c, int32_t status)
{
    return c->gate.handle && !c->gate.ours && (status || c->call->label.integrity == AIOS_LABEL_UNTRUSTED);
}

int aios__value_add(aios_run *r, const char *s, size_t n, aios_label label, aios_error *err)
{
    aios__gate *g = &r->gate;
    aios__value *p = aios__realloc(r->heap, AIOS_MEM_OTHER, g->values, (g->n_values + 1) * sizeof *p, err);
    if (!p)
        return aios__nomem(err);
    g->values = p;
    char *text = aios__strndup(r->heap, AIOS_MEM_TEXT, s, n, err);
    if (!text)
        return aios__nomem(err);
    p[g->n_values++] = (aios__value){text, n, label};
    return AIOS_OK;
}

static void drop_last(aios_run *r)
{
    aios__free(r->heap, r->gate.values[--r->gate.n_values].text);
}

int aios__value_keep(aios_run *r, const aios__run_call *c, int32_t status, const char *s, size_t n, aios__buf *out, aios_error *err)
{
    aios_label label = {.integrity = AIOS_LABEL_UNTRUSTED, .confidentiality = c->call->label.confidentiality};
    int rc = aios__value_add(r, s, n, label, err);
    if (rc)
        return rc;
    if (status)
        aios__buf_addf(out, err, "error: %s: ", aios_strerror(status));
    rc = aios__buf_addf(out, err, "$v%u (text, %zu bytes, from %s)", r->gate.n_values, n, c->call->name);
    if (rc) /* handles have no gap: a journal tells the next by its number */
        drop_last(r);
    return rc;
}

const aios__value *aios__value_find(const aios_run *r, const char *handle, size_t n)
{
    uint32_t at = 0;
    if (n < 3 || n > 9 || handle[0] != '$' || handle[1] != 'v' || handle[2] == '0')
        return NULL;
    for (size_t i = 2; i < n; i++) {
        if (handle[i] < '0' || handle[i] > '9')
            return NULL;
        at = at * 10 + (uint32_t)(handle[i] - '0');
    }
    return at <= r->gate.n_values ? &r->gate.values[at - 1] : NULL;
}

int aios_run_value(const aios_run *r, const char *handle, const char **text, size_t *n, aios_label *label)
{
    if (!r || !handle || !text || !n)
        return AIOS_EINVAL;
    const aios__value *v = aios__value_find(r, handle, strlen(handle));
    if (!v)
        return AIOS_ENOENT;
    *text = v->text;
    *n = v->n;
    if (label)
        *label = v->label;
    return AIOS_OK;
}
