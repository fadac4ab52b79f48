"""bfloat16 of any DLPack producer: read from capsules made by hand, and what is said of producers that fail."""

import ctypes

import numpy as np
import pytest
import torch

from personlab.arrays.dlpack import _Tensor, bfloat16_bits
from personlab.arrays.host import as_field, as_numbers

_CAPSULE = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)(
    ("PyCapsule_New", ctypes.pythonapi)
)
_DESTRUCTOR = ctypes.PYFUNCTYPE(None, ctypes.c_void_p)


class ByHand:
    """Elements of 16 bits; counts the capsules made of them and those given back."""

    def __init__(self, bits, shape, strides=None, *, first=0, element=(4, 16, 1)):
        self.bits = np.array(bits, np.uint16)
        self.made = self.freed = 0
        axes = ctypes.c_int64 * len(shape)
        self.parts = axes(*shape), axes(*strides) if strides is not None else None
        as_pointer = ctypes.POINTER(ctypes.c_int64)
        self.tensor = _Tensor(
            self.bits.ctypes.data, 1, 0, len(shape), *element, ctypes.cast(self.parts[0], as_pointer),
            None if strides is None else ctypes.cast(self.parts[1], as_pointer), 2 * first,
        )  # fmt: skip
        self.destructor = _DESTRUCTOR(self._free)

    def _free(self, _):
        self.freed += 1

    def __dlpack__(self):
        self.made += 1
        return _CAPSULE(ctypes.addressof(self.tensor), b"dltensor", ctypes.cast(self.destructor, ctypes.c_void_p))

    def __dlpack_device__(self):
        return 1, 0


# bfloat16 is the upper half of a float32: 0x3F80 is 1, 0x4000 is 2, then 3, 4, 5, 6.
BITS = [0x3F80, 0x4000, 0x4040, 0x4080, 0x40A0, 0x40C0]


@pytest.mark.parametrize(
    ("shape", "strides", "first", "expected"),
    [
        ((6,), None, 0, [1, 2, 3, 4, 5, 6]),
        ((2, 3), None, 0, [[1, 2, 3], [4, 5, 6]]),
        ((2, 3), (3, 1), 0, [[1, 2, 3], [4, 5, 6]]),
        ((3, 2), (1, 3), 0, [[1, 4], [2, 5], [3, 6]]),
        ((2, 2), (3, 1), 1, [[2, 3], [5, 6]]),
        ((2, 3), (3, -1), 2, [[3, 2, 1], [6, 5, 4]]),
        ((6,), (-1,), 5, [6, 5, 4, 3, 2, 1]),
        ((2, 3), (0, 2), 0, [[1, 3, 5], [1, 3, 5]]),
        ((), None, 3, 4),
        ((0, 3), None, 0, np.zeros((0, 3))),
        ((2, 0), (0, 1), 0, np.zeros((2, 0))),
    ],
)
def test_shape_strides_and_byte_offset_are_followed(shape, strides, first, expected):
    producer = ByHand(BITS, shape, strides, first=first)
    bits = bfloat16_bits(producer)
    assert bits.dtype == np.uint16
    assert bits.shape == shape
    np.testing.assert_array_equal((bits.astype(np.uint32) << 16).view(np.float32), expected)
    assert producer.made == producer.freed == 1


def test_what_was_read_outlives_the_producer():
    producer = ByHand(BITS, (6,))
    bits = bfloat16_bits(producer)
    producer.bits[:] = 0
    np.testing.assert_array_equal(bits, BITS)


@pytest.mark.parametrize("element", [(4, 16, 2), (4, 8, 1), (10, 8, 1)])
def test_another_element_type_is_named(element):
    producer = ByHand(BITS, (6,), element=element)
    with pytest.raises(TypeError, match="element type of code {}, {} bits, {} lanes".format(*element)):
        bfloat16_bits(producer)
    assert producer.made == producer.freed == 1


class Producer:
    """A tensor of which only DLPack is known."""

    def __init__(self, tensor):
        self.__dlpack__, self.__dlpack_device__ = tensor.__dlpack__, tensor.__dlpack_device__


def test_widened_bfloat16_is_float32():
    array = as_field(Producer(torch.tensor([[1.0, -2.5], [0.0, 384.0]]).bfloat16().T), "a")
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array, [[1, 0], [-2.5, 384]])
    np.testing.assert_array_equal(as_numbers(Producer(torch.arange(3.0).bfloat16()), "a"), [0, 1, 2])
    np.testing.assert_array_equal(as_numbers(torch.arange(3.0).bfloat16(), "a"), [0, 1, 2])


def test_bits_that_are_no_number_stay_what_they_are():
    values = torch.tensor([np.nan, np.inf, -np.inf, -0.0]).bfloat16()
    array = as_field(Producer(values), "a")
    np.testing.assert_array_equal(array, values.float().numpy())
    assert np.signbit(array[3])


@pytest.mark.parametrize("wrap", [Producer, lambda tensor: tensor], ids=["DLPack", "torch"])
def test_a_type_that_nobody_reads_is_named(wrap):
    with pytest.raises(TypeError, match="a: expected a tensor that NumPy can read, got "):
        as_field(wrap(torch.zeros(3).to(torch.float8_e4m3fn)), "a")


class Failing:
    """A producer that does not get as far as a capsule."""

    def __init__(self, answer):
        self.answer = answer

    def __dlpack__(self, **_):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def __dlpack_device__(self):
        return 1, 0


@pytest.mark.parametrize("answer", [BufferError("read-only"), ValueError("no"), TypeError("no"), 5, None], ids=repr)
def test_a_producer_that_exports_nothing_is_named(answer):
    with pytest.raises(TypeError, match="a: expected a tensor that NumPy can read, got Failing: "):
        as_field(Failing(answer), "a")


def test_a_read_only_array_of_the_first_version_is_named():
    class OldProducer:
        def __init__(self, owner):
            self.owner = owner

        def __dlpack__(self, stream=None):
            return self.owner.__dlpack__()

        def __dlpack_device__(self):
            return self.owner.__dlpack_device__()

    array = np.zeros(3, np.float32)
    np.testing.assert_array_equal(as_field(OldProducer(array), "a"), array)
    array.flags.writeable = False
    with pytest.raises(TypeError, match=r"a: expected a tensor that NumPy can read, got OldProducer: .*read-?only"):
        as_field(OldProducer(array), "a")


def test_what_only_claims_to_be_a_producer_is_named():
    nowhere = Failing(5)
    nowhere.__class__ = type("Failing", (Failing,), {"__dlpack_device__": lambda _: ()})
    with pytest.raises(TypeError, match="a: expected host memory, got a tensor on device None"):
        as_field(nowhere, "a")
    with pytest.raises(TypeError, match="a: expected host memory, got a tensor on "):
        as_field(torch.Tensor, "a")
