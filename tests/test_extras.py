"""Without an extra's packages an import says which extra to install."""

import subprocess
import sys

import pytest


def test_a_gateway_without_its_packages_names_the_extra_and_that_of_the_small_model():
    code = "import sys; sys.modules['prometheus_client'] = None; import dashscope_oss.gateway"
    command = [sys.executable, "-c", code]
    child = subprocess.run(command, capture_output=True, text=True, check=False)
    assert child.stderr.splitlines()[-1] == (
        "ImportError: the gateway needs prometheus_client, which is not installed: pip install "
        '"dashscope-oss[gateway]", or "dashscope-oss[local]" for its small model too'
    )


@pytest.mark.parametrize(
    ("package", "missing", "extra"),
    [
        ("langchain_dashscope_oss", "langchain_core", "langchain"),
        ("llama_index_dashscope_oss", "llama_index", "llama-index"),
        ("llama_index_dashscope_oss", "llama_index.core", "llama-index"),
    ],
)
def test_an_adapter_without_its_framework_names_the_extra(package, missing, extra):
    code = f"import sys; sys.modules[{missing!r}] = None; import {package}"
    command = [sys.executable, "-c", code]
    child = subprocess.run(command, capture_output=True, text=True, check=False)
    assert child.stderr.splitlines()[-1].endswith(f'pip install "dashscope-oss[{extra}]"')


def test_the_aiohttp_client_without_its_packages_names_the_extra():
    code = (
        "import sys; sys.modules['aiohttp'] = None; from dashscope_oss import DefaultAioHttpClient"
    )
    command = [sys.executable, "-c", code]
    child = subprocess.run(command, capture_output=True, text=True, check=False)
    assert child.stderr.splitlines()[-1].endswith("pip install 'dashscope-oss[aiohttp]'.")
