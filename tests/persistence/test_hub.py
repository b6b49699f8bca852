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
from sk_brainmae.datasets import make_cohort
from sk_brainmae.persistence.folder import CONFIG, FILES, WEIGHTS

pytest.importorskip("huggingface_hub")

COMMIT = "a" * 40
REPO = "someone/pain"


class Hub(BaseHTTPRequestHandler):
    """As much of the Hub as one repository of small files needs."""

    address: str
    files: dict[str, bytes]
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
                    self.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            url = f"{self.address}/{REPO}/commit/{COMMIT}"
            self.answer({"commitOid": COMMIT, "commitUrl": url})
        else:
            self.answer({"errors": [], "warnings": []})

    def do_GET(self):
        self.asked.append(self.path)
        if self.path.split("?")[0] in (
            f"/api/models/{REPO}",
            f"/api/models/{REPO}/revision/main",
            f"/api/models/{REPO}/revision/{COMMIT}",
        ):
            siblings = [{"rfilename": name} for name in self.files]
            self.answer({"id": REPO, "sha": COMMIT, "siblings": siblings, "tags": []})
        elif self.path.startswith(f"/api/models/{REPO}/tree/{COMMIT}"):
            tree = [
                {"type": "file", "path": name, "size": len(content), "oid": COMMIT}
                for name, content in self.files.items()
            ]
            self.answer(tree)
        elif self.path.startswith(f"/{REPO}/resolve/{COMMIT}/"):
            self.answer_file(self.files[self.path.rsplit("/", 1)[1]])
        else:
            self.answer({"error": "Repository not found"}, 404)

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


@pytest.fixture
def hub():
    handler = type("Stub", (Hub,), {"files": {}, "asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    handler.address = f"http://127.0.0.1:{server.server_port}"
    yield handler
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub")
    scans = make_cohort(n_scans=6, n_timepoints=40, n_regions=8, random_state=0).scans
    params = {"embedding_dim": 8, "n_heads": 2, "window_size": 10, "crop_length": 20}
    model = BrainMAETransformer(**params, max_epochs=0, random_state=0).fit(scans)
    model.save_pretrained(folder / "model")
    np.save(folder / "scans.npy", scans)
    np.save(folder / "expected.npy", model.transform(scans))
    return folder


def run(script, hub, saved, cache):
    """Run a script in a process whose Hub is the stub."""
    environment = {
        **os.environ,
        "HF_ENDPOINT": hub.address,
        "HF_HOME": str(cache),
        "HF_TOKEN": "hf_stub",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "NO_PROXY": "127.0.0.1",
    }
    head = (
        "import sys, numpy as np, torch\n"
        "torch.set_num_threads(1)\n"
        "from sk_brainmae import BrainMAETransformer\n"
        "folder = sys.argv[1]\n"
    )
    return subprocess.run(
        [sys.executable, "-c", head + script, str(saved)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


PUSH = "print(BrainMAETransformer.from_pretrained(folder + '/model').push_to_hub('someone/pain'))"
LOAD = (
    "model = BrainMAETransformer.from_pretrained('hf://someone/pain')\n"
    "output = model.transform(np.load(folder + '/scans.npy'))\n"
    "np.testing.assert_array_equal(output, np.load(folder + '/expected.npy'))\n"
)


def test_a_model_goes_to_the_hub_and_comes_back(hub, saved, tmp_path):
    pushed = run(PUSH, hub, saved, tmp_path)
    assert pushed.stdout.strip() == f"{hub.address}/{REPO}/commit/{COMMIT}", pushed.stderr
    assert sorted(hub.files) == sorted(FILES)
    assert hub.files[WEIGHTS] == (saved / "model" / WEIGHTS).read_bytes()
    hub.files["malware.py"] = b"import os"
    loaded = run(LOAD, hub, saved, tmp_path)
    assert loaded.returncode == 0, loaded.stderr
    assert not any("malware" in path for path in hub.asked), "only the files of a model"


def test_a_damaged_model_on_the_hub_is_refused(hub, saved, tmp_path):
    for name in FILES:
        hub.files[name] = (saved / "model" / name).read_bytes()
    hub.files[CONFIG] = hub.files[CONFIG][:-10]
    loaded = run(LOAD, hub, saved, tmp_path)
    assert "ValueError" in loaded.stderr.splitlines()[-1], loaded.stderr
    assert "is no JSON" in loaded.stderr.splitlines()[-1]


def test_no_such_model_on_the_hub_is_an_os_error(hub, saved, tmp_path):
    script = (
        "try:\n"
        "    BrainMAETransformer.from_pretrained('hf://someone/else')\n"
        "except OSError as error:\n"
        "    print('refused')\n"
    )
    asked = run(script, hub, saved, tmp_path)
    assert asked.stdout.strip() == "refused", asked.stderr


def test_without_huggingface_hub_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match=r"pip install sk_brainmae\[hub\]"):
        BrainMAETransformer.from_pretrained("hf://someone/pain")
