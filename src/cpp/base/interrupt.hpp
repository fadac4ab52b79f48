// What the stages of a long call ask whether it is to end early.
#pragma once

#include "personlab/interrupt.hpp"

namespace personlab {

// Throws Interrupted where the call is to end.
inline void poll(Interrupt* interrupt) {
  if (interrupt != nullptr && interrupt->check()) throw Interrupted();
}

}  // namespace personlab
