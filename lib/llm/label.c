/* SPDX-License-Identifier: Apache-2.0 */
#include "llm/llm.h"

aios_label aios__label_join(aios_label a, aios_label b)
{
    return (aios_label){
        .integrity = a.integrity < b.integrity ? a.integrity : b.integrity,
        .confidentiality = a.confidentiality | b.confidentiality,
    };
}

aios_label aios__label_of(const aios_transcript *t)
{
    aios_label join = {.integrity = AIOS_LABEL_SYSTEM};
    for (uint32_t i = 0; i < aios_transcript_count(t); i++) {
        aios_entry e = AIOS_INIT(aios_entry);
        if (!aios_transcript_at(t, i, &e))
            join = aios__label_join(join, e.label);
    }
    return join;
}
