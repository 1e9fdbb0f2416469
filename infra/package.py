"""Zips what cargo-lambda built, and judges its size.

Reads lines `LIMIT ARCHITECTURE FUNCTION`; the binary is FOLDER/ARCHITECTURE/FUNCTION/bootstrap, the zip FOLDER/ARCHITECTURE/FUNCTION.zip. cargo-lambda
can write a zip itself, but puts the time of the build into it, and then no two have the same bytes.
"""

import hashlib
import pathlib
import sys
import zipfile

# The first moment that a zip can name.
NEVER = (1980, 1, 1, 0, 0, 0)


def pack(binary):
    """The zip of one binary beside it, with nothing in it that the binary does not determine."""
    entry = zipfile.ZipInfo("bootstrap", NEVER)
    # A regular file that Lambda may execute, written as on Unix whatever this machine is.
    entry.create_system = 3
    entry.external_attr = 0o100755 << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    path = binary.parent.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(entry, binary.read_bytes(), compresslevel=9)
    return path


def refusal(name, size, limit):
    """Why a binary may not be shipped, if it may not."""
    if size <= limit:
        return None
    return (
        f"{name} has {size} bytes, the limit is {limit}: size decides how long a cold start takes; "
        f"see which crate or feature came in with `cargo tree -e features -p {name}`"
    )


def main(folder, lines):
    refusals = []
    print(f"{'function':16} {'processor':9} {'binary':>8} {'zip':>8}  SHA-256 of the zip")
    for limit, architecture, name in (line.split() for line in lines):
        binary = pathlib.Path(folder, architecture, name, "bootstrap")
        size, path = binary.stat().st_size, pack(binary)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        print(f"{name:16} {architecture:9} {size / 1e6:5.2f} MB {path.stat().st_size / 1e6:5.2f} MB  {digest}")
        refusals += filter(None, [refusal(name, size, int(limit))])
    for sentence in refusals:
        print(f"package: {sentence}", file=sys.stderr)
    return 1 if refusals else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.stdin))
