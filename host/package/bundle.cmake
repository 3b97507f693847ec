# The release bundle: the programs with every library that they need but the C library and NVIDIA's, in one archive that runs
# elsewhere. Its parts are the install component `bundle`; `./run bundle` has CPack put them together.
set(REEL_BUNDLE_DATA "" CACHE PATH "A prepared folder that the bundle takes along as data/")

# reel_bundle(DESTINATION TARGET...): programs, and with them their libraries.
function(reel_bundle destination)
  install(TARGETS ${ARGN} RUNTIME_DEPENDENCY_SET bundle RUNTIME DESTINATION ${destination} COMPONENT bundle EXCLUDE_FROM_ALL)
endfunction()

get_property(tests GLOBAL PROPERTY REEL_BUNDLED_TESTS)
reel_bundle(bin reel)
reel_bundle(bench gpu_bench)
if(tests)
  reel_bundle(tests ${tests})
endif()
install(RUNTIME_DEPENDENCY_SET bundle
  PRE_EXCLUDE_REGEXES [[^lib(c|m|dl|pthread|rt|resolv)\.so]] [[^ld-linux]]
  LIBRARY DESTINATION lib COMPONENT bundle EXCLUDE_FROM_ALL)

set(bench ${PROJECT_SOURCE_DIR}/bench)
install(PROGRAMS ${bench}/gpu_check.sh ${bench}/profile.sh DESTINATION bench COMPONENT bundle EXCLUDE_FROM_ALL)
foreach(script gpu_report gpu_tables tables peers_gpu peer_models tensors measure)
  install(FILES ${bench}/${script}.py DESTINATION bench COMPONENT bundle EXCLUDE_FROM_ALL)
endforeach()
install(DIRECTORY ${PROJECT_SOURCE_DIR}/tests/fixtures ${PROJECT_SOURCE_DIR}/tests/golden DESTINATION tests
  COMPONENT bundle EXCLUDE_FROM_ALL)
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE ${CMAKE_CURRENT_LIST_DIR}/INSTALL.md DESTINATION .
  COMPONENT bundle EXCLUDE_FROM_ALL)
if(REEL_BUNDLE_DATA)
  install(DIRECTORY ${REEL_BUNDLE_DATA}/ DESTINATION data COMPONENT bundle EXCLUDE_FROM_ALL)
endif()

string(TOLOWER "${PROJECT_NAME}-${PROJECT_VERSION}-${CMAKE_SYSTEM_NAME}-${CMAKE_SYSTEM_PROCESSOR}" CPACK_PACKAGE_FILE_NAME)
set(CPACK_GENERATOR TGZ)
set(CPACK_INSTALL_CMAKE_PROJECTS "${PROJECT_BINARY_DIR};${PROJECT_NAME};bundle;/")
set(CPACK_STRIP_FILES ON)
set(CPACK_PACKAGE_CHECKSUM SHA256)
set(CPACK_PRE_BUILD_SCRIPTS ${CMAKE_CURRENT_LIST_DIR}/finish_bundle.cmake)
include(CPack)
