/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of test_layout.c and test_layout_plugin.c. */
#ifndef AIOS_TEST_LAYOUT_H
#define AIOS_TEST_LAYOUT_H

#define SIZE(type, n) _Static_assert(sizeof(type) == (n), "size of " #type);
#define FIELD(type, field, offset, size)                                                                              \
    _Static_assert(offsetof(type, field) == (offset), "offset of " #type "." #field);                                 \
    _Static_assert(sizeof(((type *)0)->field) == (size), "size of " #type "." #field);
#define CODE(name, number) _Static_assert(AIOS_##name == (number), "number of " #name);

#endif
