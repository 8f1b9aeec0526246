/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file cpp/ctx.hpp
 * The root object, and what is told of runs.
 */
#ifndef AIOS_CPP_CTX_HPP
#define AIOS_CPP_CTX_HPP

#include <aios/cpp/base.hpp>

AIOS_CPP_BEGIN

/** The root object: a hard byte budget, log, environment. Its memory goes with the last object that was made of it. */
class ctx : public owner<aios_ctx, aios_ctx_free> {
public:
    using owner::owner;
    explicit ctx(const init<aios_ctx_config> &cfg = {}, status *st = nullptr) { checked(st, aios_ctx_new, &cfg, &p_); }
    /** Bytes used now and at most, by kind. */
    init<aios_mem_usage> usage() const
    {
        init<aios_mem_usage> out;
        aios_ctx_usage(p_, &out);
        return out;
    }
    /** As aios_ctx_set_budget. */
    int set_budget(uint64_t bytes, status *st = nullptr) { return checked(st, aios_ctx_set_budget, p_, bytes); }
    /** As aios_plugin_load. */
    int load_plugin(std::string_view path, status *st = nullptr) { return checked(st, aios_plugin_load, p_, std::string(path).c_str()); }
    /** Borrowed; 0 is the CPU, NULL past the last. */
    aios_device *device(uint32_t i = 0) const noexcept { return aios_device_at(p_, i); }
};

/** Receiver of what runs do, by OpenTelemetry; agents that use it hold a reference. */
class telemetry : public owner<aios_telemetry, aios_telemetry_free> {
public:
    using owner::owner;
    telemetry() noexcept = default;
    telemetry(aios_ctx *c, const init<aios_telemetry_config> &cfg, status *st = nullptr) { checked(st, aios_telemetry_new, c, &cfg, &p_); }
    /** True if all there was is out. */
    bool flush(int32_t timeout_ms = -1) { return aios_telemetry_flush(p_, timeout_ms) == AIOS_OK; }
};

AIOS_CPP_END
#endif
