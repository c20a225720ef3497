"""serve decodes every image in a process of its own, which no image and no end of the server outlives."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import psutil
import pytest
from served import Served, drawn_png, post, progressive


def test_an_ordinary_image_is_decoded_and_scored_in_children(served: Served):
    """One that decodes, and one with the network, although this user exported it."""
    assert post(served.port, [drawn_png(1)]).json()["results"][0]["error"] == ""
    assert len(psutil.Process(served.process.pid).children()) == 2


@pytest.mark.campaign
def test_a_bomb_is_an_error_and_ctrl_c_does_not_wait_for_one(bundle: Path, tmp_path: Path):
    server, bomb = Served(bundle, tmp_path), progressive(240, 7000)
    found = post(server.port, [bomb, drawn_png(1)]).json()["results"]
    assert found[0]["error"].startswith("E_LIMIT") and found[1]["error"] == ""
    sender = threading.Thread(target=lambda: post(server.port, [bomb] * 8), daemon=True)
    sender.start()
    time.sleep(1.0)
    children = psutil.Process(server.process.pid).children()
    began = time.monotonic()
    assert server.stop() == 0
    print(f"ends after {time.monotonic() - began:.2f} s")
    psutil.wait_procs(children, timeout=30)
    assert children and not any(child.is_running() for child in children)
