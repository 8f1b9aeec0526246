/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The regular expressions of the known pre-tokenizers as scanners written by hand. A match either fails within a few
 * characters or consumes what it looked at, so a text is cut in linear time, and nothing recurses.
 */
#include "backend/gguf/pretok.h"

typedef struct range {
    uint32_t lo, hi;
} range;

typedef struct stage stage;
/* End of the match that begins at pos, or 0. */
typedef size_t match_fn(const stage *st, const char *s, size_t pos, size_t end);

enum {
    ST_SPACE = 1,    /* run: a blank may precede */
    ST_WHITE = 2,    /* run: any white space may precede */
    ST_EXACT = 4,    /* run: exactly max characters */
    ST_NOT = 8,      /* run: characters outside the set and not white */
    ST_PLAIN = 16,   /* words: no contractions */
    ST_MARKS = 32,   /* words: marks count as letters */
    ST_SLASH = 64,   /* words: punctuation takes following slashes too */
    ST_NO_LINES = 128 /* words: punctuation leaves line ends alone */
};

struct stage {
    match_fn *match;
    uint32_t flags;
    uint32_t max;       /* run: most characters a piece; words: most digits a piece; 0: no bound */
    uint32_t classes;   /* run: bits of UC_x */
    const char *ascii;  /* run: more characters */
    const range *ranges;
    uint32_t n_ranges;
};

struct aios__pretok {
    const char *name;
    const stage *stages[AIOS__PRETOK_STAGES];
    uint32_t flags;
};

/* ---- characters ----------------------------------------------------------------------------------------------- */

typedef struct ch {
    uint32_t cp, cls;
    size_t next; /* where the one behind it begins */
} ch;

static ch peek(const char *s, size_t pos, size_t end)
{
    if (pos >= end)
        return (ch){UINT32_MAX, UC_END, end};
    unsigned char c = (unsigned char)s[pos];
    if (c < 0x80)
        return (ch){c, aios__unicode_class_of(c), pos + 1};
    uint32_t cp = 0;
    size_t len = aios__utf8_decode(s + pos, end - pos, &cp);
    if (!len)
        return (ch){0xfffd, UC_SYMBOL, pos + 1};
    return (ch){cp, aios__unicode_class_of(cp), pos + len};
}

#define BIT(c) (1u << (c))
#define LETTERS (BIT(UC_LU) | BIT(UC_LL) | BIT(UC_LT) | BIT(UC_LO))
#define UPPER (BIT(UC_LU) | BIT(UC_LT) | BIT(UC_LO) | BIT(UC_MARK))
#define LOWER (BIT(UC_LL) | BIT(UC_LO) | BIT(UC_MARK))
#define ENDING BIT(UC_END)

static bool is(ch c, uint32_t classes)
{
    return BIT(c.cls) & classes;
}

static bool is_line(ch c)
{
    return c.cp == '\r' || c.cp == '\n';
}

/* End of the run of characters of these classes. */
static size_t run_of(const char *s, size_t pos, size_t end, uint32_t classes)
{
    for (ch c = peek(s, pos, end); is(c, classes); c = peek(s, pos, end))
        pos = c.next;
    return pos;
}

/* ---- shared parts of the word expressions --------------------------------------------------------------------- */

/* 's 't 'm 'd 're 've 'll; fold: in either case. */
static size_t contraction(const char *s, size_t pos, size_t end, bool fold)
{
    if (pos + 1 >= end || s[pos] != '\'')
        return 0;
    int bit = fold ? 0x20 : 0;
    int a = s[pos + 1] | bit, b = pos + 2 < end ? s[pos + 2] | bit : 0;
    if (a == 's' || a == 't' || a == 'm' || a == 'd')
        return pos + 2;
    if ((b == 'e' && (a == 'r' || a == 'v')) || (a == 'l' && b == 'l'))
        return pos + 3;
    return 0;
}

/* \s+(?!\S)|\s+ : a run of white space leaves its last character to the word behind it. */
static size_t blanks(const char *s, size_t pos, size_t end)
{
    size_t last = pos, at = pos;
    for (ch c = peek(s, at, end); c.cls == UC_SPACE; c = peek(s, at, end)) {
        last = at;
        at = c.next;
    }
    return at < end && last > pos ? last : at;
}

/* \s*[\r\n]+|\s+(?!\S)|\s+ */
static size_t lines_or_blanks(const char *s, size_t pos, size_t end)
{
    size_t lines = 0, at = pos;
    for (ch c = peek(s, at, end); c.cls == UC_SPACE; c = peek(s, at, end)) {
        at = c.next;
        if (is_line(c))
            lines = at;
    }
    return lines ? lines : blanks(s, pos, end);
}

static size_t digits(const char *s, size_t pos, size_t end, uint32_t max)
{
    uint32_t n = 0;
    for (ch c = peek(s, pos, end); c.cls == UC_NUMBER && (!max || n < max); c = peek(s, pos, end), n++)
        pos = c.next;
    return pos;
}

/* Behind punctuation: [\r\n]*, with slashes [\r\n/]* */
static size_t line_tail(const stage *st, const char *s, size_t pos, size_t end)
{
    if (st->flags & ST_NO_LINES)
        return pos;
    while (pos < end && (s[pos] == '\r' || s[pos] == '\n' || (st->flags & ST_SLASH && s[pos] == '/')))
        pos++;
    return pos;
}

/* ---- word expressions ----------------------------------------------------------------------------------------- */

/* 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+ */
static size_t match_gpt2(const stage *st, const char *s, size_t pos, size_t end)
{
    AIOS__UNUSED(st);
    size_t to = contraction(s, pos, end, false);
    if (to)
        return to;
    ch c = peek(s, pos, end);
    size_t from = pos;
    if (c.cp == ' ') {
        from = c.next;
        c = peek(s, from, end);
    }
    if (is(c, LETTERS))
        return run_of(s, from, end, LETTERS);
    if (c.cls == UC_NUMBER)
        return run_of(s, from, end, BIT(UC_NUMBER));
    if (!is(c, BIT(UC_SPACE) | ENDING))
        return run_of(s, from, end, ~(LETTERS | BIT(UC_NUMBER) | BIT(UC_SPACE) | ENDING));
    return blanks(s, pos, end);
}

/* contraction|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,max}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+ */
static size_t match_cl100k(const stage *st, const char *s, size_t pos, size_t end)
{
    uint32_t letters = LETTERS | (st->flags & ST_MARKS ? BIT(UC_MARK) : 0);
    size_t to = st->flags & ST_PLAIN ? 0 : contraction(s, pos, end, true);
    if (to)
        return to;
    ch c = peek(s, pos, end);
    if (is(c, letters))
        return run_of(s, pos, end, letters);
    if (c.cls == UC_NUMBER)
        return digits(s, pos, end, st->max);
    ch d = peek(s, c.next, end);
    if (!is_line(c) && is(d, letters))
        return run_of(s, c.next, end, letters);
    uint32_t rest = ~(letters | BIT(UC_NUMBER) | BIT(UC_SPACE) | ENDING);
    if (c.cp == ' ' && is(d, rest))
        return line_tail(st, s, run_of(s, c.next, end, rest), end);
    if (is(c, rest))
        return line_tail(st, s, run_of(s, pos, end, rest), end);
    return lines_or_blanks(s, pos, end);
}

/* UPPER*LOWER+ or, failing that, UPPER+LOWER*, both greedy, where letters without case are in both sets. */
static size_t cased_word(const char *s, size_t pos, size_t end, bool first)
{
    size_t at = pos, lower_end = 0;
    ch c = peek(s, at, end);
    for (; is(c, UPPER); c = peek(s, at, end)) {
        at = c.next;
        if (is(c, LOWER))
            lower_end = at;
    }
    if (is(c, LOWER))
        return run_of(s, at, end, LOWER);
    if (first)
        return lower_end; /* gives back capitals at the end of the run */
    return at > pos ? at : 0;
}

/* The two word alternatives of o200k with their optional first character and contraction. */
static size_t o200k_word(const stage *st, const char *s, size_t pos, size_t end)
{
    ch c = peek(s, pos, end);
    bool lead = !is_line(c) && !is(c, LETTERS | BIT(UC_NUMBER) | ENDING);
    for (int i = 0; i < 2; i++) {
        size_t to = lead ? cased_word(s, c.next, end, !i) : 0;
        if (!to)
            to = cased_word(s, pos, end, !i);
        if (!to)
            continue;
        size_t more = st->flags & ST_PLAIN ? 0 : contraction(s, to, end, true);
        return more ? more : to;
    }
    return 0;
}

/* o200k_word|\p{N}{1,max}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+ */
static size_t match_o200k(const stage *st, const char *s, size_t pos, size_t end)
{
    size_t to = o200k_word(st, s, pos, end);
    if (to)
        return to;
    ch c = peek(s, pos, end);
    if (c.cls == UC_NUMBER)
        return digits(s, pos, end, st->max);
    uint32_t rest = ~(LETTERS | BIT(UC_NUMBER) | BIT(UC_SPACE) | ENDING);
    if (c.cp == ' ' && is(peek(s, c.next, end), rest))
        return line_tail(st, s, run_of(s, c.next, end, rest), end);
    if (is(c, rest))
        return line_tail(st, s, run_of(s, pos, end, rest), end);
    return lines_or_blanks(s, pos, end);
}

/* [ASCII punctuation][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+ */
static size_t match_deepseek3(const stage *st, const char *s, size_t pos, size_t end)
{
    const uint32_t words = LETTERS | BIT(UC_MARK), signs = BIT(UC_PUNCT) | BIT(UC_SYMBOL);
    ch c = peek(s, pos, end), d = peek(s, c.next, end);
    if (c.cp < 0x80 && is(c, signs) && d.cp < 0x80 && is(d, LETTERS)) {
        size_t at = c.next;
        while (at < end && ((s[at] | 0x20) >= 'a' && (s[at] | 0x20) <= 'z'))
            at++;
        return at;
    }
    if (is(c, words) && (is(c, LETTERS) || !is(d, words)))
        return run_of(s, pos, end, words);
    if (!is_line(c) && !is(c, LETTERS | signs) && is(d, words))
        return run_of(s, c.next, end, words);
    if (c.cp == ' ' && is(d, signs))
        return line_tail(st, s, run_of(s, c.next, end, signs), end);
    if (is(c, signs))
        return line_tail(st, s, run_of(s, pos, end, signs), end);
    return c.cls == UC_SPACE ? lines_or_blanks(s, pos, end) : 0;
}

/* ---- runs of a set -------------------------------------------------------------------------------------------- */

static bool in_set(const stage *st, ch c)
{
    if (c.cls == UC_END)
        return false;
    bool in = is(c, st->classes) || (st->ascii && c.cp && c.cp < 0x80 && strchr(st->ascii, (int)c.cp));
    for (uint32_t lo = 0, hi = st->n_ranges; !in && lo < hi;) {
        uint32_t mid = (lo + hi) / 2;
        if (c.cp < st->ranges[mid].lo)
            hi = mid;
        else if (c.cp > st->ranges[mid].hi)
            lo = mid + 1;
        else
            in = true;
    }
    return st->flags & ST_NOT ? !in && c.cls != UC_SPACE : in;
}

static size_t match_run(const stage *st, const char *s, size_t pos, size_t end)
{
    ch c = peek(s, pos, end);
    if ((st->flags & ST_SPACE && c.cp == ' ') || (st->flags & ST_WHITE && c.cls == UC_SPACE)) {
        ch d = peek(s, c.next, end);
        if (in_set(st, d))
            c = d;
    }
    uint32_t n = 0;
    size_t at = 0;
    for (; in_set(st, c) && (!st->max || n < st->max); c = peek(s, at, end), n++)
        at = c.next;
    return st->flags & ST_EXACT && n < st->max ? 0 : at;
}

/* \s+$ */
static size_t match_trailing(const stage *st, const char *s, size_t pos, size_t end)
{
    AIOS__UNUSED(st);
    size_t to = run_of(s, pos, end, BIT(UC_SPACE));
    return to == end && to > pos ? to : 0;
}

/* ---- the table ------------------------------------------------------------------------------------------------ */

/* clang-format off */
static const range deepseek_letters[] = {
    {0x41, 0x5a}, {0x61, 0x7a}, {0xb5, 0xb5}, {0xc0, 0xd6}, {0xd8, 0xf6}, {0xf8, 0x1ba}, {0x1bc, 0x1bf},
    {0x1c4, 0x293}, {0x295, 0x2af}, {0x370, 0x373}, {0x376, 0x376}, {0x377, 0x377}, {0x37b, 0x37d}, {0x37f, 0x37f},
    {0x386, 0x386}, {0x388, 0x38a}, {0x38c, 0x38c}, {0x38e, 0x3a1}, {0x3a3, 0x3f5}, {0x3f7, 0x481}, {0x48a, 0x52f},
    {0x531, 0x556}, {0x10a0, 0x10c5}, {0x13a0, 0x13f5}, {0x13f8, 0x13fd}, {0x1c90, 0x1cba}, {0x1cbd, 0x1cbf},
    {0x1d00, 0x1d2b}, {0x1d6b, 0x1d77}, {0x1d79, 0x1d9a}, {0x1e00, 0x1f15}, {0x1f18, 0x1f1d}, {0x1f20, 0x1f45},
    {0x1f48, 0x1f4d}, {0x1f50, 0x1f57}, {0x1f59, 0x1f59}, {0x1f5b, 0x1f5b}, {0x1f5d, 0x1f5d}, {0x1f5f, 0x1f7d},
    {0x1f80, 0x1fb4}, {0x1fb6, 0x1fbc}, {0x1fbe, 0x1fbe}, {0x1fc2, 0x1fc4}, {0x1fc6, 0x1fcc}, {0x1fd0, 0x1fd3},
    {0x1fd6, 0x1fdb}, {0x1fe0, 0x1fec}, {0x1ff2, 0x1ff4}, {0x1ff6, 0x1ffc}, {0x2102, 0x2102}, {0x2107, 0x2107},
    {0x210a, 0x2113}, {0x2115, 0x2115}, {0x2119, 0x211d}, {0x2124, 0x2124}, {0x2126, 0x2126}, {0x2128, 0x2128},
    {0x212a, 0x212d}, {0x212f, 0x2134}, {0x2139, 0x2139}, {0x213c, 0x213f}, {0x2145, 0x2149}, {0x214e, 0x214e},
    {0x2183, 0x2183}, {0x2184, 0x2184}, {0x2c00, 0x2c7b}, {0x2c7e, 0x2ce4}, {0x2ceb, 0x2cee}, {0x2cf2, 0x2cf2},
    {0x2cf3, 0x2cf3}, {0xa640, 0xa66d}, {0xa680, 0xa69b}, {0xa722, 0xa76f}, {0xa771, 0xa787}, {0xa78b, 0xa78e},
    {0xab70, 0xabbf}, {0xfb00, 0xfb06}, {0xfb13, 0xfb17}, {0xff21, 0xff3a}, {0xff41, 0xff5a}, {0x10400, 0x1044f},
    {0x104b0, 0x104d3}, {0x104d8, 0x104fb}, {0x10c80, 0x10cb2}, {0x10cc0, 0x10cf2}, {0x118a0, 0x118df},
    {0x1e900, 0x1e943},
};
static const range deepseek_signs[] = {{0x2018, 0x201f}, {0x3000, 0x3002}, {0xff01, 0xff0f}, {0xff1a, 0xff5e}};
static const range deepseek_cjk[] = {{0x800, 0x9fa5}, {0xac00, 0xd7ff}};
static const range deepseek3_cjk[] = {{0x3040, 0x30ff}, {0x4e00, 0x9fa5}};
static const range bloom_marks[] = {{0x60c, 0x60c}, {0x6d4, 0x6d4}, {0x964, 0x964}, {0x2026, 0x2026}, {0x3001, 0x3002}, {0xff0c, 0xff0c}};
#define RANGES(r) .ranges = (r), .n_ranges = AIOS__ARRAY_LEN(r)
#define ASCII_SIGNS "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"

static const stage gpt2 = {match_gpt2, .flags = 0};
static const stage cl100k_1 = {match_cl100k, .max = 1};
static const stage cl100k_3 = {match_cl100k, .max = 3};
static const stage cl100k_any = {match_cl100k, .max = 0};
static const stage cl100k_marks = {match_cl100k, .max = 1, .flags = ST_MARKS};
static const stage cl100k_plain = {match_cl100k, .max = 1, .flags = ST_PLAIN};
static const stage cl100k_no_lines = {match_cl100k, .max = 1, .flags = ST_NO_LINES};
static const stage o200k = {match_o200k, .max = 3, .flags = ST_SLASH};
static const stage tekken = {match_o200k, .max = 1, .flags = ST_SLASH | ST_PLAIN};
static const stage deepseek3 = {match_deepseek3, .flags = 0};
static const stage number = {match_run, .max = 1, .classes = BIT(UC_NUMBER)};
static const stage number_3 = {match_run, .max = 3, .classes = BIT(UC_NUMBER)};
static const stage numbers = {match_run, .classes = BIT(UC_NUMBER)};
static const stage triple = {match_run, .max = 3, .flags = ST_EXACT, .ascii = "0123456789"};
static const stage line_end = {match_run, .max = 1, .ascii = "\r\n"};
static const stage newlines = {match_run, .ascii = "\n"};
static const stage trailing = {match_trailing, .flags = 0};
static const stage punct_falcon = {match_run, .classes = BIT(UC_PUNCT), .ascii = "$+<=>^~|`"};
static const stage punct_default = {match_run, .classes = BIT(UC_PUNCT), .ascii = "$+<=>^~|"};
static const stage ds_letters = {match_run, .flags = ST_WHITE, RANGES(deepseek_letters)};
static const stage ds_signs = {match_run, .flags = ST_WHITE, .ascii = ASCII_SIGNS, RANGES(deepseek_signs)};
static const stage ds_cjk = {match_run, RANGES(deepseek_cjk)};
static const stage ds3_cjk = {match_run, RANGES(deepseek3_cjk)};
static const stage dsc_letters = {match_run, .flags = ST_WHITE, .classes = LETTERS};
static const stage dsc_punct = {match_run, .flags = ST_WHITE, .classes = BIT(UC_PUNCT)};
static const stage bloom = {match_run, .flags = ST_SPACE | ST_NOT, .ascii = "(|.,!?)", RANGES(bloom_marks)};

#define LLAMA3 {&cl100k_3}, AIOS__PRETOK_WHOLE | AIOS__PRETOK_BOS
#define DIGITS {&number, &gpt2}, 0
static const aios__pretok table[] = {
    {"default", {&punct_default, &gpt2, &numbers, &triple}, 0},
    {"gpt-2", {&gpt2}, 0}, {"mpt", {&gpt2}, 0}, {"olmo", {&gpt2}, 0}, {"phi-2", {&gpt2}, 0}, {"jais", {&gpt2}, 0},
    {"exaone4", {&gpt2}, 0}, {"modern-bert", {&gpt2}, 0}, {"mellum", {&gpt2}, 0}, {"gigachat", {&gpt2}, 0},
    {"a.x-4.0", {&gpt2}, 0}, {"trillion", {&gpt2}, 0}, {"granite-docling", {&gpt2}, 0},
    {"llama3", LLAMA3}, {"llama-v3", LLAMA3}, {"llama-bpe", LLAMA3}, {"falcon3", LLAMA3}, {"falcon-h1", LLAMA3},
    {"pixtral", LLAMA3}, {"midm-2.0", LLAMA3}, {"lfm2", LLAMA3},
    {"dbrx", {&cl100k_3}, 0}, {"smaug-bpe", {&cl100k_3}, 0}, {"chatglm-bpe", {&cl100k_3}, 0},
    {"glm4", {&cl100k_3}, AIOS__PRETOK_WHOLE}, {"glm5", {&cl100k_3}, AIOS__PRETOK_WHOLE},
    {"minicpm5", {&number_3, &cl100k_any}, AIOS__PRETOK_WHOLE},
    {"qwen2", {&cl100k_1}, 0}, {"deepseek-r1-qwen", {&cl100k_1}, 0}, {"megrez", {&cl100k_1}, 0}, {"kormo", {&cl100k_1}, 0},
    {"stablelm2", {&cl100k_1}, 0}, {"hunyuan", {&cl100k_1}, 0}, {"solar-open", {&cl100k_1}, 0}, {"grok-2", {&cl100k_1}, 0},
    {"qwen35", {&cl100k_marks}, 0}, {"ufakzeka", {&cl100k_plain}, 0}, {"seed-coder", {&cl100k_no_lines}, 0},
    {"laguna", {&newlines, &cl100k_1}, 0},
    {"smollm", DIGITS}, {"starcoder", DIGITS}, {"refact", DIGITS}, {"command-r", DIGITS}, {"codeshell", DIGITS},
    {"exaone", DIGITS}, {"minerva-7b", DIGITS}, {"mellum2", DIGITS},
    {"falcon", {&punct_falcon, &gpt2, &triple}, 0},
    {"deepseek-llm", {&line_end, &ds_letters, &ds_signs, &trailing, &ds_cjk, &numbers}, 0},
    {"deepseek-coder", {&line_end, &dsc_letters, &dsc_punct, &ds_cjk, &number}, 0},
    {"deepseek-v3", {&number_3, &ds3_cjk, &deepseek3}, 0}, {"hunyuan-dense", {&number_3, &ds3_cjk, &deepseek3}, 0},
    {"joyai-llm", {&number_3, &ds3_cjk, &deepseek3}, 0}, {"hy_v4", {&number_3, &ds3_cjk, &deepseek3}, 0},
    {"gpt-4o", {&o200k}, 0}, {"llama4", {&o200k}, 0}, {"kanana2", {&o200k}, 0}, {"talkie", {&o200k}, 0}, {"minimax-m2", {&o200k}, 0},
    {"tekken", {&tekken}, AIOS__PRETOK_WHOLE | AIOS__PRETOK_BOS},
    {"bloom", {&bloom}, 0}, {"poro-chat", {&bloom}, 0}, {"gpt3-finnish", {&bloom}, 0}, {"viking", {&bloom, &number}, 0},
};
/* clang-format on */

const aios__pretok *aios__pretok_find(const char *name, size_t n)
{
    for (size_t i = 0; i < AIOS__ARRAY_LEN(table); i++)
        if (strlen(table[i].name) == n && !memcmp(table[i].name, name, n))
            return &table[i];
    return NULL;
}

uint32_t aios__pretok_flags(const aios__pretok *p)
{
    return p->flags;
}

/* ---- walk ----------------------------------------------------------------------------------------------------- */

/* The piece at pos: a match, or what lies before the next one. */
static size_t next_piece(const stage *st, const char *s, size_t pos, size_t end)
{
    size_t to = st->match(st, s, pos, end);
    if (to)
        return to;
    for (size_t at = pos; at < end;) {
        /* a run of white space that is not trailing has no trailing part either: jump over it */
        size_t past = st->match == match_trailing ? run_of(s, at, end, BIT(UC_SPACE)) : at;
        at = past > at ? past : peek(s, at, end).next;
        if (at < end && st->match(st, s, at, end))
            return at;
    }
    return end;
}

void aios__words_init(aios__words *w, const aios__pretok *p, const char *s, size_t n)
{
    *w = (aios__words){.pre = p, .s = s, .end = {n}};
}

bool aios__words_next(aios__words *w, const char **word, size_t *n)
{
    while (w->depth && w->pos == w->end[w->depth])
        w->depth--;
    if (w->pos == w->end[w->depth])
        return false;
    for (const stage *st; w->depth < AIOS__PRETOK_STAGES && (st = w->pre->stages[w->depth]) != NULL; w->depth++)
        w->end[w->depth + 1] = next_piece(st, w->s, w->pos, w->end[w->depth]);
    *word = w->s + w->pos;
    *n = w->end[w->depth] - w->pos;
    w->pos = w->end[w->depth];
    return true;
}
