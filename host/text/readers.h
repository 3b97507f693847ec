// One reader for each kind of source; read_corpus (corpus.h) recognises the kind.
#pragma once

#include <filesystem>

#include "host/text/corpus_builder.h"

namespace reel {

/// aclImdb_v1.tar.gz: aclImdb/{train,test}/{pos,neg}/*.txt, read in the order of the paths.
Corpus read_aclimdb_archive(const std::filesystem::path& path);
/// The same, unpacked; `folder` is the one that holds train/ and test/.
Corpus read_aclimdb_folder(const std::filesystem::path& folder);

/// Keras' imdb.npz; `word_index` (imdb_word_index.json, word -> rank) may be empty.
Corpus read_npz(const std::filesystem::path& path, const std::filesystem::path& word_index);
/// imdb_word_index.json, {"word": rank, ...} with every rank from 1: the words by rank, the first of rank 1.
std::vector<std::string> read_word_index(const std::filesystem::path& path);

/// Rows of CSV files with a header (review,sentiment or text,label; RFC 4180) or of JSON lines ({"text": ..., "label":
/// ...}). Labels: 0, 1, neg, pos, negative, positive; JSON also false and true. Without `test_path` a fifth
/// of the rows, drawn at random, tests.
Corpus read_labelled_rows(const std::filesystem::path& train_path, const std::filesystem::path& test_path);
/// Whether a file's first character, blanks aside, opens a JSON object.
bool is_json_lines(const std::filesystem::path& path);

/// A folder that write_prepared wrote.
Corpus read_prepared(const std::filesystem::path& folder);

}  // namespace reel
