// What of a data set to read, and as what: flags of the commands that read one.
#pragma once

#include <CLI/CLI.hpp>

#include "host/text/corpus.h"

namespace reel {

/// Adds --task, --text-column, --label-column, --weight-column and --soft-labels, which fill `options`.
void add_read_options(CLI::App& app, ReadOptions& options);

}  // namespace reel
