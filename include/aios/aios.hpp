/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file aios.hpp
 * The C API from C++17: objects that free themselves, failures as exceptions or codes, tools and hooks from lambdas, events by range-for.
 *
 * - Header-only, over the C functions alone. Every object converts to the pointer that it owns, so what has no word here is called in C
 *   with the object itself: `aios_session_retain(session, 1, &err)`, or `aios::checked(nullptr, aios_session_retain, session, 1)`, which throws.
 * - A call that can fail takes a `status *` last. Given one, it says there how it went, and throws nothing but std::bad_alloc; without, a
 *   failure throws aios::error. With -fno-exceptions nothing throws: constructors that failed leave an empty object (`if (!model)`), the
 *   others return their code or an empty value.
 * - Options are the structs of C, begun with `aios::init<aios_model_config>`, which fills in the size.
 * - No exception crosses a frame of C: of a tool it becomes the call's failure, of a hook or a policy a refusal, of the callable given to a
 *   read or a search it comes out of that call.
 * - Objects are moved, never copied, and are as thread-safe as their C counterparts.
 */
#ifndef AIOS_AIOS_HPP
#define AIOS_AIOS_HPP

#include <aios/cpp/agent.hpp>
#include <aios/cpp/base.hpp>
#include <aios/cpp/ctx.hpp>
#include <aios/cpp/grammar.hpp>
#include <aios/cpp/llm.hpp>
#include <aios/cpp/store.hpp>
#include <aios/cpp/tensor.hpp>
#include <aios/cpp/tool.hpp>

#endif
