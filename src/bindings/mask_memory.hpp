// Memory of large masks, which is used again once nobody holds it any more.
#pragma once

#include <pybind11/numpy.h>

#include <cstddef>
#include <cstdint>
#include <utility>

namespace py = pybind11;

namespace personlab {

// The memory of one array of masks. Where the last array over it is gone it is kept for the next result, as a system
// that hands out cleared pages takes several times as long as clearing pages that are there. Small blocks come from
// NumPy alone: the C library keeps these itself.
//
// At most one block of up to kMaxBytes lies idle; one that does not fit the next result is freed. All of it happens
// with the GIL held. At exit the idle block is left to the system.
class MaskMemory {
 public:
  static constexpr std::size_t kMinBytes = std::size_t{4} << 20, kMaxBytes = std::size_t{256} << 20;

  explicit MaskMemory(py::array_t<std::uint8_t> block) : block_(std::move(block)) {}
  MaskMemory(MaskMemory&&) = default;
  MaskMemory(const MaskMemory&) = delete;
  MaskMemory& operator=(const MaskMemory&) = delete;
  MaskMemory& operator=(MaskMemory&&) = delete;
  ~MaskMemory() {
    if (!block_ || block_.size() > static_cast<py::ssize_t>(kMaxBytes)) return;
    py::handle& idle = idle_block();
    const py::handle former = std::exchange(idle, block_.release());
    former.dec_ref();
  }

  std::uint8_t* data() { return block_.mutable_data(); }
  py::ssize_t size() const { return block_.size(); }

  // The idle block, if it suits a result of so many bytes and is at most twice as large; else an empty handle.
  static py::object take_idle(std::size_t bytes) {
    auto block = py::reinterpret_steal<py::object>(std::exchange(idle_block(), py::handle()));
    if (!block) return block;
    const auto size = static_cast<std::size_t>(py::reinterpret_borrow<py::array>(block).size());
    return bytes <= size && size / 2 <= bytes ? block : py::object();
  }

 private:
  static py::handle& idle_block() {
    static py::handle idle;
    return idle;
  }

  py::array_t<std::uint8_t> block_;
};

// A new array of masks (P, H, W), and whether it is zero already, as pages are that come from the system.
struct NewMasks {
  py::array_t<bool> array;
  bool clear = false;

  NewMasks(py::ssize_t p, py::ssize_t height, py::ssize_t width) {
    const auto bytes = static_cast<std::size_t>(p) * static_cast<std::size_t>(height * width);
    if (bytes < MaskMemory::kMinBytes) {
      array = py::array_t<bool>({p, height, width});
      return;
    }
    const py::object zeros = py::module_::import("numpy").attr("zeros");
    if (bytes > MaskMemory::kMaxBytes) {
      array = zeros(py::make_tuple(p, height, width), py::dtype::of<bool>());
      clear = true;
      return;
    }
    py::object block = MaskMemory::take_idle(bytes);
    clear = !block;
    if (clear) block = zeros(bytes, py::dtype::of<std::uint8_t>());
    const py::object owner = py::cast(MaskMemory(py::reinterpret_borrow<py::array_t<std::uint8_t>>(block)));
    const auto* data = reinterpret_cast<const bool*>(owner.cast<MaskMemory&>().data());
    array = py::array_t<bool>({p, height, width}, data, owner);
  }

  std::uint8_t* data() { return reinterpret_cast<std::uint8_t*>(array.mutable_data()); }
};

// The type that owns the memory of large masks: a writeable buffer, so that arrays over it are ordinary ones.
inline void register_mask_memory(py::module_& m) {
  py::class_<MaskMemory>(m, "MaskMemory", py::buffer_protocol()).def_buffer([](MaskMemory& memory) {
    return py::buffer_info(memory.data(), memory.size(), false);
  });
}

}  // namespace personlab
