# SPDX-License-Identifier: BSD-2-Clause
"""spw_esp.py - the stages as a function, for the tests in this folder.

SPW_ESP names the program (spw-esp.c), SPW_ESP_AEAD the AEAD provider; meson sets both.
"""
import os
import subprocess
from dataclasses import dataclass

import pytest

PORT = 4500


@dataclass
class Sa:
    key: bytes
    salt: bytes
    spi: int
    esn: bool
    outer: int = 4
    iv_mask: int = 0x1122334455667788

    def run(self, verb, sequence, packets):
        """Sends packets (bytes) through the stages; returns bytes, or "drop REASON", for each."""
        command = [os.environ["SPW_ESP"], verb, "--key", self.key.hex(), "--salt", self.salt.hex(),
                   "--spi", str(self.spi), "--sequence", str(sequence), "--outer", str(self.outer),
                   "--iv-mask", str(self.iv_mask), "--aead", os.environ["SPW_ESP_AEAD"]]
        command += ["--esn"] if self.esn else []
        done = subprocess.run(command, input="".join(p.hex() + "\n" for p in packets), text=True,
                              capture_output=True, timeout=60)
        if done.returncode == 77:
            pytest.skip(done.stderr)
        assert done.returncode == 0, done.stderr
        lines = [line for line in done.stdout.splitlines() if not line.startswith("EAL:")]
        assert len(lines) == len(packets), done.stdout + done.stderr
        return [line if line.startswith("drop") else bytes.fromhex(line) for line in lines]
