// Archives (zip, and tar as it is or packed by gzip, bzip2, xz or Zstandard), streamed: nothing is unpacked to disk.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

namespace reel {

/// Whether a file that begins so (kSignatureBytes bytes of it, unpacked: packed.h) is a tar archive.
bool may_be_tar(std::string_view start);
/// The same of a zip.
bool is_zip(std::string_view start);

/// Calls visit(name, contents) for every regular file whose name `wanted` accepts, in the archive's order. Throws Error
/// where the archive is damaged, fails its checksums or ends early, where there is a link in it, and where it unpacks
/// to more than limits.h allows.
void read_archive(const std::filesystem::path& path, const std::function<bool(const std::string& name)>& wanted,
                  const std::function<void(const std::string& name, std::string contents)>& visit);

}  // namespace reel
