/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commits of a run whose host does not wait: they are on their way while the host does other things, one at a time, in order. The run waits for
 * them before an effect and before its end, and for nothing else.
 */
#include "agent/agent_priv.h"
#include "store/writer.h"

/* A commit on its way: the records are here, so that the next ones may gather meanwhile. */
struct aios__journal_flight {
    aios__late_commit late;
    aios__buf text;
    uint32_t n;
    aios_store_write few[4], *writes;
};

static bool is_late(const aios_run *r)
{
    return !r->root->patient && !r->agent->hook.prepare && aios__store_is_slow(r->agent->store);
}

static void wake(void *hub)
{
    aios__hub_wake(hub);
}

/* ---- away and back ------------------------------------------------------------------------------------------------ */

static void free_flight(aios_run *r, struct aios__journal_flight *f)
{
    if (f->writes != f->few)
        aios__free(r->heap, f->writes);
    aios__buf_free(&f->text);
    aios__free(r->heap, f);
}

static struct aios__journal_flight *make_flight(aios_run *r, aios_error *err)
{
    aios__journal *j = r->journal;
    struct aios__journal_flight *f = aios__alloc(r->heap, AIOS_MEM_OTHER, sizeof *f, err);
    if (!f)
        return NULL;
    f->n = j->n;
    f->writes = j->n > AIOS__ARRAY_LEN(f->few) ? aios__alloc_array(r->heap, AIOS_MEM_OTHER, j->n, sizeof *f->writes, err) : f->few;
    if (!f->writes) {
        aios__free(r->heap, f);
        return NULL;
    }
    aios__journal_fill(j, f->writes);
    f->late.writes = f->writes;
    f->late.n = f->n;
    f->late.tell = wake;
    f->late.user = r->hub;
    return f;
}

/* What waits goes; where there is no thread to take it, it is committed here. */
static int launch(aios_run *r, aios_error *err)
{
    aios__journal *j = r->journal;
    aios_error why = AIOS_INIT(aios_error);
    struct aios__journal_flight *f = make_flight(r, &why);
    if (!f)
        return aios__journal_lost(r, aios__nomem(&why), &why, err);
    aios__buf_init(&f->text, r->heap, AIOS_MEM_TEXT, 0);
    if (!aios__store_commit_late(r->agent->store, &f->late)) {
        free_flight(r, f);
        return aios__journal_commit(r, err);
    }
    aios__buf empty = f->text;
    f->text = j->text;
    empty.max = j->text.max;
    j->text = empty;
    j->flight = f;
    j->n = 0;
    j->urgent = j->send = false;
    return AIOS_OK;
}

/* It is over. */
static int land(aios_run *r, aios_error *err)
{
    aios__journal *j = r->journal;
    struct aios__journal_flight *f = j->flight;
    int rc = f->late.rc;
    j->flight = NULL;
    if (rc)
        aios__journal_lost(r, rc, &f->late.err, err);
    else
        j->seq += f->n;
    if (!j->text.n) { /* nothing came meanwhile: its room serves again */
        aios__buf was = j->text;
        aios__buf_clear(&f->text);
        j->text = f->text;
        f->text = was;
    }
    free_flight(r, f);
    return rc;
}

/* ---- what a run does with them ------------------------------------------------------------------------------------ */

int aios__journal_land(aios_run *r, aios_error *err)
{
    if (!r->journal || !r->journal->flight)
        return AIOS_OK;
    aios__late_wait(r->agent->store, &r->journal->flight->late);
    return land(r, err);
}

int aios__journal_pump(aios_run *r, aios_error *err)
{
    aios__journal *j = r->journal;
    if (!j || (!j->flight && !j->send))
        return AIOS_OK;
    if (j->flight && is_late(r) && !aios__journal_is_back(r))
        return AIOS_OK;
    int rc = aios__journal_land(r, err);
    if (rc || !j->send || !j->n || j->failed)
        return rc;
    return is_late(r) ? launch(r, err) : aios__journal_commit(r, err);
}

int aios__journal_send(aios_run *r, aios_error *err)
{
    aios__journal *j = r->journal;
    if (!j || !is_late(r) || j->failed)
        return aios__journal_commit(r, err);
    j->send = j->n > 0;
    return aios__journal_pump(r, err);
}

int aios__journal_settle(aios_run *r, aios_error *err)
{
    int rc = aios__journal_send(r, err);
    return rc || !r->journal || (!r->journal->flight && !r->journal->n) ? rc : AIOS_AGAIN;
}

int aios__journal_begun(aios_run *r, aios_error *err)
{
    return !r->journal || r->journal->seq ? AIOS_OK : aios__journal_settle(r, err);
}

bool aios__journal_is_back(const aios_run *r)
{
    return r->journal && r->journal->flight && atomic_load(&r->journal->flight->late.over);
}

/* ---- what waits for it -------------------------------------------------------------------------------------------- */

int aios__journal_may_begin(aios_run *r)
{
    if (r->journal->seq < r->journal->intent)
        return AIOS_AGAIN;
    r->journal->intent = 0;
    return AIOS_OK;
}

int aios__journal_sent_intent(aios_run *r, aios_error *err)
{
    aios__journal *j = r->journal;
    j->intent = j->seq + (j->flight ? j->flight->n : 0) + j->n;
    int rc = aios__journal_send(r, err);
    return rc ? rc : aios__journal_may_begin(r);
}

bool aios__journal_intends(const aios_run *r)
{
    return r->journal && r->journal->intent;
}

bool aios__journal_holds(const aios_run *r)
{
    const aios__journal *j = r->journal;
    return j && (j->intent || !j->seq) && j->flight && !aios__journal_is_back(r);
}
