/* SPDX-License-Identifier: Apache-2.0 */
/* Topology by hwloc, where /sys leaves something open; the only file that includes hwloc.h. */
#include "config.h"
#include "device/device_priv.h"

#if AIOS_HAVE_HWLOC
#include <hwloc.h>
#include <unistd.h>

static uint64_t cache_size(hwloc_topology_t h, hwloc_obj_type_t type, uint32_t *line)
{
    hwloc_obj_t o = hwloc_get_obj_by_type(h, type, 0);
    if (!o || !o->attr)
        return 0;
    if (line && o->attr->cache.linesize)
        *line = o->attr->cache.linesize;
    return o->attr->cache.size;
}

static uint32_t count_of(hwloc_topology_t h, hwloc_obj_type_t type)
{
    int n = hwloc_get_nbobjs_by_type(h, type);
    return n > 0 ? (uint32_t)n : 0;
}

static void read_units(hwloc_topology_t h, aios__topo *t)
{
    for (hwloc_obj_t pu = hwloc_get_next_obj_by_type(h, HWLOC_OBJ_PU, NULL); pu; pu = hwloc_get_next_obj_by_type(h, HWLOC_OBJ_PU, pu)) {
        unsigned cpu = pu->os_index;
        if (cpu >= AIOS__MAX_CPUS)
            continue;
        hwloc_obj_t core = hwloc_get_ancestor_obj_by_type(h, HWLOC_OBJ_CORE, pu);
        int first = core ? hwloc_bitmap_first(core->cpuset) : -1;
        t->online[cpu / 64] |= (uint64_t)1 << (cpu % 64);
        t->core_of[cpu] = (uint16_t)(first >= 0 && first < AIOS__MAX_CPUS ? (unsigned)first : cpu);
    }
}

bool aios__topo_hwloc(aios__topo *t)
{
    hwloc_topology_t h;
    memset(t, 0, sizeof *t);
    t->source = "hwloc";
    /* without it hwloc complains on standard error, which is the host's */
    if (access("/sys/devices/system/cpu/cpu0/topology", R_OK) || hwloc_topology_init(&h))
        return false;
    bool ok = !hwloc_topology_set_flags(h, HWLOC_TOPOLOGY_FLAG_INCLUDE_DISALLOWED) && !hwloc_topology_load(h);
    if (ok) {
        read_units(h, t);
        t->n_packages = count_of(h, HWLOC_OBJ_PACKAGE);
        t->n_numa = count_of(h, HWLOC_OBJ_NUMANODE);
        t->l1d = cache_size(h, HWLOC_OBJ_L1CACHE, &t->cache_line);
        t->l2 = cache_size(h, HWLOC_OBJ_L2CACHE, NULL);
        t->l3 = cache_size(h, HWLOC_OBJ_L3CACHE, NULL);
        ok = count_of(h, HWLOC_OBJ_PU) > 0;
    }
    hwloc_topology_destroy(h);
    return ok;
}
#else
bool aios__topo_hwloc(aios__topo *t)
{
    AIOS__UNUSED(t);
    return false;
}
#endif
