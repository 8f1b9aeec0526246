/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the tmpl_*.c files: the tree of a template, its values and the state of one rendering. */
#ifndef AIOS_LIB_TMPL_PRIV_H
#define AIOS_LIB_TMPL_PRIV_H

#include "backend/gguf/template.h"
#include "backend/gguf/tmpl_unicode.h"

#define TP_MAX_DEPTH 128
#define TP_MAX_RANGE 100000

/* ---- values ---------------------------------------------------------------------------------------------------- */

enum {
    T_UNDEF, T_NONE, T_BOOL, T_INT, T_REAL, T_STR, T_LIST, T_TUPLE, T_DICT, T_RANGE, T_VIEW, T_GEN, T_NS, T_LOOP, T_MACRO, T_FUNC,
    T_METHOD, T_CYCLER, T_JOINER, T_ABSENT
};
#define TBIT(t) (1u << (t))
enum { UNDEF_NAME = 0, UNDEF_HINT = 1, UNDEF_ATTR = 2 }; /* sub of T_UNDEF; ATTR + type of the object */

struct tp_list;
struct tp_dict;
typedef struct tp_range { int64_t start, stop, step, n; } tp_range;

typedef struct tp_val {
    uint8_t t, sub; /* sub: 1 marks markup (T_STR), 'k' 'v' 'i' (T_VIEW) */
    uint32_t n;     /* bytes of s */
    union {
        int64_t i;
        double d;
        const char *s;
        struct tp_list *l;
        struct tp_dict *m;
        const tp_range *r;
        struct tp_loop *loop;
        struct tp_macro *macro;
        struct tp_bound *bound;
        const struct tp_fn *fn;
    } u;
} tp_val;

/* src: a JSON array that is read on first use. Generators are lists with a cursor. */
typedef struct tp_list { uint32_t n, cap, pos; tp_val *v; const aios__json *src; const char *what; bool group; } tp_list;
typedef struct tp_dict { uint32_t n, cap, slots; tp_val *k, *v; uint32_t *idx; const aios__json *src; } tp_dict;

typedef struct tp_kw { tp_val name, v; } tp_kw;
typedef struct tp_args { uint32_t n, nkw, cap, capkw; tp_val *v; tp_kw *kw; } tp_args;

#define TP_ARGV 8
struct tp;
typedef struct tp_call { tp_val self; tp_val a[TP_ARGV]; const tp_args *raw; const struct tp_fn *fn; } tp_call;
typedef int tp_fn_t(struct tp *s, tp_call *c, tp_val *out);
/* One builtin. params: names in order, separated by commas; those from the `|` on take no keyword; NULL: fn reads c->raw. */
typedef struct tp_fn { const char *name; tp_fn_t *fn; uint32_t min; const char *params; uint32_t arg; } tp_fn;
typedef struct tp_bound { tp_val self; const tp_fn *fn; } tp_bound;

/* ---- tree ------------------------------------------------------------------------------------------------------- */

enum {
    N_CONST, N_NAME, N_LIST, N_TUPLE, N_DICT, N_PAIR, N_COND, N_AND, N_OR, N_NOT, N_NEG, N_POS, N_COMPARE, N_OPERAND, N_MATH, N_CONCAT,
    N_CHAIN, N_ATTR, N_ITEM, N_SLICE, N_CALL, N_FILTER, N_TEST, N_ARG, N_KWARG, N_STAR, N_STARSTAR, N_NSREF,
    N_DATA, N_PRINT, N_IF, N_BRANCH, N_FOR, N_SET, N_SETBLOCK, N_MACRO, N_PARAM, N_CALLBLOCK, N_FILTERBLOCK, N_WITH, N_BIND, N_SCOPE,
    N_BREAK, N_CONTINUE
};
enum { OP_ADD = 1, OP_SUB, OP_MUL, OP_DIV, OP_FLOORDIV, OP_MOD, OP_POW, OP_EQ, OP_NE, OP_LT, OP_LE, OP_GT, OP_GE, OP_IN, OP_NOTIN };
enum { USES_CALLER = 1, USES_VARARGS = 2, USES_KWARGS = 4 };

/* Children are indices into the array of nodes; 0 is none. */
typedef struct tp_node { uint8_t k, op; uint32_t pos, a, b, c, next, sym; tp_val v; const tp_fn *fn; } tp_node;
typedef struct tp_sym { const char *s; uint32_t n; bool read; } tp_sym;

typedef struct tp_chunk { struct tp_chunk *next; size_t n, used; } tp_chunk;
typedef struct tp_arena { aios__heap *heap; tp_chunk *head; size_t total, max, last_n; const char *last; } tp_arena; /* last: the string that can grow in place */

struct aios__template {
    tp_arena arena;
    char *src;
    size_t n;
    tp_node *nodes;
    uint32_t n_nodes, cap_nodes;
    tp_sym *syms;
    uint32_t n_syms, cap_syms, body;
};

/* ---- one compilation or rendering --------------------------------------------------------------------------------- */

typedef struct tp_var { uint32_t sym; tp_val v; } tp_var;
typedef struct tp_scope { struct tp_scope *parent; tp_var *v; uint32_t n, cap; bool captured; } tp_scope;
typedef struct tp_loop {
    tp_val *items, changed;
    uint32_t n, i, depth0, node;
    tp_scope *scope;
} tp_loop;
typedef struct tp_macro { uint32_t node; tp_scope *scope; tp_val name; } tp_macro;

typedef struct tp {
    const aios__template *t;
    aios__template *made; /* while compiling */
    tp_arena *arena, own;
    const aios__json *vars;
    tp_val *globals;      /* by symbol; T_ABSENT until looked up */
    tp_scope *scope;
    aios__buf *out, cap;
    size_t out_base, out_max;
    uint32_t capturing, depth, max_depth, pos;
    uint64_t fuel;
    int64_t now_us;
    aios_error *err, local_err;
    int rc;
} tp;

/* tmpl_value.c */
void *tp_alloc(tp *s, size_t n);
void tp_arena_free(tp_arena *a);
int tp_fail(tp *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int tp_limit(tp *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int tp_burn(tp *s, uint64_t steps);
int tp_burn_bytes(tp *s, uint64_t bytes);
tp_val tp_str(const char *p, size_t n);
tp_val tp_cstr(const char *p);
tp_val tp_int(int64_t i);
tp_val tp_real(double d);
tp_val tp_bool(bool b);
tp_val tp_none(void);
tp_val tp_undef(uint8_t sub, const char *p, size_t n);
int tp_copy(tp *s, const char *p, size_t n, tp_val *out);
int tp_list_new(tp *s, uint8_t t, uint32_t cap, tp_val *out);
int tp_list_add(tp *s, tp_list *l, tp_val v);
int tp_list_load(tp *s, tp_list *l);
int tp_dict_new(tp *s, uint8_t t, uint32_t cap, tp_val *out);
int tp_dict_load(tp *s, tp_dict *m);
int tp_dict_set(tp *s, tp_dict *m, tp_val k, tp_val v);
int tp_dict_find(tp *s, tp_dict *m, tp_val k, tp_val **v);
tp_val tp_from_json(tp *s, const aios__json *j, int *rc);
const char *tp_type(tp_val v);
int tp_truth(tp *s, tp_val v, bool *out);
int tp_len(tp *s, tp_val v, int64_t *n);
bool tp_has_len(tp_val v);
bool tp_iterable(tp_val v);
int tp_items(tp *s, tp_val v, tp_val **items, uint32_t *n);
int tp_undefined(tp *s, tp_val v);
static inline bool tp_is(tp_val v, uint32_t bits) { return (TBIT(v.t) & bits) != 0; }
static inline bool tp_numeric(tp_val v) { return tp_is(v, TBIT(T_INT) | TBIT(T_REAL) | TBIT(T_BOOL)); }
static inline bool tp_integral(tp_val v) { return tp_is(v, TBIT(T_INT) | TBIT(T_BOOL)); }
static inline double tp_num(tp_val v) { return v.t == T_REAL ? v.u.d : (double)v.u.i; }

/* tmpl_compare.c */
int tp_equal(tp *s, tp_val a, tp_val b, bool *out);
int tp_order(tp *s, tp_val a, tp_val b, int *out);
int tp_compare(tp *s, uint8_t op, tp_val a, tp_val b, bool *out);
int tp_contains(tp *s, tp_val hay, tp_val x, bool *out);
int tp_sort(tp *s, tp_val *v, tp_val *key, uint32_t n, bool reverse);

/* tmpl_text.c */
int tp_to_str(tp *s, tp_val v, tp_val *out);
int tp_repr(tp *s, tp_val v, tp_val *out);
int tp_print(tp *s, tp_val v, aios__buf *b);
size_t tp_real_text(double d, char *out);
int tp_buf_rc(tp *s, int rc);
int tp_buf_val(tp *s, aios__buf *b, tp_val *out);

/* tmpl_json.c */
int tp_json_filter(tp *s, tp_call *c, tp_val *out);

/* tmpl_ops.c */
int tp_math(tp *s, uint8_t op, tp_val a, tp_val b, tp_val *out);
int tp_unary(tp *s, uint8_t k, tp_val a, tp_val *out);
int tp_attr(tp *s, tp_val obj, tp_val name, tp_val *out);
int tp_item(tp *s, tp_val obj, tp_val key, tp_val *out);
int tp_slice(tp *s, tp_val obj, tp_val a, tp_val b, tp_val step, tp_val *out);
int tp_escape(tp *s, tp_val v, tp_val *out);

/* tmpl_lex.c, tmpl_parse.c, tmpl_expr.c */
struct tp_parser;
int tp_compile(tp *s);

/* tmpl_eval.c, tmpl_exec.c, tmpl_call.c */
int tp_eval(tp *s, uint32_t node, tp_val *out);
int tp_exec(tp *s, uint32_t node);
int tp_emit(tp *s, const char *p, size_t n);
int tp_capture_end(tp *s, size_t mark, tp_val *out);
size_t tp_capture_begin(tp *s);
tp_scope *tp_scope_push(tp *s);
int tp_scope_set(tp *s, uint32_t sym, tp_val v);
int tp_enter(tp *s);
void tp_leave(tp *s);
int tp_call_args(tp *s, uint32_t first, tp_args *a);
int tp_args_add(tp *s, tp_args *a, tp_val v);
int tp_args_kw(tp *s, tp_args *a, tp_val name, tp_val v);
int tp_call_value(tp *s, tp_val f, const tp_args *a, tp_val *out);
int tp_call_fn(tp *s, const tp_fn *fn, tp_val self, const tp_args *a, tp_val *out);
int tp_call_macro(tp *s, tp_macro *m, const tp_args *a, tp_val *out);
int tp_loop_run(tp *s, uint32_t node, tp_val iter, uint32_t depth0, tp_scope *outer);
tp_macro *tp_macro_new(tp *s, uint32_t node);

/* tmpl_filters.c, tmpl_seqfilters.c, tmpl_tests.c, tmpl_strings.c, tmpl_methods.c, tmpl_format.c, tmpl_globals.c */
const tp_fn *tp_filter_find(const char *p, size_t n);
const tp_fn *tp_test_find(const char *p, size_t n);
const tp_fn *tp_method_find(tp_val obj, const char *p, size_t n);
const tp_fn *tp_global_find(const char *p, size_t n);
const tp_fn *tp_table_find(const tp_fn *t, size_t count, const char *p, size_t n);
extern const tp_fn tp_seq_filters[];
extern const size_t tp_n_seq_filters;
extern const tp_fn tp_str_methods[];
extern const size_t tp_n_str_methods;
extern const tp_fn tp_globals_table[];
int tp_percent(tp *s, tp_val fmt, tp_val args, tp_val *out);
int tp_format_method(tp *s, tp_call *c, tp_val *out);
int tp_loop_attr(tp *s, tp_loop *l, tp_val name, tp_val *out);
int tp_path_get(tp *s, tp_val item, tp_val path, tp_val *out);
int tp_int_arg(tp *s, tp_val v, const char *what, int64_t *out);
int tp_parse_int(const char *p, size_t n, int base, int64_t *out);
int tp_parse_real(const char *p, size_t n, double *out);
int tp_to_int(tp *s, tp_val v, tp_val *out);

/* tmpl_chars.c */
bool tp_cp_is(uint32_t cp, int cls);
size_t tp_cp_case(uint32_t cp, int which, char out[16]);
size_t tp_utf8_len(const char *p, size_t n);
size_t tp_utf8_off(const char *p, size_t n, size_t cps);
size_t tp_step(const char *p, size_t n, uint32_t *cp); /* at least 1 byte */
size_t tp_lspace(const char *p, size_t n);             /* bytes of leading white space */
size_t tp_rspace(const char *p, size_t n);             /* bytes without the trailing white space */

#define TP_TRY(x) do { int rc_ = (x); if (rc_) return rc_; } while (0)

#endif
