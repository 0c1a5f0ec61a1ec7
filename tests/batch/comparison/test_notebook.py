"""In a real notebook: what records, usage and comparisons show, and the progress bar."""

import re

import nbformat
import pytest
from nbclient import NotebookClient

from dashscope_oss.gateway import Answer

CELLS = """
from dashscope_oss import Usage, find_model
find_model("ziya-llama-13b-v1")
---
Usage(input_tokens=1200)
---
from dashscope_oss.batch import compare
compare(["llama3-8b-instruct", "ziya-llama-13b-v1"], ["Tea?"], base_url={url!r})
"""


@pytest.fixture
def outputs(gateway, tmp_path):
    """What each cell shows, in a kernel of its own."""
    (tmp_path / "home").mkdir(exist_ok=True)  # a kernel wants to write there
    url = gateway(Answer("A drink.")).base_url
    cells = CELLS.format(url=url).strip().split("\n---\n")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    folder = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources=folder).execute()
    return [[output.data["text/html"] for output in cell.outputs] for cell in notebook.cells]


def test_values_show_themselves_as_tables(outputs):
    """And ``compare`` shows how far it is, although the kernel's loop is running."""
    [record], [usage], [progress, table] = outputs
    assert re.search(r"<th[^>]*>context_window</th><td[^>]*>2,048</td>", record)
    assert re.search(r"<th[^>]*>input_tokens</th><td[^>]*>1,200</td>", usage)
    assert "<progress value='1.0000'" in progress
    assert "2 of 2 rows" in progress
    assert table.count("A drink.") == 2
