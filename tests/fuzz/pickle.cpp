#include "host/text/pickle.h"

#include "tests/fuzz/fuzz.h"

REEL_FUZZ({ reel::unpickle_lists(text, "pickle"); })
