"""How long the page over 200 runs takes to open in Chromium, drawn and sorted, and how large it is.

`python -m tests.bench.bench_report`. The figures of the runs are made up; the page is what
`edgecv report` writes. The time is the page's own clock, from navigation to its last drawing; the
page is told to report it to a server on loopback, which is all that is added to it.
"""

import http.server
import queue
import statistics
import subprocess
import tempfile
import threading
from pathlib import Path

from click.testing import CliRunner

from edgecv.cli import main as edgecv
from tests.many_runs import leave_many
from tests.test_tradeoff import CHROMIUM, FLAGS

RUNS, TIMES = 200, 5
TELL = """<script>
new MutationObserver(() => fetch("/ready?" + document.documentElement.dataset.ready))
  .observe(document.documentElement, { attributes: true });
</script><img src="/wait" alt="">"""


def main():
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        runs, out = leave_many(folder / "runs", RUNS), folder / "out"
        CliRunner().invoke(edgecv, ["report", str(runs), "-o", str(out)])
        html = (out / "tradeoff.html").read_text()
        seconds = [opened(html, folder / f"profile{turn}") for turn in range(TIMES)]
    print(f"{RUNS} runs: {len(html.encode()) / 1e6:.2f} MB")
    shown = ", ".join(f"{each:.2f}" for each in seconds)
    print(f"opens in {statistics.median(seconds):.2f} s, the median of {shown}")


def opened(html, profile):
    """Seconds until everything is drawn, in a browser that starts from nothing."""
    ready = queue.Queue()

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = b""
            if self.path.startswith("/ready"):
                ready.put(float(self.path.partition("?")[2]) / 1e3)
            elif self.path == "/wait":  # holds the load event, and with it the browser's exit
                done.wait(60)
            else:
                body = html.replace("</body>", TELL + "</body>").encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    done = threading.Event()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        flags = [each for each in FLAGS if "virtual-time" not in each]
        address = f"http://127.0.0.1:{server.server_address[1]}/"
        arguments = [CHROMIUM, *flags, f"--user-data-dir={profile}", "--dump-dom", address]
        with subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
            seconds = ready.get(timeout=60)
            done.set()
        server.shutdown()
    return seconds


if __name__ == "__main__":
    main()
