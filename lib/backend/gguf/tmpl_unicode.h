/* SPDX-License-Identifier: Apache-2.0 */
/* Tables behind the string methods of chat templates. */
#ifndef AIOS_LIB_TMPL_UNICODE_H
#define AIOS_LIB_TMPL_UNICODE_H

#include <stddef.h>
#include <stdint.h>

enum {
    AIOS__UNI_ALPHA, AIOS__UNI_DIGIT, AIOS__UNI_DECIMAL, AIOS__UNI_NUMERIC, AIOS__UNI_SPACE, AIOS__UNI_PRINTABLE,
    AIOS__UNI_UPPER, AIOS__UNI_LOWER, AIOS__UNI_TITLE, AIOS__UNI_IGNORABLE, AIOS__UNI_CLASSES
};
enum { AIOS__CASE_UPPER, AIOS__CASE_LOWER, AIOS__CASE_TITLE };

typedef struct aios__uni_range { uint32_t first, last; } aios__uni_range;
typedef struct aios__uni_map { uint32_t first, last; int32_t stride, delta; } aios__uni_map;
typedef struct aios__uni_special { uint32_t cp; const char *to; } aios__uni_special;
typedef struct aios__uni_class { const aios__uni_range *r; size_t n; } aios__uni_class;
typedef struct aios__uni_case { const aios__uni_map *m; size_t n; const aios__uni_special *s; size_t ns; } aios__uni_case;

extern const aios__uni_class aios__uni_classes[AIOS__UNI_CLASSES];
extern const aios__uni_case aios__uni_cases[3];

#endif
