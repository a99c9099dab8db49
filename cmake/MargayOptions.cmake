add_library(margay_options INTERFACE)
target_compile_options(margay_options INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror>)
# Clang would warn inside macros of libbpf (LIBBPF_OPTS) and inside libstdc++ 12 (stable_sort).
target_compile_options(margay_options INTERFACE $<$<COMPILE_LANG_AND_ID:CXX,Clang>:
  -Wno-gnu-statement-expression-from-macro-expansion -Wno-c99-extensions
  -Wno-missing-designated-field-initializers -Wno-deprecated-declarations>)
# g++ (12 and 14 seen) invents overlaps and overflows when it optimises copies of strings and vectors
# (GCC bugs 105651, 105329). Clang looks at the same code.
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
  set(optimised "$<AND:$<COMPILE_LANGUAGE:CXX>,$<NOT:$<CONFIG:Debug>>>")
  target_compile_options(margay_options INTERFACE
    "$<${optimised}:-Wno-restrict;-Wno-array-bounds;-Wno-stringop-overflow;-Wno-stringop-overread>")
endif()
target_compile_definitions(margay_options INTERFACE MARGAY_VERSION="${PROJECT_VERSION}")
if(MARGAY_SANITIZE)
  target_compile_options(margay_options INTERFACE
    -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer)
  target_link_options(margay_options INTERFACE -fsanitize=address,undefined)
endif()
if(MARGAY_FUZZ)
  target_compile_options(margay_options INTERFACE -fsanitize=fuzzer-no-link)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL Clang) # a fraction of GNU ld's time, a link a test folder
  target_link_options(margay_options INTERFACE -fuse-ld=lld)
endif()
find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
  set(CMAKE_C_COMPILER_LAUNCHER ${CCACHE})
endif()
