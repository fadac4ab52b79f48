# Installs the library, its headers and the CMake package that find_package(personlab CONFIG) reads. The wheel installs the component
# `python` alone, which has none of them.
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

install(TARGETS personlab EXPORT personlabTargets
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT development
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT runtime NAMELINK_COMPONENT development
  RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT runtime)
install(DIRECTORY src/cpp/include/personlab DESTINATION include COMPONENT development)

set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/personlab)
install(EXPORT personlabTargets NAMESPACE personlab:: DESTINATION ${package_folder} COMPONENT development)
configure_package_config_file(cmake/personlabConfig.cmake.in ${CMAKE_CURRENT_BINARY_DIR}/personlabConfig.cmake
  INSTALL_DESTINATION ${package_folder} NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/personlabConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)  # the interface may change with 0.x
install(FILES
  ${CMAKE_CURRENT_BINARY_DIR}/personlabConfig.cmake
  ${CMAKE_CURRENT_BINARY_DIR}/personlabConfigVersion.cmake
  DESTINATION ${package_folder} COMPONENT development)
