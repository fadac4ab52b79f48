// Marks what a shared library exports. A static one defines PERSONLAB_STATIC, also for those who link to it.
#pragma once

#if defined(PERSONLAB_STATIC)
#define PERSONLAB_API
#elif !defined(_WIN32)
#define PERSONLAB_API __attribute__((visibility("default")))
#elif defined(PERSONLAB_BUILDING)
#define PERSONLAB_API __declspec(dllexport)
#else
#define PERSONLAB_API __declspec(dllimport)
#endif
