/* SPDX-License-Identifier: Apache-2.0 */
#include "conform_backend.h"

int main(int argc, char **argv)
{
    return conform_backend(argc, argv, NULL, NULL);
}
