// A function of Python that takes all its arguments by keyword and reads them faster than pybind11 does.
#pragma once

#include <pybind11/pybind11.h>

#include <array>
#include <exception>
#include <new>

namespace py = pybind11;

namespace personlab {

// A function of CPython's METH_FASTCALL | METH_KEYWORDS. `Function` has `name`, `doc`, `keywords`, which callers pass
// in this order, and `call`, which takes their values. Keywords are compared by address: the interpreter interns
// them.
template <typename Function>
class KeywordFunction {
 public:
  static void add_to(py::module_& m) {
    for (std::size_t i = 0; i < kCount; ++i) names()[i] = PyUnicode_InternFromString(Function::keywords[i]);
    static PyMethodDef definition{Function::name, reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(&call)),
                                  METH_FASTCALL | METH_KEYWORDS, Function::doc};
    m.attr(Function::name) = py::reinterpret_steal<py::object>(
        PyCFunction_NewEx(&definition, nullptr, py::object(m.attr("__name__")).ptr()));
  }

 private:
  static constexpr std::size_t kCount = Function::keywords.size();

  static std::array<PyObject*, kCount>& names() {
    static std::array<PyObject*, kCount> interned{};
    return interned;
  }

  static bool matches(Py_ssize_t positional, PyObject* keywords) {
    if (positional != 0 || keywords == nullptr || PyTuple_GET_SIZE(keywords) != static_cast<Py_ssize_t>(kCount))
      return false;
    for (std::size_t i = 0; i < kCount; ++i)
      if (PyTuple_GET_ITEM(keywords, static_cast<Py_ssize_t>(i)) != names()[i]) return false;
    return true;
  }

  static PyObject* call(PyObject*, PyObject* const* values, Py_ssize_t positional, PyObject* keywords) {
    if (!matches(positional, keywords)) return PyErr_Format(PyExc_TypeError, "expected %s", Function::doc);
    try {
      return Function::call(values).release().ptr();
    } catch (py::error_already_set& error) {
      error.restore();
    } catch (const std::bad_alloc&) {
      PyErr_NoMemory();
    } catch (const std::exception& error) {
      PyErr_SetString(PyExc_RuntimeError, error.what());
    }
    return nullptr;
  }
};

}  // namespace personlab
