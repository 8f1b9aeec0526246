/* SPDX-License-Identifier: Apache-2.0 */
/* The hostile server by hand: hostile NAME prints its address and serves until standard input ends; hostile alone lists the names. */
#include <stdio.h>
#include <unistd.h>

#include "hostile.h"

int main(int argc, char **argv)
{
    const hostile_row *row;
    hostile h = {0};
    char url[64], c;
    for (uint32_t i = 0; argc < 2 && (row = hostile_at(i)); i++)
        printf("%s\n", row->name);
    if (argc < 2)
        return 0;
    row = hostile_find(argv[1]);
    if (!row || hostile_start(&h, 120)) {
        fprintf(stderr, row ? "hostile: the server cannot be started\n" : "hostile: no behaviour \"%s\"\n", argv[1]);
        return 2;
    }
    hostile_choose(&h, row);
    hostile_url(&h, row, url);
    printf("%s\n", url);
    fflush(stdout);
    while (read(0, &c, 1) > 0)
        ;
    printf("%u connections, %u requests, %u trapped\n%s\n", h.shared->n_connections, h.shared->n_requests, h.shared->n_trapped,
        h.shared->request);
    hostile_stop(&h);
    return 0;
}
