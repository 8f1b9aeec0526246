/* SPDX-License-Identifier: Apache-2.0 */
/* Cases of the C++ layer: CHECK counts what does not hold and goes on, since a jump out of a case would skip destructors. */
#ifndef AIOS_CASES_HPP
#define AIOS_CASES_HPP

#include <aios/aios.hpp>

#include <cstdio>

struct test_case {
    const char *name;
    void (*run)();
};
struct test_cases {
    const test_case *first;
    size_t n;
};
test_cases object_cases();
test_cases agent_cases();
test_cases quiet_cases();

extern int n_failed_checks;

#define CHECK(what) ((what) ? void() : void((n_failed_checks++, std::printf("%s:%d: %s\n", __FILE__, __LINE__, #what))))

#endif
