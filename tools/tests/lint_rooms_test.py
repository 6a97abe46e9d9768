#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tools/lint_rooms over small trees: the good one passes, each fault is named with its file and line."""

import pathlib
import subprocess
import sys
import tempfile
import unittest

LINT = pathlib.Path(__file__).resolve().parents[1] / "lint_rooms"

GOOD = {
    "src/base/CMakeLists.txt": "tidewaiter_room(base LIBRARIES fmt::fmt)\n",
    "src/base/README.md": "# base\n",
    "src/base/result.h": '#include <sys/socket.h>\n#include "base/error.h"\n',
    "src/telemetry/CMakeLists.txt": "# tidewaiter_room(not this one)\ntidewaiter_room(telemetry\n  DEPENDS base)\n",
    "src/telemetry/README.md": "# telemetry\n",
    "src/telemetry/window.h": '#include "base/result.h"\n',
    "src/telemetry/testing/fake.h": '#include "telemetry/window.h"\n',
    "src/model/CMakeLists.txt": "tidewaiter_room(model\n  DEPENDS base telemetry  # and no more\n  LIBRARIES kernel::thing)\n",
    "src/model/README.md": "# model\n",
    "src/model/forecast.cpp": '#include "model/forecast.h"\n\n#include "base/result.h"\n#include "telemetry/window.h"\n',
    "src/model/tests/forecast_test.cpp": '#include "model/forecast.h"\n#include "telemetry/testing/fake.h"\n',
    "src/kernel/CMakeLists.txt": "tidewaiter_room(kernel DEPENDS telemetry)\n",
    "src/kernel/README.md": "# kernel\n",
    "src/kernel/bpf/state.bpf.c": '#include "vmlinux.h"\n#include "kernel/wire/state.h"\n#include "telemetry/window.h"\n',
}


class LintRooms(unittest.TestCase):
    def lint(self, changes):
        """(exit code, what it said) for the good tree with these files changed; None removes a file."""
        with tempfile.TemporaryDirectory() as root:
            for name, text in {**GOOD, **changes}.items():
                if text is not None:
                    path = pathlib.Path(root, name)
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_text(text)
            done = subprocess.run([sys.executable, LINT, "--root", root], capture_output=True, text=True, check=False)
            return done.returncode, done.stderr

    def refuses(self, changes, *expected):
        code, said = self.lint(changes)
        self.assertEqual(code, 1, said)
        for text in expected:
            self.assertIn(text, said)
        return said

    def test_a_good_tree_passes_in_silence(self):
        self.assertEqual(self.lint({}), (0, ""))

    def test_an_undeclared_include_is_refused_with_what_is_allowed(self):
        said = self.refuses({"src/kernel/netlink.cpp": '\n#include "model/forecast.h"\n'}, "src/kernel/netlink.cpp:2: ",
                            "did not declare model; allowed are kernel, telemetry")
        self.assertEqual(len(said.splitlines()), 1)

    def test_an_undeclared_include_of_a_bpf_program_is_refused(self):
        self.refuses({"src/kernel/bpf/x.bpf.c": '# include "base/result.h"\n'}, "src/kernel/bpf/x.bpf.c:1: ")

    def test_angle_brackets_hide_nothing(self):
        self.refuses({"src/kernel/x.h": "#include <base/result.h>\n"}, "src/kernel/x.h:1: ", "did not declare base")

    def test_a_test_may_not_include_what_its_room_did_not_declare(self):
        self.refuses({"src/kernel/tests/x_test.cpp": '#include "model/forecast.h"\n'}, "src/kernel/tests/x_test.cpp:1: ")

    def test_fakes_are_for_tests(self):
        self.refuses({"src/model/x.cpp": '#include "telemetry/testing/fake.h"\n'}, "src/model/x.cpp:1: ", "is for tests")

    def test_an_unknown_room_is_refused(self):
        self.refuses({"src/model/x.cpp": '#include "common/util.h"\n'}, "src/model/x.cpp:1: unknown room common")
        self.refuses({"src/kernel/CMakeLists.txt": "tidewaiter_room(kernel\n DEPENDS telemetry\n common)\n"},
                     "src/kernel/CMakeLists.txt:3: ", "unknown room common")

    def test_a_cycle_is_refused(self):
        self.refuses({"src/base/CMakeLists.txt": "\ntidewaiter_room(base DEPENDS model)\n",
                      "src/base/x.cpp": '#include "model/forecast.h"\n'}, "CMakeLists.txt:", "cycle of rooms: base → model → base")

    def test_an_upward_edge_is_refused(self):
        self.refuses({"src/telemetry/CMakeLists.txt": "tidewaiter_room(telemetry DEPENDS base\n  model)\n",
                      "src/telemetry/x.cpp": '#include "model/forecast.h"\n'},
                     "src/telemetry/CMakeLists.txt:2: telemetry (level 1) → model (level 2) goes up; telemetry may depend on base")

    def test_a_sideways_edge_is_refused(self):
        self.refuses({"src/kernel/CMakeLists.txt": "tidewaiter_room(kernel DEPENDS telemetry model)\n",
                      "src/kernel/x.cpp": '#include "model/forecast.h"\n'},
                     "src/kernel/CMakeLists.txt:1: kernel (level 2) → model (level 2) goes sideways")

    def test_nobody_depends_on_research(self):
        self.refuses({"src/research/CMakeLists.txt": "tidewaiter_room(research)\n", "src/research/README.md": "",
                      "src/cli/CMakeLists.txt": "tidewaiter_room(cli OBJECT DEPENDS research)\n", "src/cli/README.md": "",
                      "src/cli/x.cpp": '#include "research/fit.h"\n'}, "src/cli/CMakeLists.txt:1: no room depends on research")

    def test_an_unused_dependency_is_refused(self):
        self.refuses({"src/model/forecast.cpp": '#include "base/result.h"\n'},
                     "src/model/CMakeLists.txt:2: room model includes nothing of telemetry")

    def test_a_missing_readme_is_refused(self):
        self.refuses({"src/model/README.md": None}, "src/model/CMakeLists.txt:1: room model has no README.md")

    def test_a_folder_without_a_declaration_is_refused(self):
        self.refuses({"src/serve/http.h": ""}, "src/serve/CMakeLists.txt:1: src/serve is no room")

    def test_a_room_without_a_level_is_refused(self):
        self.refuses({"src/attic/CMakeLists.txt": "tidewaiter_room(attic)\n", "src/attic/README.md": ""},
                     "src/attic/CMakeLists.txt:1: room attic has no level")


if __name__ == "__main__":
    unittest.main()
