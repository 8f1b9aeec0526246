/* SPDX-License-Identifier: Apache-2.0 */
#include "cases.hpp"

int n_failed_checks;

int main()
{
    int n_passed = 0, n_failed = 0;
    for (test_cases cases : {object_cases(), agent_cases(), quiet_cases()})
        for (size_t i = 0; i < cases.n; i++) {
            int before = n_failed_checks;
            try {
                cases.first[i].run();
            } catch (const std::exception &e) {
                n_failed_checks++;
                std::printf("%s: threw %s\n", cases.first[i].name, e.what());
            }
            bool ok = n_failed_checks == before;
            std::printf("[  %s  ] %s\n", ok ? "     OK" : " FAILED", cases.first[i].name);
            (ok ? n_passed : n_failed)++;
        }
    std::printf("[  PASSED  ] %d test(s).\n", n_passed);
    if (n_failed)
        std::printf("[  FAILED  ] %d test(s)\n", n_failed);
    return n_failed != 0;
}
