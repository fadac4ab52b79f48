# The module _cuda, for machines with a CUDA compiler and a GPU; and its stages as plain C++, for tests without a GPU.
set(cuda_stages
  src/cuda/base/memory.cu
  src/cuda/base/skeleton.cu
  src/cuda/methods/personlab/decode.cu
  src/cuda/methods/personlab/encode.cu
  src/cuda/methods/personlab/group.cu
  src/cuda/methods/personlab/grow.cu
  src/cuda/methods/personlab/hough.cu
  src/cuda/methods/personlab/mask_poses.cu
  src/cuda/methods/personlab/mask_scores.cu
  src/cuda/methods/personlab/masks.cu
  src/cuda/methods/personlab/peaks.cu
  src/cuda/methods/personlab/rank.cu
  src/cuda/methods/personlab/refine.cu
  src/cuda/methods/personlab/refine_backward.cu
  src/cuda/methods/personlab/score.cu
  src/cuda/methods/personlab/sharpen.cu)
set(cuda_bindings src/bindings/cuda.cpp src/bindings/cuda_personlab.cpp src/bindings/cuda_personlab_dense.cpp)

if(NOT PERSONLAB_CUDA MATCHES "^(AUTO|ON|OFF)$")
  message(FATAL_ERROR "PERSONLAB_CUDA: expected AUTO, ON or OFF, got '${PERSONLAB_CUDA}'")
endif()
set(with_cuda OFF)
if(NOT PERSONLAB_CUDA STREQUAL "OFF")
  include(CheckLanguage)
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    set(with_cuda ON)
  elseif(PERSONLAB_CUDA STREQUAL "ON")
    message(FATAL_ERROR "PERSONLAB_CUDA=ON: expected a CUDA compiler, got none; put nvcc on PATH or set CUDACXX")
  endif()
endif()
set(architectures_wanted "${CMAKE_CUDA_ARCHITECTURES}")
if(with_cuda AND PERSONLAB_CUDA STREQUAL "AUTO" AND NOT architectures_wanted)
  # For the GPU at hand alone: all architectures together take three times as long as everything else.
  include(cmake/find_gpu.cmake)
  find_gpu(gpu)
  if(gpu AND CMAKE_VERSION VERSION_GREATER_EQUAL 3.24)
    set(architectures_wanted native)
    set(CMAKE_CUDA_ARCHITECTURES native)
  elseif(NOT gpu)
    set(with_cuda OFF)
    message(STATUS "personlab: no GPU on this machine, the module _cuda is left out; -Ccmake.define.PERSONLAB_CUDA=ON insists on it")
  endif()
endif()

if(with_cuda)
  if(NOT architectures_wanted)
    set(CMAKE_CUDA_ARCHITECTURES OFF)  # chosen below, once CMake has asked for the compiler's version
  endif()
  enable_language(CUDA)
  if(NOT architectures_wanted)
    # From Turing on, as far as the compiler knows them; PTX of the last for what comes later.
    set(CMAKE_CUDA_ARCHITECTURES 75-real 80-real 86-real)
    set(last 86)
    foreach(release "11.8:89" "11.8:90" "12.8:100" "12.8:120")
      string(REPLACE ":" ";" release ${release})
      list(GET release 0 since)
      list(GET release 1 architecture)
      if(CMAKE_CUDA_COMPILER_VERSION VERSION_GREATER_EQUAL ${since})
        list(APPEND CMAKE_CUDA_ARCHITECTURES ${architecture}-real)
        set(last ${architecture})
      endif()
    endforeach()
    list(APPEND CMAKE_CUDA_ARCHITECTURES ${last}-virtual)
  endif()
  set(CMAKE_CUDA_STANDARD 17)
  set(CMAKE_CUDA_STANDARD_REQUIRED ON)
  set(CMAKE_CUDA_RUNTIME_LIBRARY Static)

  pybind11_add_module(_cuda ${cuda_bindings} ${cuda_stages})
  target_include_directories(_cuda PRIVATE src/cpp src/cpp/include src/cuda ${CMAKE_CUDA_TOOLKIT_INCLUDE_DIRECTORIES})
  set(architectures ${CMAKE_CUDA_ARCHITECTURES})
  if(architectures STREQUAL "native")
    set(architectures ${CMAKE_CUDA_ARCHITECTURES_NATIVE})
  endif()
  list(JOIN architectures " " architectures)
  target_compile_definitions(_cuda PRIVATE PERSONLAB_CUDA_MODULE=_cuda PERSONLAB_CUDA_ARCHITECTURES="${architectures}"
    PERSONLAB_CUDA_COMPILER="nvcc ${CMAKE_CUDA_COMPILER_VERSION}")
  # No contraction into fused multiply-adds: votes and offsets come out as the CPU core computes them.
  target_compile_options(_cuda PRIVATE $<$<COMPILE_LANGUAGE:CUDA>:--fmad=false
    $<$<BOOL:${PERSONLAB_WERROR}>:--Werror=all-warnings>>
    $<$<COMPILE_LANG_AND_ID:CXX,GNU,Clang,AppleClang>:-Wall -Wextra -Wshadow $<$<BOOL:${PERSONLAB_WERROR}>:-Werror>>)
  list(APPEND modules _cuda)
endif()

if(PERSONLAB_CUDA_ON_HOST)
  # The module _cuda_on_host: the same functions on the runtime of tests/cuda_host, whose cuda_runtime.h and
  # base/platform.cuh come first on the include path.
  set(on_host ${cuda_bindings})
  foreach(stage IN LISTS cuda_stages)
    get_filename_component(name ${stage} NAME_WE)
    set(wrapper ${CMAKE_CURRENT_BINARY_DIR}/on_host/${name}.cpp)
    file(CONFIGURE OUTPUT ${wrapper} CONTENT "#include \"${CMAKE_CURRENT_SOURCE_DIR}/${stage}\"\n" @ONLY)
    list(APPEND on_host ${wrapper})
  endforeach()
  pybind11_add_module(_cuda_on_host NO_EXTRAS ${on_host})  # no link-time optimization: it takes as long as all else
  target_include_directories(_cuda_on_host PRIVATE tests/cuda_host src/cpp src/cpp/include src/cuda)
  target_compile_definitions(_cuda_on_host PRIVATE PERSONLAB_CUDA_MODULE=_cuda_on_host PERSONLAB_CUDA_ARCHITECTURES="none"
    PERSONLAB_CUDA_COMPILER="${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}")
  list(APPEND modules _cuda_on_host)
  list(APPEND targets _cuda_on_host)
endif()
