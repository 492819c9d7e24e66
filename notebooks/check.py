"""Executes every notebook of this folder on a recording, without a browser.

    python check.py DIR
"""

import os
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

HERE = Path(__file__).resolve().parent


def run(path):
    """Executes a notebook; returns what is wrong with it, or None."""
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    if any(cell.outputs or cell.execution_count for cell in code):
        return "it was saved with outputs: clear them"
    here = {"metadata": {"path": str(HERE)}}
    with TemporaryDirectory() as sockets:
        # Sockets in the file system: no port of this host is opened.
        kernel = AsyncKernelManager(kernel_name="python3", transport="ipc", ip=f"{sockets}/kernel")
        client = NotebookClient(notebook, km=kernel, timeout=300, resources=here)
        try:
            client.execute()
        except CellExecutionError as error:
            print(error, file=sys.stderr)
            return f"{error.ename}: {error.evalue}".splitlines()[0]
        except (RuntimeError, TimeoutError) as error:  # the kernel died, or takes too long
            return str(error).splitlines()[0]
    return None


def main(data):
    # The kernel is a child process and runs in the folder of the notebooks.
    os.environ["TCPRST_DATA"] = str(Path(data).resolve())
    notebooks = sorted(HERE.glob("*.ipynb"))
    if not notebooks:
        sys.exit(f"no notebooks in {HERE}")
    failed = False
    for path in notebooks:
        start = time.monotonic()
        wrong = run(path)
        failed |= wrong is not None
        print(f"{path.name}: {wrong or 'ok'} ({time.monotonic() - start:.1f} s)", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))
