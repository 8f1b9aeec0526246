/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file aios.h
 * All public headers for hosts.
 */
#ifndef AIOS_AIOS_H
#define AIOS_AIOS_H

#include <aios/agent.h>
#include <aios/audit.h>
#include <aios/base.h>
#include <aios/compose.h>
#include <aios/context.h>
#include <aios/ctx.h>
#include <aios/device.h>
#include <aios/env.h>
#include <aios/event.h>
#include <aios/grammar.h>
#include <aios/llm.h>
#include <aios/memory.h>
#include <aios/policy.h>
#include <aios/remote.h>
#include <aios/snapshot.h>
#include <aios/store.h>
#include <aios/telemetry.h>
#include <aios/tensor.h>
#include <aios/token.h>
#include <aios/tool.h>
#include <aios/transcript.h>
#include <aios/version.h>

#endif
