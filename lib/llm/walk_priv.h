/* SPDX-License-Identifier: Apache-2.0 */
/* One step of a walk, as its files for each kind of node see it: walk_text.c, walk_string.c, walk_number.c ... */
#ifndef AIOS_LIB_WALK_PRIV_H
#define AIOS_LIB_WALK_PRIV_H

#include "llm/grammar_priv.h"

/** Where new readings go. After the first failure nothing more happens. */
typedef struct aios__step {
    aios_walk *w;
    const aios_grammar *g;
    uint32_t to, n;
    uint32_t wrap; /**< what new readings stand in (walk_unique.c); 0: nothing */
    int rc;
    aios_error *err;
} aios__step;

/* States of an object's frame; those from KEY_NAME on are frames of their own above it. */
enum { OBJ_OPEN, OBJ_FIRST, OBJ_AFTER, OBJ_NEXT, KEY_NAME, KEY_FREE, KEY_COLON, KEY_LIST };

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
void aios__step_object(aios__step *s, const aios__frame *f, uint32_t i, uint8_t c);

/** A free key is between two characters, and any may follow. */
bool aios__walk_key_plain(const aios_walk *w, const aios__frame *f);
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
/** An item of an array has ended: its frame goes on. */
void aios__leave_arr(aios__step *s, aios__frame f);
/** Narrows lo .. hi of sorted entries, equal in their first `pos` bytes and all longer, to those with c next. */
void aios__walk_narrow(const aios_grammar *g, const uint32_t *e, uint32_t *lo, uint32_t *hi, uint32_t pos, uint8_t c);
/** Begins a multi-byte character: bytes to come and the range of the next. False if c begins none. */
bool aios__walk_utf8_lead(uint8_t c, uint8_t *more, uint32_t *range);
bool aios__walk_utf8_more(uint8_t c, uint8_t *more, uint32_t *range);

#endif
