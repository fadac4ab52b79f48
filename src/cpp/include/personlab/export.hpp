// Marks what a shared library exports; its CMake target defines PERSONLAB_SHARED where it is built and where it is
// used.
#pragma once

#if !defined(PERSONLAB_SHARED)
#define PERSONLAB_API
#elif !defined(_WIN32)
#define PERSONLAB_API __attribute__((visibility("default")))
#elif defined(PERSONLAB_BUILDING)
#define PERSONLAB_API __declspec(dllexport)
#else
#define PERSONLAB_API __declspec(dllimport)
#endif
