// Module _core: a list of registrations, and facts about the build and the machine.
#include <string>

#include "registrations.hpp"
#include "simd/dispatch.hpp"

namespace {

std::string compiler() {
#if defined(__clang__)
  return "clang " __clang_version__;
#elif defined(__GNUC__)
  return "gcc " __VERSION__;
#elif defined(_MSC_VER)
  return "msvc " + std::to_string(_MSC_FULL_VER);
#else
  return "unknown";
#endif
}

}  // namespace

// Importing calls PyInit__core below, which calls the function that pybind11 defines here.
#define PyInit__core init_core
PYBIND11_MODULE(_core, m) {
  m.doc() = "The compiled decoding core of personlab; use it through the functions of the package.";
  m.attr("compiler") = compiler();
  m.attr("instruction_set") = personlab::isa_name();
  m.attr("instruction_sets") = personlab::isa_names();
  m.attr("version") = PERSONLAB_VERSION;
  m.attr("build_type") = PERSONLAB_BUILD_TYPE;
  personlab::register_types(m);
  personlab::register_images(m);
  personlab::register_personlab(m);
  personlab::register_personlab_stages(m);
  personlab::register_simple_baseline(m);
  personlab::register_simple_pose(m);
  personlab::register_simple_pose_targets(m);
}
#undef PyInit__core

// In a subinterpreter pybind11 would wait for ever for a lock that the caller holds.
extern "C" PYBIND11_EXPORT PyObject* PyInit__core() {
  if (PyInterpreterState_Get() != PyInterpreterState_Main()) {
    PyErr_SetString(PyExc_ImportError, "personlab: expected the main interpreter, got a subinterpreter");
    return nullptr;
  }
  return init_core();
}
