// One reader for each kind of source; read_corpus (corpus.h) recognises the kind.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

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

/// Rows of files (rows.h), or of folders with a sub-folder a label. Without `test_path` a fifth of the rows, drawn at
/// random, tests.
Corpus read_labelled_rows(const std::filesystem::path& train_path, const std::filesystem::path& test_path,
                          const ReadOptions& options = {});

/// A folder that write_prepared wrote.
Corpus read_prepared(const std::filesystem::path& folder);

/// What all but rows have: labels of their own, and no columns. Throws Error where the options ask for those.
void expect_no_columns(const std::string& source, const ReadOptions& options);
/// The corpus with the labels of a model, where the options have those: two classes as 0 and 1 whatever they are called
/// (label_index.h), others by their names. Throws Error where it has another task, or labels that the model lacks.
Corpus with_own_labels(Corpus corpus, const ReadOptions& options);

}  // namespace reel
