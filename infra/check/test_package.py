"""What infra/package.py makes of a binary."""

import contextlib
import io
import os
import pathlib
import sys
import tempfile
import unittest
import zipfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import package  # noqa: E402


class Package(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def binary(self, processor, size=1000):
        path = self.folder / processor / "scale-up" / "bootstrap"
        path.parent.mkdir(parents=True)
        path.write_bytes(bytes(size))
        return path

    def run_main(self, lines):
        said, refused = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(refused):
            code = package.main(self.folder, lines)
        return code, said.getvalue(), refused.getvalue()

    def test_two_builds_at_different_times_give_the_same_zip(self):
        first, second = self.binary("arm64"), self.binary("x86_64")
        os.utime(second, (0, 0))
        second.chmod(0o600)
        self.assertEqual(package.pack(first).read_bytes(), package.pack(second).read_bytes())

    def test_lambda_may_execute_what_it_finds_as_bootstrap(self):
        entry = zipfile.ZipFile(package.pack(self.binary("arm64"))).getinfo("bootstrap")
        self.assertEqual(entry.external_attr >> 16, 0o100755)
        self.assertEqual(entry.create_system, 3)

    def test_a_binary_at_its_limit_is_shipped_and_its_size_said(self):
        self.binary("arm64", 6_000_000)
        code, said, refused = self.run_main(["6000000 arm64 scale-up\n"])
        self.assertEqual((code, refused), (0, ""))
        self.assertIn("scale-up         arm64      6.00 MB", said)

    def test_a_binary_over_its_limit_is_refused_with_a_sentence_after_all_are_listed(self):
        self.binary("arm64", 6_000_001)
        self.binary("x86_64", 10)
        code, said, refused = self.run_main(["6000000 arm64 scale-up\n", "6000000 x86_64 scale-up\n"])
        self.assertEqual(code, 1)
        self.assertIn("x86_64", said)
        self.assertIn("scale-up has 6000001 bytes, the limit is 6000000", refused)


if __name__ == "__main__":
    unittest.main()
