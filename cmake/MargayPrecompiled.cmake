# margay_precompile(<target> pure|runtime|test): the target's sources start with a header of
# cmake/pch that was parsed once. Half of the build is reading the standard library and Asio.
function(margay_precompile target kind)
  set(host margay_pch_${kind})
  if(NOT TARGET ${host})
    file(WRITE ${PROJECT_BINARY_DIR}/pch/${kind}.cpp "")
    add_library(${host} OBJECT ${PROJECT_BINARY_DIR}/pch/${kind}.cpp)
    target_link_libraries(${host} PRIVATE margay_base Threads::Threads)
    if(kind STREQUAL runtime)
      target_link_libraries(${host} PRIVATE spdlog::spdlog)
    elseif(kind STREQUAL test)
      target_link_libraries(${host} PRIVATE GTest::gmock)
      target_compile_options(${host} PRIVATE ${margay_test_options})
    endif()
    target_precompile_headers(${host} PRIVATE ${PROJECT_SOURCE_DIR}/cmake/pch/${kind}.h)
  endif()
  if(kind STREQUAL runtime) # its macros are part of the header
    target_link_libraries(${target} PRIVATE spdlog::spdlog)
  endif()
  target_precompile_headers(${target} REUSE_FROM ${host})
endfunction()

# Sources whose one job is CLI11, which is all in headers: optimised, each takes half a minute to
# compile and gains nothing.
function(margay_command_line)
  set_source_files_properties(${ARGN} PROPERTIES COMPILE_OPTIONS $<$<CONFIG:Release>:-O0>)
endfunction()
