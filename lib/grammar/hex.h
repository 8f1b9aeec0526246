/* SPDX-License-Identifier: Apache-2.0 */
/* Hexadecimal digits, of escapes in every notation. */
#ifndef AIOS_LIB_GRAMMAR_HEX_H
#define AIOS_LIB_GRAMMAR_HEX_H

/** The digit's value, or -1. */
static inline int aios__hex(unsigned char c)
{
    return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

#endif
