// Long work with the GIL released, which Ctrl-C ends all the same.
#pragma once

#include <pybind11/pybind11.h>

#include "base/interrupt.hpp"
#include "base/types.hpp"

namespace py = pybind11;

namespace personlab {

// Runs the handlers of pending signals. A handler's exception, as of Ctrl-C, becomes Python's current error.
inline Interrupt::Answer ask_python() {
  const py::gil_scoped_acquire acquire;
  if (PyErr_CheckSignals() != 0) return Interrupt::Answer::kEnd;
  try {
    const py::object main = py::module_::import("threading").attr("main_thread")();
    const bool handles = main.attr("ident").cast<unsigned long>() == PyThread_get_thread_ident();
    return handles ? Interrupt::Answer::kGoOn : Interrupt::Answer::kNeverAsk;
  } catch (py::error_already_set& error) {  // raised by a handler, which these lines of Python may run too
    error.restore();
    return Interrupt::Answer::kEnd;
  }
}

// Does work without Python until it is done, or until a signal's handler raises an exception, which is thrown then.
template <typename Work>
void without_python(const Work& work) {
  Interrupt interrupt(&ask_python);
  {
    const py::gil_scoped_release release;
    try {
      work(&interrupt);
    } catch (const Interrupted&) {
    }
  }
  if (interrupt.ended()) throw py::error_already_set();
}

// The same for stages with options.
template <typename Options, typename Work>
void without_python(Options options, const Work& work) {
  without_python([&](Interrupt* interrupt) {
    options.interrupt = interrupt;
    work(options);
  });
}

}  // namespace personlab
