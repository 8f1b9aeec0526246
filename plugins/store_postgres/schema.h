/* SPDX-License-Identifier: Apache-2.0 */
/* Tables and functions in the database, format 1. A commit is one call, so one round trip and one transaction. */
#ifndef AIOS_STORE_POSTGRES_SCHEMA_H
#define AIOS_STORE_POSTGRES_SCHEMA_H

#define PG_FORMAT 1
/* Of a write whose number is another's: message = its place among the writes, detail = the next number. */
#define PG_CONFLICT "AI001"

static const char pg_schema[] =
    "create table aios_meta (format int not null);\n"
    "insert into aios_meta values (1);\n"
    "create table aios_stream (id bigint generated always as identity primary key, name text collate \"C\" not null unique,"
    " first bigint not null, head bigint not null, written_us bigint not null);\n"
    "create table aios_record (stream bigint not null references aios_stream on delete cascade, seq bigint not null, wall_us bigint not null,"
    " kind bigint not null, data bytea not null, primary key (stream, seq));\n"
    /* Uncompressed, so that a length is known without reading what it is of. */
    "alter table aios_record alter column data set storage external;\n"
    "create sequence aios_epoch;\n"
    "create table aios_claim (name text collate \"C\" primary key, epoch bigint not null, holder text not null,"
    " since timestamptz not null, until timestamptz not null);\n"

    /* Streams are locked in the order of their names, so that two commits never wait for each other; again where a removal came between. */
    "create function aios_commit(p_names text[], p_wants bigint[], p_kinds bigint[], p_flags int[], p_data bytea[], p_wall bigint)"
    " returns bigint[] language plpgsql as $$\n"
    "declare n text; ids bigint[]; seqs bigint[]; bad record;\n"
    "begin\n"
    "  for n in select distinct u.name collate \"C\" from unnest(p_names) u(name) order by 1 loop\n"
    "    loop\n"
    "      perform 1 from aios_stream s where s.name = n for no key update;\n"
    "      exit when found;\n"
    "      insert into aios_stream (name, first, head, written_us) values (n, 1, 0, p_wall) on conflict (name) do nothing;\n"
    "      insert into aios_claim as c values (n, 0, '', '-infinity', '-infinity') on conflict (name) do update set until = c.until;\n"
    "    end loop;\n"
    "  end loop;\n"
    "  select array_agg(s.id order by w.ord), array_agg(s.head + w.k order by w.ord) into ids, seqs\n"
    "    from (select x.name, x.ord, row_number() over (partition by x.name order by x.ord) k from unnest(p_names) with ordinality x(name, ord)) w\n"
    "    join aios_stream s on s.name = w.name;\n"
    "  select w.ord, w.seq into bad from unnest(p_wants, seqs) with ordinality w(want, seq, ord)\n"
    "    where w.want <> 0 and w.want <> w.seq order by w.ord limit 1;\n"
    "  if found then\n"
    "    raise exception using errcode = '" PG_CONFLICT "', message = (bad.ord - 1)::text, detail = bad.seq::text;\n"
    "  end if;\n"
    "  delete from aios_record r using unnest(ids, p_flags) f(id, flag) where r.stream = f.id and f.flag & 1 = 1;\n"
    "  update aios_stream s set head = f.head, first = coalesce(f.first, s.first), written_us = p_wall\n"
    "    from (select w.id, max(w.seq) head, max(w.seq) filter (where w.flag & 1 = 1) first from unnest(ids, seqs, p_flags) w(id, seq, flag)"
    " group by w.id) f where s.id = f.id;\n"
    "  insert into aios_record select w.id, w.seq, p_wall, w.kind, w.data from unnest(ids, seqs, p_kinds, p_data) w(id, seq, kind, data)\n"
    "    join aios_stream s on s.id = w.id where w.seq >= s.first;\n"
    "  return seqs;\n"
    "end $$;\n"

    /* Of what is claimed already the holder and since when. Names below a prefix p are those in [p, p~): no name has a byte above 'z'. */
    "create function aios_claim_take(p_name text, p_any boolean, p_ttl_us bigint, p_holder text, out r_name text, out r_epoch bigint,"
    " out r_holder text, out r_since text) language plpgsql as $$\n"
    "begin\n"
    "  r_name := p_name;\n"
    "  if p_any then\n"
    "    select c.name into r_name from aios_claim c join aios_stream s on s.name = c.name\n"
    "      where c.name >= p_name and c.name < p_name || '~' and c.until <= clock_timestamp() order by s.id limit 1 for update of c skip locked;\n"
    "    if not found then r_name := null; return; end if;\n"
    "  end if;\n"
    "  insert into aios_claim as c values (r_name, nextval('aios_epoch'), p_holder, clock_timestamp(),"
    " clock_timestamp() + p_ttl_us * interval '1 microsecond')\n"
    "    on conflict (name) do update set epoch = excluded.epoch, holder = excluded.holder, since = excluded.since, until = excluded.until\n"
    "    where c.until <= clock_timestamp() returning c.epoch into r_epoch;\n"
    "  if not found then\n"
    "    select c.holder, to_char(c.since at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS') into r_holder, r_since from aios_claim c where c.name = r_name;\n"
    "  end if;\n"
    "end $$;\n"

    /* A stream that is there keeps its row, by which those who take any find it; the commit that makes one holds the row meanwhile. */
    "create function aios_claim_free(p_name text, p_epoch bigint) returns boolean language plpgsql as $$\n"
    "begin\n"
    "  update aios_claim set until = '-infinity' where name = p_name and epoch = p_epoch;\n"
    "  if not found then return false; end if;\n"
    "  delete from aios_claim c where c.name = p_name and c.epoch = p_epoch and not exists (select from aios_stream s where s.name = p_name);\n"
    "  return true;\n"
    "end $$;\n";

#endif
