"""Every `dashscope-oss` command of the documentation is understood."""

import re
import shlex

from dashscope_oss import cli
from tests.docs.pages import GUIDES, blocks, name_of, names_in_code

# What stands for a reader's own words.
PLACEHOLDERS = {"NAME": "alice", "ID": "glm-5", "FILE": "gateway.toml"}


def commands() -> dict[str, str]:
    """Each command once, from blocks and from the text, with the page that it stands on."""
    found: dict[str, str] = {}
    for page in GUIDES:
        code = "\n".join(blocks(page, "sh")).replace("\\\n", " ")
        text = "\n".join(sorted(names_in_code(page)))
        for command in re.findall(r"(?m)^(?:[\w.]+/bin/)?dashscope-oss (.+)$", f"{code}\n{text}"):
            found.setdefault(command.partition(" #")[0].strip(), name_of(page))
    return found


def test_a_command_is_understood(monkeypatch, subtests):
    """It exists, and takes these options."""
    for command, page in commands().items():
        with subtests.test(command, page=page):
            words = [PLACEHOLDERS.get(word, word) for word in shlex.split(command)]
            calls = []
            monkeypatch.setattr(f"dashscope_oss.cli.{words[0]}.run", calls.append)
            assert cli.main(words) == 0
            assert len(calls) == 1
