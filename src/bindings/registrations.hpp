// The registrations of module _core, one a file.
#pragma once

#include <pybind11/pybind11.h>

namespace personlab {

void register_types(pybind11::module_& m);                // core_types.cpp
void register_images(pybind11::module_& m);               // core_images.cpp
void register_personlab(pybind11::module_& m);            // core_personlab.cpp
void register_personlab_stages(pybind11::module_& m);     // core_personlab_stages.cpp
void register_simple_baseline(pybind11::module_& m);      // core_simple_baseline.cpp
void register_simple_pose(pybind11::module_& m);          // core_simple_pose.cpp
void register_simple_pose_targets(pybind11::module_& m);  // core_simple_pose_targets.cpp

}  // namespace personlab
