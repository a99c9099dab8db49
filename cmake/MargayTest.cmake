# margay_add_tests(<label>.<area> OF <thing>... LIBS ... [SOURCES ...] [TIMEOUT s] [SERIAL])
# One GoogleTest program test.<label>.<area> from the sources <thing>_test.cpp, and a test
# <label>.<area>.<thing> for each, which runs what is in that source. The first word of the name is
# the ctest label. `SOURCES` are further ones, without tests.
# Nobody waits for a test's own code, everybody for its compiler.
set(margay_test_options $<$<CONFIG:Release>:-O0>)
add_custom_target(root_tests) # the other tests, and the programs that they run
add_custom_target(unit_tests) # everything that needs no root: what the sanitizer build runs

function(margay_add_tests name)
  cmake_parse_arguments(T "SERIAL" "TIMEOUT" "OF;SOURCES;LIBS" ${ARGN})
  set(program test.${name})
  list(TRANSFORM T_OF APPEND _test.cpp OUTPUT_VARIABLE sources)
  add_executable(${program} ${sources} ${T_SOURCES})
  target_link_libraries(${program} PRIVATE ${T_LIBS} margay_test_main)
  target_include_directories(${program} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
  target_compile_options(${program} PRIVATE ${margay_test_options})
  margay_precompile(${program} test)
  set_target_properties(${program} PROPERTIES
    RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests UNITY_BUILD_BATCH_SIZE 0)

  string(REGEX REPLACE "\\..*" "" label ${name})
  if(label MATCHES "^(unit|wire|fuzz)$")
    add_dependencies(unit_tests ${program})
  else()
    add_dependencies(root_tests ${program})
  endif()
  if(NOT T_TIMEOUT)
    set(T_TIMEOUT 120)
  endif()
  foreach(thing ${T_OF})
    add_test(NAME ${name}.${thing} COMMAND ${program} ${thing}_test.cpp)
    set_tests_properties(${name}.${thing} PROPERTIES
      LABELS ${label} TIMEOUT ${T_TIMEOUT} RUN_SERIAL ${T_SERIAL})
  endforeach()
endfunction()
