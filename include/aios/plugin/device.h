/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file plugin/device.h
 * What a device implements. A NULL slot means the wrapper's default, where one is named.
 */
#ifndef AIOS_PLUGIN_DEVICE_H
#define AIOS_PLUGIN_DEVICE_H

#include <aios/device.h>
#include <aios/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct aios_device_alloc_args {
    size_t struct_size;
    size_t n_bytes;
    size_t align;
    uint32_t flags; /**< AIOS_BUFFER_x */
    int32_t numa;   /**< node + 1 or 0 */
} aios_device_alloc_args;

/** Device memory: an address that only the device's slots interpret, unless HOST_MEMORY. */
typedef struct aios_device_mem {
    size_t struct_size;
    void *ptr;
    size_t n_bytes; /**< really taken */
    void *handle;   /**< the device's own */
} aios_device_mem;

/** Ranges of a copy WITHIN may overlap. */
enum { AIOS_COPY_TO_DEVICE = 1, AIOS_COPY_TO_HOST = 2, AIOS_COPY_WITHIN = 3 };
typedef struct aios_device_copy_args {
    size_t struct_size;
    int32_t direction;          /**< AIOS_COPY_x */
    int32_t reserved0;
    const aios_device_mem *dst; /**< NULL: dst_host */
    const aios_device_mem *src; /**< NULL: src_host */
    void *dst_host;
    const void *src_host;
    size_t dst_offset, src_offset, n_bytes;
} aios_device_copy_args;

/** One operation on contiguous tensors of the device: "matmul" (out[m][n] = a[m][k] x b[n][k], b any dtype), "add", "mul" ... */
typedef struct aios_device_kernel_args {
    size_t struct_size;
    const char *op;
    uint32_t n_in;
    uint32_t reserved0;
    const aios_device_mem *const *in;
    const size_t *in_offset;
    const aios_tensor_desc *in_desc;
    const aios_device_mem *out;
    size_t out_offset;
    const aios_tensor_desc *out_desc;
} aios_device_kernel_args;

typedef struct aios_device_ops {
    size_t struct_size;
    const char *name;
    int (*info)(void *self, aios_device_info *out, aios_error *err);
    int (*alloc)(void *self, const aios_device_alloc_args *args, aios_device_mem *out, aios_error *err);
    void (*free)(void *self, aios_device_mem *mem);
    int (*copy)(void *self, const aios_device_copy_args *args, aios_error *err);
    int (*fill)(void *self, const aios_device_mem *mem, size_t offset, size_t n_bytes, uint8_t value, aios_error *err); /**< default: by copy */
    int (*kernel)(void *self, const aios_device_kernel_args *args, aios_error *err); /**< default: ENOTSUP */
    int (*event_record)(void *self, uint64_t *event, aios_error *err);               /**< default: everything is done at once */
    int (*event_wait)(void *self, uint64_t event, int64_t timeout_ns, aios_error *err);
    void (*close)(void *self);
    /** Makes the first n_bytes of memory allocated LAZY usable; default: LAZY is ignored and all is taken at once. */
    int (*commit)(void *self, aios_device_mem *mem, size_t n_bytes, aios_error *err);
} aios_device_ops;

/** Adds a device to ctx; ops is copied, close(self) is called when ctx goes. EEXIST if the name is taken. */
AIOS_API int aios_device_register(aios_ctx *ctx, const aios_device_ops *ops, void *self, aios_error *err);

/** Raw access for conformance tests and backends: these check, account, then call the slot. */
AIOS_API int aios_device_copy(aios_device *dev, const aios_device_copy_args *args, aios_error *err);
/** Sets bytes of device memory, by copies if the device has no fill of its own. */
AIOS_API int aios_device_fill(aios_device *dev, const aios_device_mem *mem, size_t offset, size_t n_bytes, uint8_t value, aios_error *err);
/** Runs one operation; ENOTSUP if the device has none of that name. */
AIOS_API int aios_device_kernel(aios_device *dev, const aios_device_kernel_args *args, aios_error *err);
/** Marks the point behind everything asked for so far. */
AIOS_API int aios_device_event_record(aios_device *dev, uint64_t *event, aios_error *err);
/** Waits until that point is passed; AIOS_AGAIN if it is not within timeout_ns (-1: wait, 0: poll). */
AIOS_API int aios_device_event_wait(aios_device *dev, uint64_t event, int64_t timeout_ns, aios_error *err);
/** Device memory of a buffer, borrowed. */
AIOS_API const aios_device_mem *aios_buffer_mem(const aios_buffer *buf);

#ifdef __cplusplus
}
#endif
#endif
