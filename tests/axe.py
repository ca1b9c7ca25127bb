"""axe-core in the tests' browser: what a page does that people with a disability stumble over."""

import sys
from pathlib import Path

import pytest

SOURCE = Path(sys.prefix) / "axe.min.js"


def violations(browser) -> list[str]:
    """The rules that the open page breaks, each with its first elements; skips without axe-core."""
    if not SOURCE.exists():
        pytest.skip("needs axe-core: make .venv/axe.min.js fetches it by npm")
    browser.js(SOURCE.read_text(encoding="utf-8"))
    script = "const done = arguments[0]; axe.run().then(found => done(found.violations))"
    return [
        f"{rule['id']}: {node['html'][:200]} {node.get('failureSummary', '')}"
        for rule in browser.driver.execute_async_script(script)
        for node in rule["nodes"][:3]
    ]
