# SPDX-License-Identifier: Apache-2.0
"""Tensors go to numpy and come from it by DLPack. usage: test_dlpack.py libaios.so; exit 77 (skipped) without numpy."""
import ctypes as C
import sys

try:
    import numpy as np
    np.from_dlpack
except (ImportError, AttributeError):
    sys.exit(77)

lib = C.CDLL(sys.argv[1])
P = C.c_void_p
lib.aios_device_at.restype = lib.aios_buffer_data.restype = lib.aios_tensor_data.restype = P
lib.aios_device_at.argtypes = [P, C.c_uint32]
for name, args in {
    "aios_ctx_new": [P, P, P], "aios_ctx_free": [P], "aios_buffer_alloc": [P] * 4, "aios_buffer_data": [P], "aios_buffer_unref": [P],
    "aios_tensor_new": [P, C.c_size_t, P, P, P], "aios_tensor_free": [P], "aios_tensor_data": [P], "aios_tensor_desc_get": [P, P],
    "aios_tensor_to_dlpack": [P] * 3, "aios_tensor_from_dlpack": [P] * 4, "aios_ctx_usage": [P, P],
}.items():
    getattr(lib, name).argtypes = args

capsule_new = C.pythonapi.PyCapsule_New
capsule_new.restype, capsule_new.argtypes = C.py_object, [P, C.c_char_p, P]
capsule_pointer = C.pythonapi.PyCapsule_GetPointer
capsule_pointer.restype, capsule_pointer.argtypes = P, [C.py_object, C.c_char_p]
capsule_rename = C.pythonapi.PyCapsule_SetName
capsule_rename.argtypes = [C.py_object, C.c_char_p]
USED = b"used_dltensor"


class BufferConfig(C.Structure):
    _fields_ = [("struct_size", C.c_size_t), ("n_bytes", C.c_size_t), ("align", C.c_size_t), ("flags", C.c_uint32),
                ("numa", C.c_int32), ("kind", C.c_uint32), ("reserved0", C.c_uint32)]


class Desc(C.Structure):
    _fields_ = [("struct_size", C.c_size_t), ("dtype", C.c_int32), ("n_dims", C.c_uint32), ("ne", C.c_uint64 * 4), ("nb", C.c_uint64 * 4)]


class Usage(C.Structure):
    _fields_ = [("struct_size", C.c_size_t), ("budget", C.c_uint64), ("used", C.c_uint64), ("rest", C.c_uint64 * 34)]


def used(ctx):
    u = Usage(C.sizeof(Usage))
    assert lib.aios_ctx_usage(ctx, C.byref(u)) == 0
    return u.used


class Exported:
    """What numpy.from_dlpack asks for."""

    def __init__(self, tensor):
        self.tensor = tensor

    def __dlpack_device__(self):
        return (1, 0)

    def __dlpack__(self, **_):
        m = P()
        assert lib.aios_tensor_to_dlpack(self.tensor, C.byref(m), None) == 0
        return capsule_new(m, b"dltensor", None)


def to_numpy(ctx, dev):
    buf, tensor = P(), P()
    assert lib.aios_buffer_alloc(dev, C.byref(BufferConfig(C.sizeof(BufferConfig), 4 * 60)), C.byref(buf), None) == 0
    np.ctypeslib.as_array(C.cast(lib.aios_buffer_data(buf), C.POINTER(C.c_float)), (60,))[:] = np.arange(60)
    desc = Desc(C.sizeof(Desc), 0, 2, (C.c_uint64 * 4)(4, 5), (C.c_uint64 * 4)(4, 48))
    assert lib.aios_tensor_new(buf, 8, C.byref(desc), C.byref(tensor), None) == 0
    lib.aios_buffer_unref(buf)
    a = np.from_dlpack(Exported(tensor))
    lib.aios_tensor_free(tensor)  # the array alone holds the memory
    want = (np.arange(60, dtype=np.float32).reshape(5, 12))[:, 2:6]
    assert a.dtype == np.float32 and a.shape == (5, 4) and a.strides == (48, 4), (a.dtype, a.shape, a.strides)
    assert np.array_equal(a, want)


def from_numpy(ctx, dev):
    for dtype, number in ((np.float32, 0), (np.float16, 1), (np.int8, 24), (np.int64, 27), (np.float64, 28), (np.uint8, 1000)):
        a = np.arange(2 * 3 * 8).astype(dtype).reshape(2, 3, 8)[:, :, ::2]
        n = sys.getrefcount(a)
        capsule = a.__dlpack__()
        tensor, desc = P(), Desc(C.sizeof(Desc))
        assert lib.aios_tensor_from_dlpack(dev, capsule_pointer(capsule, b"dltensor"), C.byref(tensor), None) == 0
        capsule_rename(capsule, USED)
        assert lib.aios_tensor_desc_get(tensor, C.byref(desc)) == 0
        size = a.dtype.itemsize
        assert desc.dtype == number and list(desc.ne) == [4, 3, 2, 1] and list(desc.nb)[:3] == [2 * size, 8 * size, 24 * size]
        assert lib.aios_tensor_data(tensor) == a.ctypes.data
        lib.aios_tensor_free(tensor)
        del capsule
        assert sys.getrefcount(a) == n  # given back exactly once


def main():
    ctx = P()
    assert lib.aios_ctx_new(None, C.byref(ctx), None) == 0
    dev = lib.aios_device_at(ctx, 0)
    before = used(ctx)
    to_numpy(ctx, dev)
    from_numpy(ctx, dev)
    assert used(ctx) == before
    lib.aios_ctx_free(ctx)


main()
