// Where the programs are: the only file of these tests that differs from build to build.
#include "tests/cli/program.h"

namespace reel {

std::string Program::built_program() { return moved("REEL_PROGRAM", REEL_PROGRAM); }

std::string Program::emulated_program() { return REEL_EMULATED_PROGRAM; }

std::string Program::failing_calls() { return REEL_FAILING_CALLS; }

}  // namespace reel
