/* SPDX-License-Identifier: Apache-2.0 */
/* One step of a walk, as its files for each kind of node see it: walk_text.c, walk_string.c, walk_number.c ... */
#ifndef AIOS_LIB_WALK_PRIV_H
#define AIOS_LIB_WALK_PRIV_H

#include "grammar/program.h"

/** Where new readings go. After the first failure nothing more happens. */
typedef struct aios__step {
    aios_walk *w;
    const aios_grammar *g;
    uint32_t n; /**< readings, at the end of the pool */
    uint32_t work; /**< alternatives looked at */
    uint32_t wrap; /**< what new readings stand in (walk_unique.c); 0: nothing */
    uint32_t blank; /**< node of a blank that comes before what they read; 0: none does */
    int rc;
    aios_error *err;
} aios__step;

/* States of an object's frame; those from KEY_NAME on are frames of their own above it. */
enum { OBJ_OPEN, OBJ_FIRST, OBJ_AFTER, OBJ_NEXT, KEY_NAME, KEY_FREE, KEY_COLON, KEY_LIST, KEY_LOOSE };

/* Bits of v in the frame of a free key (walk_object.c). */
#define AIOS__KEY_CLASS 52u
#define AIOS__KEY_MORE 48u

/* States of a number's frame, and what a byte makes of it. */
enum { START, MINUS, DIGITS, ZERO, POINT, FRACTION, E, E_SIGN, EXPONENT };
enum { NO, GOES_ON, MAY_END, ENDS };

/* States of an array's frame; WRAP to LIST are frames of their own: see walk_unique.c. */
enum { ARR_OPEN, ARR_FIRST, ARR_ITEM, ARR_AFTER, ARR_WRAP, ARR_TEXT, ARR_LIST };

/** A frame's number; equal frames of one step share it. */
uint32_t aios__step_frame(aios__step *s, const aios__frame *f);
/** Adds a reading with that frame on top. */
void aios__step_emit(aios__step *s, uint32_t frame);
void aios__step_emit_frame(aios__step *s, const aios__frame *f);
/** What follows is node, above frame up. */
void aios__step_plan(aios__step *s, uint32_t node, uint32_t up);
/** What stood above up is finished. */
void aios__step_done(aios__step *s, uint32_t up);
/** node has a sentence that nests few enough containers at that depth. */
bool aios__step_fits(const aios__step *s, uint32_t node, unsigned depth);

/* Each reads byte c in frame f, and plans, emits and ends what may follow. */
void aios__step_lit(aios__step *s, const aios__frame *f, uint8_t c);
void aios__step_set(aios__step *s, const aios__frame *f, uint8_t c);
void aios__step_rx(aios__step *s, const aios__frame *f, uint8_t c);
void aios__step_str(aios__step *s, const aios__frame *f, uint8_t c);
void aios__step_num(aios__step *s, const aios__frame *f, uint8_t c);
void aios__step_arr(aios__step *s, const aios__frame *f, uint8_t c);
/** walk_int.c: a byte of a number that is some integer at 10^-frac. */
int aios__walk_int(const aios_grammar *g, aios__frame *f, uint8_t c);
/** The integer is one of the values, or a multiple of one of the nots. */
bool aios__gint_out(const aios_grammar *g, uint32_t outs, uint32_t n_outs, uint32_t nots, uint32_t n_nots, uint64_t v, bool neg);
static inline bool aios__is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}
/** i: the frame's number. */
void aios__step_dec(aios__step *s, const aios__frame *f, uint32_t i, uint8_t c);
/** walk_loose.c */
void aios__loose_key(aios__step *s, const aios__frame *f, uint32_t i, uint8_t c);
void aios__loose_colon(aios__step *s, const aios__frame *f);
/** The key that ends with that frame is in the list. */
bool aios__key_seen(const aios__step *s, uint32_t list, uint32_t key);
/** The text that hangs together by v up to that frame, of c bytes. */
int aios__step_spell(aios__step *s, uint32_t text, aios__buf *out);
void aios__step_object(aios__step *s, const aios__frame *f, uint32_t i, uint8_t c);

/** Reads byte c in frame i. */
void aios__step_one(aios__step *s, uint32_t i, uint8_t c);
/** walk_unique.c: the frame in all that it stands in; 0: it must not be. */
uint32_t aios__unique_wrap(aios__step *s, uint32_t frame);
void aios__unique_begin(aios__step *s, uint32_t node, uint32_t array);
void aios__unique_step(aios__step *s, const aios__frame *f, uint8_t c);
bool aios__unique_end(aios__step *s, aios__frame *f);
/** Frames that an array's frame refers to beside up; 0: none. */
void aios__array_links(const aios_grammar *g, const aios__frame *f, uint32_t links[2]);
void aios__array_relink(const aios_grammar *g, aios__frame *f, const uint32_t *map);

/* ---- walk_state.c ------------------------------------------------------------------------------------------------- */

/** The frame's number, made if there is none. */
int aios__walk_frame(aios_walk *w, const aios__frame *f, uint32_t *i, aios_error *err);
/** The state of the n numbers at the end of the pool. */
int aios__walk_intern(aios_walk *w, uint32_t n, uint32_t *state, aios_error *err);
const aios__hop *aios__walk_hop(const aios_walk *w, uint32_t from);
/** Remembers it if there is room: without, it is found out again. */
void aios__walk_keep_hop(aios_walk *w, uint32_t from, uint32_t to);
/** New frames and states are worth keeping. */
bool aios__walk_keeps(const aios_walk *w);
/** How far everything has grown, if what comes from here on is not worth keeping. */
typedef struct aios__mark {
    uint32_t frames, states, pool;
    bool back;
} aios__mark;
aios__mark aios__walk_mark(const aios_walk *w);
/** Takes back what has been made since, unless it was to be kept. */
void aios__walk_back(aios_walk *w, aios__mark m);
/** Drops what the position does not need, if it has grown much. */
void aios__walk_compact(aios_walk *w);
/** Gives c, which is empty, the position of w. */
int aios__walk_carry(const aios_walk *w, aios_walk *c, aios_error *err);
void aios__walk_drop(aios_walk *w); /**< frees all that it points to */

int aios__walk_begin(aios_walk *w, aios_error *err);
void aios__masks_forget(aios_walk *w); /**< the numbers of states have changed */
void aios__masks_outdate(aios_walk *w); /**< their bits stay, for who reads them now */
void aios__masks_free(aios_walk *w);

/* ---- walk_live.c -------------------------------------------------------------------------------------------------- */

/** Adds the bytes that may go on in a frame, or more. */
void aios__frame_live(const aios_walk *w, const aios__frame *f, uint32_t live[8]);

/* ---- strings, as masks see them ----------------------------------------------------------------------------------- */

/** A reading between two characters of a string or of a key that may be any. */
typedef struct aios__inside {
    uint32_t frame, node;
    uint32_t outer;       /**< the reading; another than frame within an array whose items differ */
    uint32_t e;           /**< state of the expression for what follows, or NOTHING: any */
    uint64_t least, most; /**< characters that are to come */
    bool key;             /**< no escapes, and not every text may be there at its end */
} aios__inside;
bool aios__walk_inside(const aios_walk *w, uint32_t frame, aios__inside *in);
/** The state behind the closing quote. */
int aios__walk_outside(aios_walk *w, const aios__inside *in, uint32_t *state, aios_error *err);
/** walk_keys.c: the same of a key's frame. */
bool aios__key_inside(const aios_walk *w, uint32_t frame, aios__inside *in);
void aios__key_outside(aios__step *s, uint32_t frame);
/** The key may end n bytes later: it is then none of those that have a schema of their own, none that was said already. */
bool aios__key_ends(const aios_walk *w, const aios__inside *in, const char *more, uint32_t n);
/** The next of the keys said already (*list 0: the last) that begin with this one, and the n bytes that it has more, of which text gets max. */
bool aios__key_said(const aios_walk *w, uint32_t frame, uint32_t *list, char *text, uint32_t max, uint32_t *n);
/** Moves a frame over a byte of its string, other than the closing quote. */
bool aios__str_move(aios__step *s, const aios__gnode *n, aios__frame *f, uint8_t c);
/** The frame is behind the opening quote. */
bool aios__str_begun(const aios__frame *f);
/** The frame is between two characters. */
bool aios__str_between(const aios__frame *f);
/** A frame behind the opening quote of a string that holds anything (node n), or what is in expression e. */
aios__frame aios__str_begin(uint32_t node, uint32_t e);

/** Bytes that are tried first where many may come. */
#define AIOS__LIKELY "0aA1.-@:/_ Tz+x"

/**
 * walk_text_end.c: the shortest text that ends the string, key, expression or literal that a reading is in, of at most max bytes; *n is 0 if
 * there is none. *in_text: the reading is in one whose end is known. looks counts states that were looked at; ELIMIT if they are too many.
 */
int aios__walk_text_end(aios_walk *w, uint32_t frame, char *out, size_t max, size_t *n, bool *in_text, uint32_t *looks, aios_error *err);
/** An item of an array has ended: its frame goes on. */
void aios__leave_arr(aios__step *s, aios__frame f);
/** Narrows lo .. hi of sorted entries, equal in their first `pos` bytes and all longer, to those with c next. */
void aios__walk_narrow(const aios_grammar *g, const uint32_t *e, uint32_t *lo, uint32_t *hi, uint32_t pos, uint8_t c);
/** Begins a multi-byte character: bytes to come and the range of the next. False if c begins none. */
bool aios__walk_utf8_lead(uint8_t c, uint8_t *more, uint32_t *range);
bool aios__walk_utf8_more(uint8_t c, uint8_t *more, uint32_t *range);

#endif
