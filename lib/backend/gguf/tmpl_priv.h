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

struct aios__tp_list;
struct aios__tp_dict;
typedef struct aios__tp_range { int64_t start, stop, step, n; } aios__tp_range;

typedef struct aios__tp_val {
    uint8_t t, sub; /* sub: 1 marks markup (T_STR), 'k' 'v' 'i' (T_VIEW) */
    uint32_t n;     /* bytes of s */
    union {
        int64_t i;
        double d;
        const char *s;
        struct aios__tp_list *l;
        struct aios__tp_dict *m;
        const aios__tp_range *r;
        struct aios__tp_loop *loop;
        struct aios__tp_macro *macro;
        struct aios__tp_bound *bound;
        const struct aios__tp_fn *fn;
    } u;
} aios__tp_val;

/* src: a JSON array that is read on first use. Generators are lists with a cursor. */
typedef struct aios__tp_list { uint32_t n, cap, pos; aios__tp_val *v; const aios__json *src; const char *what; bool group; } aios__tp_list;
typedef struct aios__tp_dict { uint32_t n, cap, slots; aios__tp_val *k, *v; uint32_t *idx; const aios__json *src; } aios__tp_dict;

typedef struct aios__tp_kw { aios__tp_val name, v; } aios__tp_kw;
typedef struct aios__tp_args { uint32_t n, nkw, cap, capkw; aios__tp_val *v; aios__tp_kw *kw; } aios__tp_args;

#define TP_ARGV 8
struct tp;
typedef struct aios__tp_call { aios__tp_val self; aios__tp_val a[TP_ARGV]; const aios__tp_args *raw; const struct aios__tp_fn *fn; } aios__tp_call;
typedef int aios__tp_fn_t(struct tp *s, aios__tp_call *c, aios__tp_val *out);
/* One builtin. params: names in order, separated by commas; those from the `|` on take no keyword; NULL: fn reads c->raw. */
typedef struct aios__tp_fn { const char *name; aios__tp_fn_t *fn; uint32_t min; const char *params; uint32_t arg; } aios__tp_fn;
typedef struct aios__tp_bound { aios__tp_val self; const aios__tp_fn *fn; } aios__tp_bound;

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
typedef struct aios__tp_node { uint8_t k, op; uint32_t pos, a, b, c, next, sym; aios__tp_val v; const aios__tp_fn *fn; } aios__tp_node;
typedef struct aios__tp_sym { const char *s; uint32_t n; bool read; } aios__tp_sym;

typedef struct aios__tp_chunk { struct aios__tp_chunk *next; size_t n, used; } aios__tp_chunk;
typedef struct aios__tp_arena { aios__heap *heap; aios__tp_chunk *head; size_t total, max, last_n; const char *last; } aios__tp_arena; /* last: the string that can grow in place */

struct aios__template {
    aios__tp_arena arena;
    char *src;
    size_t n;
    aios__tp_node *nodes;
    uint32_t n_nodes, cap_nodes;
    aios__tp_sym *syms;
    uint32_t n_syms, cap_syms, body;
};

/* ---- one compilation or rendering --------------------------------------------------------------------------------- */

typedef struct aios__tp_var { uint32_t sym; aios__tp_val v; } aios__tp_var;
typedef struct aios__tp_scope { struct aios__tp_scope *parent; aios__tp_var *v; uint32_t n, cap; bool captured; } aios__tp_scope;
typedef struct aios__tp_loop {
    aios__tp_val *items, changed;
    uint32_t n, i, depth0, node;
    aios__tp_scope *scope;
} aios__tp_loop;
typedef struct aios__tp_macro { uint32_t node; aios__tp_scope *scope; aios__tp_val name; } aios__tp_macro;

typedef struct tp {
    const aios__template *t;
    aios__template *made; /* while compiling */
    aios__tp_arena *arena, own;
    const aios__json *vars;
    aios__tp_val *globals;      /* by symbol; T_ABSENT until looked up */
    aios__tp_scope *scope;
    aios__buf *out, cap;
    size_t out_base, out_max;
    uint32_t capturing, depth, max_depth, pos;
    uint64_t fuel;
    int64_t now_us;
    aios_error *err, local_err;
    int rc;
} tp;

/* tmpl_value.c */
void *aios__tp_alloc(tp *s, size_t n);
void aios__tp_arena_free(aios__tp_arena *a);
int aios__tp_fail(tp *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int aios__tp_limit(tp *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int aios__tp_burn(tp *s, uint64_t steps);
int aios__tp_burn_bytes(tp *s, uint64_t bytes);
aios__tp_val aios__tp_str(const char *p, size_t n);
aios__tp_val aios__tp_cstr(const char *p);
aios__tp_val aios__tp_int(int64_t i);
aios__tp_val aios__tp_real(double d);
aios__tp_val aios__tp_bool(bool b);
aios__tp_val aios__tp_none(void);
aios__tp_val aios__tp_undef(uint8_t sub, const char *p, size_t n);
int aios__tp_copy(tp *s, const char *p, size_t n, aios__tp_val *out);
int aios__tp_list_new(tp *s, uint8_t t, uint32_t cap, aios__tp_val *out);
int aios__tp_list_add(tp *s, aios__tp_list *l, aios__tp_val v);
int aios__tp_list_load(tp *s, aios__tp_list *l);
int aios__tp_dict_new(tp *s, uint8_t t, uint32_t cap, aios__tp_val *out);
int aios__tp_dict_load(tp *s, aios__tp_dict *m);
int aios__tp_dict_set(tp *s, aios__tp_dict *m, aios__tp_val k, aios__tp_val v);
int aios__tp_dict_find(tp *s, aios__tp_dict *m, aios__tp_val k, aios__tp_val **v);
aios__tp_val aios__tp_from_json(tp *s, const aios__json *j, int *rc);
const char *aios__tp_type(aios__tp_val v);
int aios__tp_truth(tp *s, aios__tp_val v, bool *out);
int aios__tp_len(tp *s, aios__tp_val v, int64_t *n);
bool aios__tp_has_len(aios__tp_val v);
int aios__tp_items(tp *s, aios__tp_val v, aios__tp_val **items, uint32_t *n);
int aios__tp_undefined(tp *s, aios__tp_val v);
static inline bool aios__tp_is(aios__tp_val v, uint32_t bits) { return (TBIT(v.t) & bits) != 0; }
static inline bool aios__tp_numeric(aios__tp_val v) { return aios__tp_is(v, TBIT(T_INT) | TBIT(T_REAL) | TBIT(T_BOOL)); }
static inline bool aios__tp_integral(aios__tp_val v) { return aios__tp_is(v, TBIT(T_INT) | TBIT(T_BOOL)); }
static inline double aios__tp_num(aios__tp_val v) { return v.t == T_REAL ? v.u.d : (double)v.u.i; }

/* tmpl_compare.c */
int aios__tp_equal(tp *s, aios__tp_val a, aios__tp_val b, bool *out);
int aios__tp_order(tp *s, aios__tp_val a, aios__tp_val b, int *out);
int aios__tp_compare(tp *s, uint8_t op, aios__tp_val a, aios__tp_val b, bool *out);
int aios__tp_contains(tp *s, aios__tp_val hay, aios__tp_val x, bool *out);
int aios__tp_sort(tp *s, aios__tp_val *v, aios__tp_val *key, uint32_t n, bool reverse);

/* tmpl_text.c */
int aios__tp_to_str(tp *s, aios__tp_val v, aios__tp_val *out);
int aios__tp_repr(tp *s, aios__tp_val v, aios__tp_val *out);
int aios__tp_print(tp *s, aios__tp_val v, aios__buf *b);
size_t aios__tp_real_text(double d, char *out);
int aios__tp_buf_rc(tp *s, int rc);
int aios__tp_buf_val(tp *s, aios__buf *b, aios__tp_val *out);

/* tmpl_json.c */
int aios__tp_json_filter(tp *s, aios__tp_call *c, aios__tp_val *out);

/* tmpl_ops.c */
int aios__tp_math(tp *s, uint8_t op, aios__tp_val a, aios__tp_val b, aios__tp_val *out);
int aios__tp_unary(tp *s, uint8_t k, aios__tp_val a, aios__tp_val *out);
int aios__tp_attr(tp *s, aios__tp_val obj, aios__tp_val name, aios__tp_val *out);
int aios__tp_item(tp *s, aios__tp_val obj, aios__tp_val key, aios__tp_val *out);
int aios__tp_slice(tp *s, aios__tp_val obj, aios__tp_val a, aios__tp_val b, aios__tp_val step, aios__tp_val *out);
int aios__tp_escape(tp *s, aios__tp_val v, aios__tp_val *out);

/* tmpl_lex.c, tmpl_parse.c, tmpl_expr.c */
struct aios__tp_parser;
int aios__tp_compile(tp *s);

/* tmpl_eval.c, tmpl_exec.c, tmpl_call.c */
int aios__tp_eval(tp *s, uint32_t node, aios__tp_val *out);
int aios__tp_exec(tp *s, uint32_t node);
int aios__tp_emit(tp *s, const char *p, size_t n);
int aios__tp_capture_end(tp *s, size_t mark, aios__tp_val *out);
size_t aios__tp_capture_begin(tp *s);
aios__tp_scope *aios__tp_scope_push(tp *s);
int aios__tp_scope_set(tp *s, uint32_t sym, aios__tp_val v);
int aios__tp_enter(tp *s);
void aios__tp_leave(tp *s);
int aios__tp_call_args(tp *s, uint32_t first, aios__tp_args *a);
int aios__tp_args_add(tp *s, aios__tp_args *a, aios__tp_val v);
int aios__tp_args_kw(tp *s, aios__tp_args *a, aios__tp_val name, aios__tp_val v);
int aios__tp_call_value(tp *s, aios__tp_val f, const aios__tp_args *a, aios__tp_val *out);
int aios__tp_call_fn(tp *s, const aios__tp_fn *fn, aios__tp_val self, const aios__tp_args *a, aios__tp_val *out);
int aios__tp_call_macro(tp *s, aios__tp_macro *m, const aios__tp_args *a, aios__tp_val *out);
int aios__tp_loop_run(tp *s, uint32_t node, aios__tp_val iter, uint32_t depth0, aios__tp_scope *outer);
aios__tp_macro *aios__tp_macro_new(tp *s, uint32_t node);

/* tmpl_filters.c, tmpl_seqfilters.c, tmpl_tests.c, tmpl_strings.c, tmpl_methods.c, tmpl_format.c, tmpl_globals.c */
const aios__tp_fn *aios__tp_filter_find(const char *p, size_t n);
const aios__tp_fn *aios__tp_test_find(const char *p, size_t n);
const aios__tp_fn *aios__tp_method_find(aios__tp_val obj, const char *p, size_t n);
const aios__tp_fn *aios__tp_global_find(const char *p, size_t n);
const aios__tp_fn *aios__tp_table_find(const aios__tp_fn *t, size_t count, const char *p, size_t n);
extern const aios__tp_fn aios__tp_seq_filters[];
extern const size_t aios__tp_n_seq_filters;
extern const aios__tp_fn aios__tp_str_methods[];
extern const size_t aios__tp_n_str_methods;
extern const aios__tp_fn aios__tp_globals_table[];
int aios__tp_percent(tp *s, aios__tp_val fmt, aios__tp_val args, aios__tp_val *out);
int aios__tp_format_method(tp *s, aios__tp_call *c, aios__tp_val *out);
int aios__tp_loop_attr(tp *s, aios__tp_loop *l, aios__tp_val name, aios__tp_val *out);
int aios__tp_path_get(tp *s, aios__tp_val item, aios__tp_val path, aios__tp_val *out);
int aios__tp_int_arg(tp *s, aios__tp_val v, const char *what, int64_t *out);
int aios__tp_parse_int(const char *p, size_t n, int base, int64_t *out);
int aios__tp_parse_real(const char *p, size_t n, double *out);
int aios__tp_to_int(tp *s, aios__tp_val v, aios__tp_val *out);

/* tmpl_chars.c */
bool aios__tp_cp_is(uint32_t cp, int cls);
size_t aios__tp_cp_case(uint32_t cp, int which, char out[16]);
size_t aios__tp_utf8_len(const char *p, size_t n);
size_t aios__tp_utf8_off(const char *p, size_t n, size_t cps);
size_t aios__tp_step(const char *p, size_t n, uint32_t *cp); /* at least 1 byte */
size_t aios__tp_lspace(const char *p, size_t n);             /* bytes of leading white space */
size_t aios__tp_rspace(const char *p, size_t n);             /* bytes without the trailing white space */

#define TP_TRY(x) do { int rc_ = (x); if (rc_) return rc_; } while (0)

#endif
