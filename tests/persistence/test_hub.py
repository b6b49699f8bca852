"""Models on the Hugging Face Hub, here a stub of its API that keeps files in memory."""

import base64
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from sk_brainmae import BrainMAETransformer
from sk_brainmae.persistence.folder import CONFIG, FILES, WEIGHTS

pytest.importorskip("huggingface_hub")

COMMIT = "a" * 40
REPO, DAMAGED = "someone/pain", "someone/damaged"


class Hub(BaseHTTPRequestHandler):
    """As much of the Hub as repositories of small files need."""

    address: str
    repos: dict[str, dict[str, bytes]]
    asked: list[str]

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.asked.append(self.path)
        if self.path == "/api/repos/create":
            self.answer({"url": f"{self.address}/{REPO}"})
        elif self.path == f"/api/models/{REPO}/preupload/main":
            files = [
                {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False}
                for file in json.loads(body)["files"]
            ]
            self.answer({"files": files})
        elif self.path == f"/api/models/{REPO}/commit/main":
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    content = base64.b64decode(line["value"]["content"])
                    self.repos[REPO][line["value"]["path"]] = content
            url = f"{self.address}/{REPO}/commit/{COMMIT}"
            self.answer({"commitOid": COMMIT, "commitUrl": url})
        else:
            self.answer({"errors": [], "warnings": []})

    def do_GET(self):
        self.asked.append(self.path)
        path = self.path.split("?")[0]
        for repo, files in self.repos.items():
            if path in {
                f"/api/models/{repo}{at}" for at in ("", "/revision/main", f"/revision/{COMMIT}")
            }:
                siblings = [{"rfilename": name} for name in files]
                return self.answer({"id": repo, "sha": COMMIT, "siblings": siblings, "tags": []})
            if path.startswith(f"/api/models/{repo}/tree/{COMMIT}"):
                tree = [
                    {"type": "file", "path": name, "size": len(content), "oid": COMMIT}
                    for name, content in files.items()
                ]
                return self.answer(tree)
            if path.startswith(f"/{repo}/resolve/{COMMIT}/"):
                return self.answer_file(files[path.rsplit("/", 1)[1]])
        return self.answer({"error": "Repository not found"}, 404)

    do_HEAD = do_GET  # noqa: N815

    def answer(self, value, status=200):
        content = json.dumps(value).encode()
        self.send_response(status)
        if status == 404:
            self.send_header("X-Error-Code", "RepoNotFound")
        self.send_header("Content-Type", "application/json")
        self.finish_with(content)

    def answer_file(self, content):
        self.send_response(200)
        self.send_header("ETag", f'"{len(content)}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.finish_with(content)

    def finish_with(self, content):
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_): ...


SCRIPT = """
import json, sys
import numpy as np, torch
torch.set_num_threads(1)
from sk_brainmae import BrainMAETransformer

folder = sys.argv[1]
said = {"address": BrainMAETransformer.from_pretrained(folder).push_to_hub("someone/pain")}
loaded = BrainMAETransformer.from_pretrained("hf://someone/pain")
np.save(sys.argv[3], loaded.transform(np.load(sys.argv[2])))
for name in ("damaged", "else"):
    try:
        BrainMAETransformer.from_pretrained(f"hf://someone/{name}")
    except (ValueError, OSError) as error:
        kind = "OSError" if isinstance(error, OSError) else "ValueError"
        said[name] = f"{kind}: {error}"
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def visit(scans, saved, tmp_path_factory):
    """What one process that knows the stub as its Hub did: push, load, and two failures."""
    folder = tmp_path_factory.mktemp("hub")
    np.save(folder / "scans.npy", scans)
    damaged = {name: (saved / name).read_bytes() for name in FILES}
    damaged[CONFIG] = damaged[CONFIG][:-10]
    repos = {REPO: {"malware.py": b"import os"}, DAMAGED: damaged}
    stub = type("Stub", (Hub,), {"repos": repos, "asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), stub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    stub.address = f"http://127.0.0.1:{server.server_port}"
    environment = {
        **os.environ,
        "HF_ENDPOINT": stub.address,
        "HF_HOME": str(folder / "cache"),
        "HF_TOKEN": "hf_stub",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "NO_PROXY": "127.0.0.1",
    }
    paths = [str(saved), str(folder / "scans.npy"), str(folder / "output.npy")]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *paths],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    server.shutdown()
    thread.join()
    server.server_close()
    assert done.returncode == 0, done.stderr
    return stub, json.loads(done.stdout), np.load(folder / "output.npy")


def test_a_model_goes_to_the_hub_and_comes_back(visit, scans, fitted, saved):
    stub, said, output = visit
    assert said["address"] == f"{stub.address}/{REPO}/commit/{COMMIT}"
    files = stub.repos[REPO]
    assert sorted(files) == sorted([*FILES, "malware.py"])
    assert files[WEIGHTS] == (saved / WEIGHTS).read_bytes()
    np.testing.assert_array_equal(output, fitted.transform(scans))


def test_only_the_files_of_a_model_are_fetched(visit):
    stub, *_ = visit
    assert any(WEIGHTS in path for path in stub.asked)
    assert not any("malware" in path for path in stub.asked)


def test_a_damaged_model_on_the_hub_is_refused(visit):
    assert visit[1]["damaged"].startswith("ValueError")
    assert "is not JSON" in visit[1]["damaged"]


def test_a_model_that_is_not_on_the_hub_is_an_os_error(visit):
    assert visit[1]["else"].startswith("OSError")


def test_without_huggingface_hub_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match=r"pip install sk_brainmae\[hub\]"):
        BrainMAETransformer.from_pretrained("hf://someone/pain")
